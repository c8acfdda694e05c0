"""Reproducing: the run again, from what is stored, in another process; and an honest word where that fails."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from small_desk import FIRST, NAME, Desk

from slipway.cli import main
from slipway.errors import InvalidInput, NotFound, StepFailed
from slipway.flows.erase import erase
from slipway.flows.models import get_model
from slipway.flows.release import run_pipeline
from slipway.flows.reproduce import reproduce
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.erasures import Erase
from slipway.operations.models import GetModel
from slipway.operations.runs import Reproduce
from slipway.pipelines import engine, reasons, snapshot, staging
from slipway.pipelines.declare import Pipeline
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Run
from slipway.records.tables import TableVersion
from slipway.runs import tracking
from slipway.tables import versions

PROJECT = """
import random

import polars as pl
import slipway as sw
from slipway.ports.workspace import workspace
from slipway.tables import versions


@sw.step
def rows() -> pl.DataFrame:
    return versions.read(workspace(), "numbers").collect()


@sw.step
def total(frame: pl.DataFrame, more: float) -> float:
    return float(frame["n"].sum()) + more


@sw.step
def guess(sum: float) -> float:
    return sum + random.random()


@sw.pipeline
def add(more: float = 0.5) -> float:
    return total(rows(), more)


@sw.pipeline
def gamble() -> float:
    return -guess(total(rows(), 1.0))


@sw.pipeline
def odd(more: object = None) -> float:
    return total(rows(), 2.0)


@sw.step
def fit(size: float) -> sw.Model:
    from sklearn.linear_model import LinearRegression

    x = pl.DataFrame({"a": [float(i % 7) for i in range(40)]})
    y = x["a"].to_numpy() + random.random() * size
    return sw.Model(LinearRegression().fit(x.to_numpy(), y), inputs=sw.inputs(x.with_columns(y=y), label="y"))


@sw.pipeline
def line(size: float) -> sw.Model:
    return fit(size)


@sw.pipeline
def twice(old: str) -> float:
    return total(versions.read(workspace(), "numbers", old).collect(), 0.0) + total(rows(), 3.0)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "sums"\nmodule = "sums_again"\n')
    (folder / "sums_again.py").write_text(PROJECT)
    path = list(sys.path)
    with open_project(folder) as opened:
        versions.overwrite(opened.workspace, "numbers", pl.DataFrame({"n": [1, 2, 3]}))
        yield opened
    sys.path[:] = path
    sys.modules.pop("sums_again", None)


def ran(project: Project, name: str, params: dict[str, Any] | None = None, **more: Any) -> Run:
    pipeline = project.pick(Pipeline, name, "pipeline")
    return engine.run(project.workspace, pipeline, params, **{"snapshot": project.snapshot(), **more}).run


def again(workspace: Workspace, target: str) -> Reproduction:
    found = reproduce(workspace, Reproduce(target=target)).reproduction
    assert found is not None
    return found


def test_a_run_is_equal_though_its_table_was_written_since(project: Project) -> None:
    workspace = project.workspace
    ran(project, "add", {"more": 1})
    first = ran(project, "add", {"more": 1})
    assert {step.state for step in steps(workspace, first.id)} == {"cached"}
    versions.overwrite(workspace, "numbers", pl.DataFrame({"n": [100]}))
    found = again(workspace, first.id[:12])
    assert (found.verdict, found.compared, found.parent_id, found.number) == ("equal", 2, first.id, 1), found.sentence
    with workspace.ledger.read() as tx:
        repeated = entries.get(tx, Run, found.run_id)
        told = [event for event in tx.events() if event.verb == "runs.reproduce"]
        links = {(link.source, link.role) for link in tx.links(f"reproduction:{found.id}", towards=True)}
        outputs = [link for link in tx.links(f"run:{found.run_id}", towards=False) if link.role == "output"]
    assert {step.state for step in steps(workspace, found.run_id)} == {"finished"}
    assert (repeated.inputs, repeated.params, repeated.tags) == (
        first.inputs,
        {"more": 1},
        {"slipway.reproduces": first.id, "slipway.environment": "here"},
    )
    assert (told[0].subject, told[0].body["verdict"]) == (f"run:{first.id}", "equal")
    assert links == {(f"run:{first.id}", "reproduced"), (f"run:{found.run_id}", "repeated")}
    assert outputs == [], "what it makes again is not where others' results came from"
    later = ran(project, "add", {"more": 1})
    assert [step.reason for step in steps(workspace, later.id)][-1] == "argument frame changed", (
        "its steps are compared with the pipeline's last run, and a repetition is none"
    )


def test_erased_rows_make_it_impossible_and_stored_results_are_made_anew(project: Project) -> None:
    workspace = project.workspace
    versions.overwrite(workspace, "numbers", pl.DataFrame({"n": [1, 2, 3]}), key=("n",))
    run = ran(project, "add")
    assert {step.state for step in steps(workspace, ran(project, "add").id)} == {"cached"}
    assert erase(workspace, Erase(table="numbers", key=("2",), reason="request 17")).left == 0
    found = again(workspace, run.id)
    assert (found.verdict, found.run_id) == ("cannot", "")
    assert found.sentence.startswith(
        "Of the rows of the table 'numbers', version 2, which the run read, 1 were erased (1 on "
    )
    assert found.sentence.split(": ")[1].startswith("request 17")
    later = ran(project, "add")
    assert next(step.reason for step in steps(workspace, later.id)) == (
        "rows of the table numbers, which it reads, were erased"
    )
    assert again(workspace, later.id).verdict == "equal"


@pytest.mark.full
def test_a_step_without_a_seed_is_named_each_time(project: Project) -> None:
    run = ran(project, "gamble")
    for number in (1, 2):
        found = again(project.workspace, run.id)
        assert (found.verdict, found.step, found.number) == ("differs", "guess", number)
        assert found.cause == "seed"
        assert found.sentence.startswith("It differs first at guess: its arguments and its code are the same")
        assert "Two repetitions from the same code, data and libraries disagree there too" in found.sentence
    hit = ran(project, "gamble")
    assert [step.source_run_id for step in steps(project.workspace, hit.id)] == [run.id] * 3, (
        "what a repetition made never stands in for a step"
    )


def test_what_is_gone_makes_it_impossible_and_is_named(project: Project) -> None:
    workspace, run = project.workspace, ran(project, "add")
    with workspace.ledger.read() as tx:
        (table,) = entries.find(tx, TableVersion)
    remove(workspace, run.code.snapshot)
    gone = again(workspace, run.id)
    assert (gone.verdict, gone.run_id, gone.compared) == ("cannot", "", 0)
    assert run.code.snapshot[:12] in gone.sentence
    other = ran(project, "add")
    assert other.code.snapshot == run.code.snapshot
    (part,) = (workspace.root / "tables").rglob("*.parquet")
    part.unlink()
    lost = again(workspace, other.id)
    assert (lost.verdict, lost.run_id) == ("cannot", "")
    assert f"Version 1 of the table 'numbers' ({table.version[:12]})" in lost.sentence


def test_which_of_two_versions_was_the_current_one_is_not_guessed(project: Project) -> None:
    old = versions.head(project.workspace, "numbers").version
    versions.overwrite(project.workspace, "numbers", pl.DataFrame({"n": [4]}))
    found = again(project.workspace, ran(project, "twice", {"old": old}).id)
    assert found.verdict == "cannot"
    assert "read two versions of the table 'sums/numbers'" in found.sentence


@pytest.mark.full
def test_parameters_and_libraries_that_are_gone(project: Project) -> None:
    given = again(project.workspace, ran(project, "odd", {"more": object}).id)
    assert given.verdict == "cannot"
    assert "was given more, which could not be stored" in given.sentence
    module = project.folder / "sums_again.py"
    for text in ("import not_there\n" + PROJECT, PROJECT.replace("return sum +", "import not_there\n    return sum +")):
        module.write_text(text)
        digest = snapshot.take(project.workspace, project.folder)
        found = again(project.workspace, ran(project, "gamble", snapshot=digest).id)
        assert found.verdict == "cannot", found.sentence
        assert "'not_there'" in found.sentence
    assert "A library is missing" in found.sentence


@pytest.mark.full
@pytest.mark.parametrize(("size", "verdict"), [(1e-11, "within tolerance"), (1e-3, "differs")])
def test_models_are_compared_by_what_they_answer(project: Project, size: float, verdict: str) -> None:
    found = again(project.workspace, ran(project, "line", {"size": size}).id)
    assert found.verdict == verdict, found.sentence
    assert "most in the answers to its reference rows" in found.sentence
    assert found.cause == ("seed" if verdict == "differs" else "unknown")


def test_while_it_runs_asking_again_waits_for_the_same_process(project: Project) -> None:
    workspace, run = project.workspace, ran(project, "add")
    assert reproduce(workspace, Reproduce(target=run.id, wait_s=0)).reproduction is None
    (folder,) = (workspace.root / "tasks").iterdir()
    assert workspace.runner.wait(folder, 60) == "ended"
    answer = staging.answer(folder)
    assert answer is not None
    found = again(workspace, run.id)
    assert (found.number, found.run_id, found.verdict) == (1, answer.run_id, "equal")


def test_what_cannot_be_run_again_at_all_is_refused_with_the_way(desk: Desk) -> None:
    workspace = desk.workspace
    with pytest.raises(InvalidInput, match="has no project snapshot") as refused:
        reproduce(workspace, Reproduce(target=NAME))
    assert "slipway run release" in refused.value.fix
    with tracking.start(workspace, "by hand") as active:
        pass
    with pytest.raises(InvalidInput, match="is no pipeline's") as refused:
        reproduce(workspace, Reproduce(target=active.record.id))
    assert "@sw.pipeline" in refused.value.fix
    with pytest.raises(StepFailed):
        run_pipeline(workspace, desk.project.module().release, {"rounds": "many"}, snapshot=desk.project.snapshot())
    with workspace.ledger.read() as tx:
        (failed,) = entries.find(tx, Run, state="failed")
    with pytest.raises(InvalidInput, match="is failed"):
        reproduce(workspace, Reproduce(target=failed.id))
    for unknown in ("0" * 32, f"{NAME}:17", "nobody"):
        with pytest.raises(NotFound):
            reproduce(workspace, Reproduce(target=unknown))


def test_the_command_says_it_and_its_exit_code_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    run = ran(project, "gamble")
    remove(project.workspace, run.code.snapshot)
    answer = CliRunner().invoke(main, ["reproduce", run.id])
    assert answer.exit_code == 3, answer.output
    assert answer.stdout.startswith("cannot: ")
    assert f"run         {run.id}" in answer.stdout
    said = CliRunner().invoke(main, ["reproduce", run.id, "--json"])
    assert json.loads(said.stdout)["reproduction"]["verdict"] == "cannot"


@pytest.mark.full
def test_a_model_is_reproduced_and_its_page_says_so(desk: Desk) -> None:
    module, workspace = desk.project.module(), desk.workspace
    made = run_pipeline(workspace, module.release, {}, endpoint=module.delays, snapshot=desk.project.snapshot())
    assert made.version is not None
    assert {step.state for step in steps(workspace, made.run.id)} == {"cached"}
    versions.overwrite(workspace, "flights", module.flights.function().head(100))
    found = again(workspace, f"{NAME}:{made.version.number}")
    assert (found.verdict, found.compared, found.bundle) == ("equal", 3, made.version.bundle), found.sentence
    assert len(registry.versions(workspace, NAME)) == 4, "it registers no model"
    shown = get_model(workspace, GetModel(name=NAME))
    assert shown.reproductions == (found,)
    assert any(link.target == f"reproduction:{found.id}" for link in shown.lineage)
    assert get_model(workspace, GetModel(name=NAME, version=str(FIRST))).reproductions == ()


def steps(workspace: Workspace, run_id: str) -> list[Any]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run_id)


def remove(workspace: Workspace, digest: str) -> None:
    (workspace.root / "blobs" / digest[:2] / digest[2:]).unlink()
