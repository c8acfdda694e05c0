"""What steps print and log is kept with them: each its own, bounded, without secrets, while they run and after."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slipway as sw
from slipway.backends.process_executor import ProcessExecutor
from slipway.errors import NotFound, StepFailed
from slipway.ledger.step_output import KeptOutput, gathered, part_after
from slipway.operations.runs import GetStepLog
from slipway.pipelines import engine, snapshot
from slipway.pipelines.remote import Remote
from slipway.ports.workspace import Workspace
from slipway.runs import recovery, search
from slipway.runs.step_logs import get_step_log

PROJECT = """
import logging, os, sys, time
from pathlib import Path
import slipway as sw


@sw.step
def talk(name: str) -> str:
    print("hello", name)
    print("careful", file=sys.stderr)
    logging.getLogger("flow").warning("%s is odd", name)
    print("the password is", os.environ.get("FLOW_PASSWORD"))
    return name


@sw.step
def fails(name: str) -> str:
    print("last words")
    raise ValueError("no")


@sw.step
def chatters(lines: int) -> int:
    print("the first line")
    for number in range(lines):
        print("x" * 1000, number)
    print("the last line")
    return lines


@sw.step
def waits(folder: str) -> int:
    print("begun", flush=True)
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    print("over", flush=True)
    return 1


@sw.pipeline
def talking(name: str = "ada") -> str:
    return talk(name)


@sw.pipeline
def failing() -> str:
    return fails("x")


@sw.pipeline
def chattering(lines: int) -> int:
    return chatters(lines)


@sw.pipeline
def waiting(folder: str) -> int:
    return waits(folder)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "talking_flow.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("FLOW_PASSWORD", "correct horse")
    yield folder
    sys.modules.pop("talking_flow", None)


Go = Callable[..., engine.PipelineResult]


@pytest.fixture(params=["here", "process"])
def go(request: pytest.FixtureRequest, workspace: Workspace, project: Path) -> Go:
    def run(name: str, **params: object) -> engine.PipelineResult:
        import talking_flow  # type: ignore[import-not-found]  # written by the fixture

        remote = None
        if request.param == "process":
            remote = Remote(ProcessExecutor(), code=snapshot.pack(project), folder=workspace.root / "tasks")
        return engine.run(workspace, getattr(talking_flow, name), params, remote=remote)

    return run


def log(workspace: Workspace, step: str, **more: Any) -> Any:
    return get_step_log(workspace, GetStepLog(id=search.list_runs(workspace)[0].id, step=step, **more))


def test_what_a_step_prints_and_logs_is_kept_without_secrets(
    workspace: Workspace, go: Go, capfd: pytest.CaptureFixture[str]
) -> None:
    go("talking")
    found = log(workspace, "talk")
    lines = found.text.splitlines()
    assert {"hello ada", "careful", "the password is ***"} <= set(lines)
    assert sum("ada is odd" in line for line in lines) == 1
    assert (found.state, found.number, found.calls, found.left_out) == ("finished", 1, 1, 0)
    assert "correct horse" not in found.text
    go("talking")
    assert log(workspace, "talk").text == found.text  # of a step that was found again: what it printed when it ran
    assert not list((workspace.root / "step-logs").iterdir())


def test_what_a_failing_step_printed_is_kept(workspace: Workspace, go: Go) -> None:
    with pytest.raises(StepFailed):
        go("failing")
    assert log(workspace, "fails").text.startswith("last words\n")
    with pytest.raises(NotFound, match="did not call a step 'nope'"):
        log(workspace, "nope")
    with pytest.raises(NotFound, match="has no call 2 of the step 'fails'"):
        log(workspace, "fails", number=2)


def test_a_step_that_prints_megabytes_keeps_head_and_tail(
    workspace: Workspace, go: Go, capfd: pytest.CaptureFixture[str]
) -> None:
    go("chattering", lines=20_000)
    found = log(workspace, "chatters")
    assert found.text.startswith("the first line\n")
    assert found.text.endswith("the last line\n")
    assert found.left_out > 18_000_000
    assert f"[... {found.left_out:,} bytes were left out here ...]" in found.text
    assert len(found.text) < 250_000


def test_steps_beside_each_other_keep_their_own(workspace: Workspace) -> None:
    @sw.step(cache=False)
    def count(name: str) -> str:
        for number in range(200):
            print(name, number)
            logging.getLogger(name).error("%d", number)
        return name

    @sw.pipeline
    def many() -> list[str]:
        return count.map(sw.each(["a", "b", "c"]))

    engine.run(workspace, many, workers=3)
    for number, name in enumerate("abc", 1):
        text = log(workspace, "count", number=number).text
        assert text == "".join(f"{name} {n}\nERROR {name}: {n}\n" for n in range(200))
    assert logging.Logger.callHandlers.__module__ == "logging"


def test_the_log_of_a_step_that_runs_can_be_followed(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    program = project / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom slipway.hosts.project import open_workspace\n"
        "from slipway.pipelines import engine\nimport talking_flow\n"
        "engine.run(open_workspace(Path(sys.argv[1]), project='flights'), talking_flow.waiting, {'folder': sys.argv[2]})\n"
    )
    running = subprocess.Popen(
        [sys.executable, str(program), str(workspace.root), str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        found = None
        while found is None or not found.text:
            try:
                found = log(workspace, "waits")
            except (NotFound, IndexError):  # the ledger hears of it within a second
                continue
        assert (found.text, found.state) == ("begun\n", "running")
        running.kill()  # what a killed step had printed is not lost
        running.wait()
        (killed,) = recovery.recover(workspace)
        assert killed.state == "killed"
        assert log(workspace, "waits").text == "begun\n"
        assert log(workspace, "waits", after=found.next).text == ""
        assert not list((workspace.root / "step-logs").iterdir())
    finally:
        running.kill()
        running.communicate()


def test_output_is_kept_in_segments_that_know_their_place(tmp_path: Path) -> None:
    kept = KeptOutput(tmp_path / "step")
    assert kept.is_empty
    assert not (tmp_path / "step").exists()
    kept.write("head\n")
    at = part_after(gathered(tmp_path / "step"), 0)[1]
    assert at == 5
    kept.write("y" * 9_000_000 + "\n")  # more at once than is ever kept
    kept.write("no newline yet")
    kept.close()
    data, head, left_out = gathered(tmp_path / "step")
    assert data.startswith(b"head\nyyy")
    assert data.endswith(b"y\nno newline yet")
    assert len(data) + left_out == 5 + 9_000_001 + 14
    assert head == 65536
    text, end = part_after((data, head, left_out), at)
    assert text.startswith("yyy")
    assert end == len(data) + left_out
    assert part_after((data, head, left_out), end - 4)[0] == " yet"
    assert len(os.listdir(tmp_path / "step")) <= 3
