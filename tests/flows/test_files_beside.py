"""Files beside the code that a run read: kept with it, and there again wherever it runs without the project's folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.errors import Corrupt, NotFound, StepFailed
from slipway.flows.erase import erase
from slipway.flows.purge import sweep
from slipway.flows.reproduce import reproduce
from slipway.flows.rerun import rerun
from slipway.hosts.project import Project, open_project, open_workspace
from slipway.ledger import archive, artifacts, entries
from slipway.operations.erasures import Erase
from slipway.operations.runs import Reproduce, Rerun
from slipway.operations.trash import SweepBlobs
from slipway.pipelines import beside, engine, reasons, snapshot, staging
from slipway.pipelines.declare import Pipeline
from slipway.ports.runner import LOG_FILE
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Run, StepRun
from slipway.records.schedules import Firing
from slipway.tables import versions

MODULE = "priced"
PROJECT = """
import json
from pathlib import Path

import polars as pl
import slipway as sw

SETTINGS = json.loads((Path(__file__).parent / "settings.json").read_text())


@sw.step
def prices() -> pl.DataFrame:
    return pl.read_csv(Path(__file__).parent / "data" / "prices.csv")


@sw.step
def rate(name: str) -> float:
    with open(f"rates/{name}.txt") as file:
        return float(file.read())


@sw.step
def total(rows: pl.DataFrame, rate: float, times: float) -> float:
    return float(rows["price"].sum()) * rate * times


@sw.pipeline
def value(name: str = "plain", more: float = 0.0) -> float:
    shift = float((Path(__file__).parent / "shift.txt").read_text())
    return total(prices(), rate(name), SETTINGS["times"] + more) + shift


@sw.step
def absolute(path: str) -> int:
    return len(Path(path).read_text())


@sw.pipeline
def elsewhere(path: str) -> int:
    return absolute(path)


@sw.step(timeout_s=60)
def aside() -> int:
    return len((Path(__file__).parent / "data" / "prices.csv").read_text())


@sw.pipeline
def apart() -> int:
    return aside()


@sw.step
def careless() -> str:
    return Path("deploy.pem").read_text() + Path(".env").read_text() + Path("told.txt").read_text()


@sw.pipeline
def leaks() -> str:
    return careless()


by_hand = sw.Schedule(value)
"""
FIRST = 1 + 2 + 3  # * 0.5 * 2 + 10
FILES = {
    "data/prices.csv": "price\n1\n2\n3\n",
    "rates/plain.txt": "0.5",
    "settings.json": '{"times": 2}',
    "shift.txt": "10",
}
WANTED = 16.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "priced"
    home.mkdir()
    (home / "slipway.toml").write_text(
        f'[project]\nname = "priced"\nmodule = "{MODULE}"\n[environments.dev]\nstore = "{tmp_path / "store"}"\n'
    )
    (home / f"{MODULE}.py").write_text(PROJECT)
    for name, text in FILES.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.chdir(home)
    path = list(sys.path)
    yield home
    sys.path[:] = path
    sys.modules.pop(MODULE, None)


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    with open_project(folder) as opened:
        yield opened


def ran(project: Project, name: str = "value", params: dict[str, Any] | None = None) -> Run:
    pipeline = project.pick(Pipeline, name, "pipeline")
    return engine.run(project.workspace, pipeline, params, snapshot=project.snapshot()).run


def result(workspace: Workspace, run: Run) -> Any:
    own = [one for one in run.artifacts if one.name.partition("/")[0] == "result"]
    return artifacts.load(workspace.blobs, own)


def again(workspace: Workspace, run: Run) -> Reproduction:
    found = reproduce(workspace, Reproduce(target=run.id)).reproduction
    assert found is not None
    return found


def change(folder: Path) -> None:
    (folder / "data" / "prices.csv").write_text("price\n100\n")
    (folder / "rates" / "plain.txt").write_text("9")
    (folder / "settings.json").write_text('{"times": 50}')
    (folder / "shift.txt").write_text("-1")


def remove(folder: Path) -> None:
    os.chdir(folder.parent)
    shutil.rmtree(folder)


@pytest.mark.full
@pytest.mark.parametrize("happens", [change, remove])
def test_a_run_is_had_again_with_the_files_of_then(project: Project, happens: Any) -> None:
    workspace = project.workspace
    run = ran(project)
    assert result(workspace, run) == WANTED
    happens(project.folder)
    found = again(workspace, run)
    assert (found.verdict, found.compared) == ("equal", 3), found.sentence
    other = rerun(workspace, Rerun(target=run.id, params={"more": 1.0})).run
    assert other is not None
    assert result(workspace, other) == 6 * 0.5 * 3 + 10
    assert not (workspace.root / "tasks" / f"reproduce-{run.id}-1" / "project").exists()
    # What it was repeated from is kept with the repetition as well: it can be had again itself.
    assert again(workspace, other).verdict == "equal"


@pytest.mark.parametrize("happens", [change, remove])
def test_a_schedule_runs_with_the_files_that_a_run_has_read(project: Project, happens: Any) -> None:
    workspace = project.workspace
    ran(project)
    type_in("schedules", "apply", "-C", str(project.folder))
    toml = (project.folder / "slipway.toml").read_text()
    happens(project.folder)
    desk = project.folder.parent / "desk"  # whoever fires has a folder of the same store
    desk.mkdir()
    (desk / "slipway.toml").write_text(toml)
    told = type_in("schedules", "fire", "by-hand", "--set", "more=2", "-C", str(desk))
    firing = finished(workspace)
    assert firing.state == "finished", (told, firing.sentence)
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, firing.run_id)
    assert result(workspace, run) == 6 * 0.5 * 4 + 10


def type_in(*words: str) -> str:
    sys.modules.pop(MODULE, None)
    answer = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def finished(workspace: Workspace) -> Firing:
    with workspace.ledger.read() as tx:
        (firing,) = entries.every(tx, Firing, project="priced")
    workspace.runner.wait(workspace.root.resolve() / "tasks" / firing.id, 60)
    with workspace.ledger.read() as tx:
        return entries.get(tx, Firing, firing.id)


def test_what_git_tracks_is_there_without_a_run_and_what_it_does_not_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rates" / "ignored.txt").write_text("3")
    (folder / ".gitignore").write_text("ignored.txt\n")
    (folder / "client_secrets.json").write_text("{}")
    (folder / ".env").write_text("A=1")
    (folder / "large.csv").write_bytes(b"x" * (beside.FILE_BYTES + 1))
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-value")
    (folder / "notes.txt").write_text("the token is s3cr3t-value")
    for words in (["init", "-q"], ["add", "."], ["add", "-f", ".env"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "untracked.txt").write_text("mine")
    told: list[str] = []
    with open_project(folder, say=told.append) as project:
        digest = project.published()
        contents = snapshot.contents_of(project.workspace, digest)
        assert set(contents.files) == FILES.keys()
        of_run = snapshot.contents_of(project.workspace, project.snapshot())
        assert set(of_run.files) == {"settings.json"}, "a run keeps what it reads"
        (line,) = told
        assert "client_secrets.json (by its name it is a secret)" in line
        assert "large.csv (it has 10.0 MB, and at most 10 MB are kept of a file)" in line
        assert "notes.txt (it holds the value of a secret environment variable)" in line
        assert "make a table or a file set" in line
        folder_there = project.workspace.root / "there"
        snapshot.fetch(project.workspace, digest, folder_there)
        assert {name: (folder_there / name).read_text() for name in FILES} == FILES
        run = ran(project, params={"name": "ignored"})
    assert any("Not kept with the run, though it read them: rates/ignored.txt (git ignores it)" in one for one in told)
    remove(folder)
    found = again(opened_again(project), run)
    assert (found.verdict, found.step, found.cause) == ("differs", "rate", "data")
    assert "rates/ignored.txt" in found.sentence
    assert "is not kept with a run must lie there: make a table of it" in found.sentence


def opened_again(project: Project) -> Workspace:
    return open_workspace(project.workspace.root, project="priced")


def test_a_file_that_was_erased_is_told_and_nothing_else_stands_in(project: Project) -> None:
    workspace = project.workspace
    run = ran(project)
    steps = steps_of(workspace, run)
    (read,) = next(step.hidden for step in steps if step.name == "rate")
    assert (read.kept, workspace.blobs.get(read.content)) == ("rates/plain.txt", b"0.5")
    sweep(workspace, SweepBlobs(grace_days=0))
    assert workspace.blobs.has(read.content), "what a run read is swept"
    workspace.blobs.delete(read.content)
    found = again(workspace, run)
    assert (found.verdict, found.cause, found.run_id) == ("cannot", "data", "")
    assert "The file rates/plain.txt, which the run" in found.sentence
    assert "is not stored any more" in found.sentence
    with pytest.raises(NotFound, match=r"rates/plain\.txt"):
        rerun(workspace, Rerun(target=run.id))


def test_a_person_is_erased_from_kept_files_too(project: Project) -> None:
    workspace = project.workspace
    (project.folder / "data" / "prices.csv").write_text("price,who\n1,ada@example.org\n2,bob@example.org\n")
    run = ran(project)
    versions.overwrite(
        workspace, "people", pl.DataFrame({"email": ["ada@example.org", "bob@example.org"]}), key=("email",)
    )
    asked = {"where": {"email": "ada@example.org"}, "reason": "request 17"}
    counted = erase(workspace, Erase(**asked, dry_run=True))
    assert [(one.place, one.files) for one in counted.places if "beside" in one.place] == [("files beside the code", 1)]
    done = erase(workspace, Erase(**asked))
    assert done.left == 0
    found = again(workspace, run)
    assert (found.verdict, found.cause) == ("cannot", "data")
    assert "The file data/prices.csv" in found.sentence


def test_what_looks_like_a_secret_is_never_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_PASSWORD", "open sesame")
    secrets = {"deploy.pem": "KEY", ".env": "A=1", "told.txt": "say open sesame"}
    for name, text in secrets.items():
        (project.folder / name).write_text(text)
    workspace = project.workspace
    run = ran(project, "leaks")
    (step,) = steps_of(workspace, run)
    assert {one.name for one in step.hidden} == secrets.keys()
    assert {one.kept for one in step.hidden} == {""}
    assert not any(workspace.blobs.has(one.content) for one in step.hidden)
    assert not secrets.keys() & snapshot.contents_of(workspace, project.published()).files.keys()


def test_a_path_that_leads_to_the_checkout_reads_what_lies_there_now(project: Project) -> None:
    target = project.folder / "shift.txt"
    run = ran(project, "elsewhere", {"path": str(target)})
    target.write_text("-100000")
    found = again(project.workspace, run)
    assert (found.verdict, found.step, found.cause) == ("differs", "absolute", "data")
    assert "file shift.txt" in found.sentence


@pytest.mark.full
def test_a_step_in_a_process_of_its_own_finds_them_too(project: Project) -> None:
    run = ran(project, "apart")
    (step,) = steps_of(project.workspace, run)
    assert [one.kept for one in step.hidden] == ["data/prices.csv"]
    change(project.folder)
    found = again(project.workspace, run)
    assert found.verdict == "equal", found.sentence


@pytest.mark.full
def test_relative_paths_begin_where_the_run_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.folder / "work" / "rates").mkdir(parents=True)
    (project.folder / "work" / "rates" / "plain.txt").write_text("2")
    project.module()
    monkeypatch.chdir(project.folder / "work")
    run = ran(project)
    assert result(project.workspace, run) == 6 * 2 * 2 + 10
    remove(project.folder)
    assert again(project.workspace, run).verdict == "equal"


@pytest.mark.full
def test_a_failed_run_is_started_from_with_what_it_had_read(project: Project) -> None:
    workspace = project.workspace
    (project.folder / "rates" / "plain.txt").write_text("none")
    with pytest.raises(StepFailed) as failed:
        ran(project)
    remove(project.folder)
    with pytest.raises(StepFailed, match="could not convert string to float: 'none'"):
        rerun(workspace, Rerun(target=failed.value.run_id))


@pytest.mark.full
def test_a_killed_process_leaves_a_folder_that_the_next_one_makes_anew(project: Project) -> None:
    workspace = project.workspace
    task = staging.task(workspace, snapshot=project.snapshot(), pipeline="leaks")
    folder = staging.stage(workspace, "torn", task)
    (folder / "project").mkdir()
    (folder / "project" / "told.txt").write_text("of the one that was killed")
    workspace.runner.start(folder)
    assert workspace.runner.wait(folder, 60) == "ended", (folder / LOG_FILE).read_text()
    answer = staging.answer(folder)
    assert answer is not None
    assert answer.error is not None
    assert "FileNotFoundError" in f"{answer.error.type} {answer.error.message}"
    assert not (folder / "project").exists()


def test_a_snapshot_names_no_file_outside(workspace: Workspace, tmp_path: Path) -> None:
    content = workspace.blobs.put(b"x")
    contents = json.dumps({"files": {"../up.txt": content}}).encode()
    digest = workspace.blobs.put(archive.pack({"a.py": b"", "snapshot.json": contents}))
    with pytest.raises(Corrupt, match="outside"):
        snapshot.fetch(workspace, digest, tmp_path / "in")


def steps_of(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)
