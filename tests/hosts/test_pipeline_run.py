"""A pipeline that runs from a stored snapshot is the same pipeline; every way of failing is a sentence in its result."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from slipway.hosts.project import Project, open_project
from slipway.ledger import archive, artifacts, entries
from slipway.pipelines import engine, reasons, snapshot, staging
from slipway.pipelines.declare import Pipeline
from slipway.ports.runner import LOG_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.records.tasks import PipelineAnswer
from slipway.tables import versions

PROJECT = """
import os, sys
from datetime import date
from pathlib import Path

import polars as pl
import slipway as sw
from counting import total
from slipway.ports.workspace import workspace
from slipway.tables import versions


@sw.step
def rows() -> pl.DataFrame:
    return versions.read(workspace(), "numbers").collect()


@sw.step
def add(frame: pl.DataFrame, day: date, more: float) -> float:
    return total(frame) + day.day + more


@sw.step
def last(sum: float, dies: str) -> float:
    if dies and not os.path.exists(dies):
        Path(dies).touch()
        os.kill(os.getpid(), 9)
    return -sum


@sw.pipeline
def release(day: date, more: float = 0.5, dies: str = "") -> float:
    return last(add(rows(), day, more), dies)


@sw.pipeline
def where() -> tuple:
    import counting
    return [__file__, counting.__file__], list(sys.path)


@sw.pipeline
def strays() -> int:
    import stray
    return stray.VALUE


@sw.pipeline
def leaves() -> int:
    sys.exit("enough")
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "sums"\nmodule = "sums_of_numbers"\n')
    (folder / "sums_of_numbers.py").write_text(PROJECT)
    (folder / "counting.py").write_text("def total(frame):\n    return float(frame['n'].sum())\n")
    path = list(sys.path)
    with open_project(folder) as opened:
        versions.overwrite(opened.workspace, "numbers", pl.DataFrame({"n": [1, 2, 3]}))
        yield opened
    sys.path[:] = path
    for name in ("sums_of_numbers", "counting"):
        sys.modules.pop(name, None)


def perform(workspace: Workspace, name: str, digest: str, pipeline: str, **more: Any) -> PipelineAnswer:
    """Stage a task, run it to its end in a process of its own, and read what came of it."""
    folder = staging.stage(workspace, name, staging.task(workspace, snapshot=digest, pipeline=pipeline, **more))
    workspace.runner.start(folder)
    assert workspace.runner.wait(folder, 60) == "ended", (folder / LOG_FILE).read_text()
    answer = staging.answer(folder)
    assert answer is not None
    return answer


def recorded(workspace: Workspace, run_id: str) -> tuple[Run, list[StepRun]]:
    with workspace.ledger.read() as tx:
        return entries.get(tx, Run, run_id), reasons.steps_of(tx, run_id)


def test_a_run_from_the_snapshot_is_the_run_from_the_checkout(project: Project) -> None:
    workspace, digest = project.workspace, project.snapshot()
    pipeline = project.pick(Pipeline, "release", "pipeline")
    here = engine.run(workspace, pipeline, {"day": date(2013, 4, 2)}, snapshot=digest)
    # What the checkout says now is of no interest.
    (project.folder / "counting.py").write_text("raise RuntimeError('the checkout was imported')\n")
    answer = perform(workspace, "again", digest, "release", params={"day": "2013-04-02"}, tags={"by": "a test"})
    assert answer == PipelineAnswer(state="finished", run_id=answer.run_id)
    run, steps = recorded(workspace, answer.run_id)
    assert [(step.name, step.state) for step in steps] == [("rows", "cached"), ("add", "cached"), ("last", "cached")]
    assert (run.params, run.tags["by"], run.code.snapshot) == (here.run.params, "a test", digest)
    assert (run.code.closure, run.code.entry, run.code.commit) == (here.run.code.closure, here.run.code.entry, "")
    assert [a.fingerprint for a in run.artifacts] == [a.fingerprint for a in here.run.artifacts]


def test_pinned_tables_without_the_cache(project: Project) -> None:
    workspace, digest = project.workspace, project.snapshot()
    old = versions.head(workspace, "numbers").version
    new = versions.overwrite(workspace, "numbers", pl.DataFrame({"n": [10]})).version
    results = []
    ways: tuple[tuple[str, dict[str, Any]], ...] = (("then", {"pins": {"numbers": old}}), ("off", {"use_cache": False}))
    for name, more in ways:
        answer = perform(workspace, name, digest, "release", params={"day": "2013-04-02"}, **more)
        run, steps = recorded(workspace, answer.run_id)
        results.append((artifacts.load(workspace.blobs, run.artifacts[-1:]), {step.state for step in steps}))
        read = more.get("pins", {}).get("numbers", new)
        assert run.inputs == (versions.node("sums", "numbers", read),)
    assert results == [(-8.5, {"finished"}), (-12.5, {"finished"})]
    assert versions.head(workspace, "numbers").number == 2


def test_killed_in_the_middle_it_goes_on_from_the_finished_steps(project: Project, tmp_path: Path) -> None:
    workspace, marker = project.workspace, str(tmp_path / "marker")
    params = {"day": "2013-04-02", "dies": marker}
    task = staging.task(workspace, snapshot=project.snapshot(), pipeline="release", params=params)
    folder = staging.stage(workspace, "dies", task)
    workspace.runner.start(folder)
    assert workspace.runner.wait(folder, 60) == "absent"
    assert staging.answer(folder) is None
    workspace.runner.start(staging.stage(workspace, "dies", task))
    assert workspace.runner.wait(folder, 60) == "ended"
    answer = staging.answer(folder)
    assert answer is not None
    _, steps = recorded(workspace, answer.run_id)
    assert [step.state for step in steps] == ["cached", "cached", "finished"]
    with workspace.ledger.read() as tx:
        runs = entries.find(tx, Run, project="sums")
    assert sorted(run.state for run in runs) == ["finished", "killed"]


@pytest.mark.full
def test_nothing_of_a_checkout_can_be_imported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, digest = project.workspace, project.snapshot()
    (project.folder / "stray.py").write_text("VALUE = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(project.folder))
    monkeypatch.chdir(project.folder)
    code = workspace.root.resolve() / "tasks" / "where" / "project"
    answer = perform(workspace, "where", digest, "where")
    run, _ = recorded(workspace, answer.run_id)
    files, path = artifacts.load(workspace.blobs, run.artifacts)
    assert files == [str(code / "sums_of_numbers.py"), str(code / "counting.py")]
    assert str(project.folder) not in path
    stray = perform(workspace, "strays", digest, "strays")
    assert stray.error is not None
    assert (stray.state, stray.error.type) == ("failed", "ModuleNotFoundError")
    assert recorded(workspace, stray.run_id)[0].state == "failed"
    # Even where the interpreter itself was told of the checkout.
    folder = staging.stage(workspace, "told", staging.task(workspace, snapshot=digest, pipeline="strays"))
    subprocess.run([sys.executable, "-m", "slipway.hosts.pipeline_run", str(folder)], check=True)
    told = staging.answer(folder)
    assert told is not None
    assert told.error is not None
    assert told.error.type == "ModuleNotFoundError"


@pytest.mark.parametrize(
    ("more", "type_", "sentence"),
    [
        ({"pipeline": "releas"}, "NotFound", "declares no pipeline 'releas'"),
        ({"endpoint": "sums"}, "NotFound", "declares no endpoint 'sums'"),
        ({"params": {"day": "soon"}}, "InvalidInput", "'soon' is no date for 'day'"),
        ({"params": {"days": 1}}, "InvalidInput", "has no parameter 'days'. Did you mean 'day'?"),
        ({}, "InvalidInput", "needs day"),
        ({"pipeline": "leaves"}, "SystemExit", "enough"),
        ({"params": {"day": "2013-04-02"}, "pins": {"numbers": "0" * 64}}, "StepFailed", "has no version"),
    ],
    ids=["pipeline", "endpoint", "value", "name", "missing", "exit", "version"],
)
@pytest.mark.full
def test_what_does_not_fit_is_a_sentence(project: Project, more: dict[str, Any], type_: str, sentence: str) -> None:
    answer = perform(project.workspace, "odd", project.snapshot(), **{"pipeline": "release", **more})
    assert answer.state == "failed"
    assert answer.error is not None
    assert sentence in answer.error.message


def test_a_module_that_cannot_be_imported_is_told_with_its_lines(project: Project) -> None:
    module = project.folder / "sums_of_numbers.py"
    module.write_text(PROJECT + "\n\ndef prepare():\n    raise ValueError('no luck')\n\nprepare()\n")
    digest = snapshot.take(project.workspace, project.folder)
    answer = perform(project.workspace, "fails", digest, "release")
    assert (answer.state, answer.run_id) == ("failed", "")
    assert answer.error is not None
    assert (
        "The project's module 'sums_of_numbers' failed while it was imported: ValueError: no luck"
        in answer.error.message
    )
    assert "raise ValueError('no luck')" in answer.error.trace


def test_a_damaged_snapshot_is_refused(project: Project) -> None:
    workspace, digest = project.workspace, project.snapshot()
    blob = workspace.root / "blobs" / digest[:2] / digest[2:]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-9])
    answer = perform(workspace, "damaged", digest, "release", params={"day": "2013-04-02"})
    assert answer.error is not None
    assert answer.error.type == "Corrupt"


@pytest.mark.full
def test_what_is_no_snapshot_is_refused(project: Project) -> None:
    workspace = project.workspace
    nothing = perform(workspace, "unknown", "0" * 64, "release")
    assert nothing.error is not None
    assert nothing.error.type == "NotFound"
    odd = perform(workspace, "odd", workspace.blobs.put(archive.pack({"snapshot.json": b"{}"})), "release")
    assert odd.error is not None
    assert "has no slipway.toml" in odd.error.message


@pytest.mark.full
def test_a_task_that_cannot_be_read_is_a_result_too(workspace: Workspace) -> None:
    for number, data in enumerate((None, b"{", msgspec.json.encode({"protocol": 99}))):
        folder = workspace.root / "tasks" / f"odd-{number}"
        folder.mkdir(parents=True)
        if data is not None:
            (folder / TASK_FILE).write_bytes(data)
        workspace.runner.start(folder)
        assert workspace.runner.wait(folder, 60) == "ended"
        answer = staging.answer(folder)
        assert answer is not None
        assert answer.error is not None
        assert answer.error.type == ("NotFound", "Corrupt", "InvalidInput")[number]


@pytest.mark.full
def test_a_small_project_is_released_from_its_snapshot(tmp_path: Path) -> None:
    """A real pipeline: its steps are hits, its model is the very same, and what is declared stays as it is."""
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest
    from slipway.flows.release import run_pipeline
    from slipway.records.declarations import DeclaredEndpoint

    source = Path(__file__).parents[1] / "flows" / "small_project"
    shutil.copytree(source, tmp_path / "small", ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    path = list(sys.path)
    # Another name than that of the project which other tests have imported.
    (tmp_path / "small" / "small_delays.py").rename(tmp_path / "small" / "snapped_delays.py")
    settings = tmp_path / "small" / "slipway.toml"
    settings.write_text(settings.read_text().replace("small_delays", "snapped_delays"))
    with open_project(tmp_path / "small") as small:
        module, workspace, digest = small.module(), small.workspace, small.snapshot()
        for table in small.declared(Table).values():
            ingest(workspace, table)
        first = run_pipeline(workspace, module.release, {}, endpoint=module.delays, simulation=True, snapshot=digest)
        assert first.version is not None
        declared = _declarations(workspace, DeclaredEndpoint)
        same = perform(workspace, "same", digest, "release", endpoint="small-delays")
        _, steps = recorded(workspace, same.run_id)
        assert {step.state for step in steps} == {"cached"}
        assert [step.name for step in steps] == ["training_set", "train", "evaluate"]
        assert (same.model, same.version, same.bundle, same.is_new) == (
            "small-delays",
            1,
            first.version.bundle,
            False,
        )
        other = perform(workspace, "other", digest, "release", endpoint="small-delays", params={"rounds": 9})
        assert (other.state, other.version, other.is_new) == ("finished", 2, True)
        assert _declarations(workspace, DeclaredEndpoint) == declared
    sys.path[:] = path


def _declarations(workspace: Workspace, kind: Any) -> list[Any]:
    with workspace.ledger.read() as tx:
        return [(one, entries.etag(tx, kind, one.id)) for one in entries.find(tx, kind)]
