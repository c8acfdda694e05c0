"""Steps that do what no step should: a sentence that names the step, a whole record, and a run that can be resumed."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import slipway as sw
from slipway.errors import StepFailed
from slipway.pipelines import engine, reasons
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import recovery, search
from slipway.tables import versions

PROJECT = """
import ctypes, os, signal, sys
from pathlib import Path
import polars as pl
import slipway as sw


@sw.step(timeout_s=60)
def takes(thing: object) -> int:
    return 1


@sw.step(timeout_s=60)
def dies(number: int, marker: str) -> int:
    if Path(marker).exists():
        return number
    print("about to die", flush=True)
    os.kill(os.getpid(), number)
    return 0


@sw.step
def forks(n: int) -> int:
    if os.fork() == 0:
        return n + 1000  # the child comes back from the step as well
    os.wait()
    return n


@sw.step
def after(n: int) -> int:
    print("after", n, flush=True)
    return n


@sw.step
def large(size: int) -> pl.DataFrame:
    return pl.DataFrame({"n": [os.urandom(32) for _ in range(size // 32)]})


@sw.step
def rows(frame: pl.DataFrame) -> int:
    return frame.height


@sw.pipeline
def taking(what: str) -> int:
    return takes({"generator": (n for n in range(3)), "lambda": lambda: 1, "file": sys.stderr}[what])


@sw.pipeline
def dying(number: int, marker: str) -> int:
    return after(dies(number, marker))


@sw.pipeline
def forking() -> int:
    return after(forks(1))


@sw.pipeline
def filling(size: int) -> int:
    return rows(large(size)) + after(1)
"""

PROGRAM = """
import resource, sys
from pathlib import Path
import bad_flow
from slipway.errors import SlipwayError
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine

workspace = open_workspace(Path(sys.argv[1]), project="flights")
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    print(engine.run(workspace, getattr(bad_flow, sys.argv[2]), eval(sys.argv[3])).value, flush=True)
except SlipwayError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bad_flow.py").write_text(PROJECT)
    (folder / "program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(folder))
    import bad_flow  # type: ignore[import-not-found]  # written above

    yield bad_flow
    sys.modules.pop("bad_flow", None)


def outside(workspace: Workspace, flow: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline in a process of its own, which may come to harm."""
    program = Path(flow.__file__).with_name("program.py")
    command = [sys.executable, str(program), str(workspace.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def steps(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


def newest(workspace: Workspace) -> Run:
    return search.list_runs(workspace)[0]


@pytest.mark.parametrize("what", ["generator", "lambda", "file"])
def test_an_argument_that_no_other_process_can_have_names_the_step(workspace: Workspace, flow: Any, what: str) -> None:
    with pytest.raises(StepFailed, match=r"The step 'takes' failed: InvalidInput: .* cannot be stored"):
        engine.run(workspace, flow.taking, {"what": what})
    assert [(s.name, s.state) for s in steps(workspace, newest(workspace))] == [("takes", "failed")]


@pytest.mark.parametrize(("number", "word"), [(9, "SIGKILL, as a machine does"), (11, "SIGSEGV"), (6, "SIGABRT")])
def test_a_step_that_dies_of_a_signal_is_named_and_its_run_resumed(
    workspace: Workspace, flow: Any, tmp_path: Path, number: int, word: str
) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(StepFailed, match=f"The step 'dies' failed: its process was killed by {word}"):
        engine.run(workspace, flow.dying, {"number": number, "marker": str(marker)})
    (found,) = steps(workspace, newest(workspace))
    assert found.output is not None
    assert workspace.blobs.get(found.output.digest).startswith(b"about to die\n")
    marker.touch()
    assert engine.run(workspace, flow.dying, resume="last").value == number


def test_a_process_that_a_step_forked_off_does_not_go_on_with_the_pipeline(workspace: Workspace, flow: Any) -> None:
    done = outside(workspace, flow, "forking", "{}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["after", "1", "1"]
    assert "A process that the step 'forks' forked off came back from it" in done.stderr
    assert [(s.name, s.state) for s in steps(workspace, newest(workspace))] == [
        ("forks", "finished"),
        ("after", "finished"),
    ]


@pytest.mark.full
def test_a_full_disk_names_the_step_and_the_run_goes_on_when_there_is_room(workspace: Workspace, flow: Any) -> None:
    full = outside(workspace, flow, "filling", "{'size': 48_000_000}", "24_000_000")
    assert full.returncode == 1
    assert "The result of the step 'large' could not be stored" in full.stderr
    run = newest(workspace)
    assert (run.state, [(s.name, s.state) for s in steps(workspace, run)]) == ("failed", [("large", "failed")])
    assert not list((workspace.root / "blobs").glob("*/.part-*"))
    assert outside(workspace, flow, "filling", "{'size': 48_000_000}").returncode == 0


def test_a_disk_that_takes_no_record_either_leaves_a_run_that_is_found_killed(workspace: Workspace, flow: Any) -> None:
    full = outside(workspace, flow, "filling", "{'size': 32}", "0")
    assert full.returncode == 1
    assert "could not be written" in full.stderr or "cannot be" in full.stderr
    recovery.recover(workspace)
    assert outside(workspace, flow, "filling", "{'size': 32}").returncode == 0
    assert newest(workspace).state == "finished"


def test_a_step_that_destroys_what_it_was_given_harms_nobody_else(workspace: Workspace, tmp_path: Path) -> None:
    photos = sw.fileset("photos")
    source = tmp_path / "photos"
    source.mkdir()
    (source / "a.txt").write_text("first")
    photos.add(source)
    versions.overwrite(workspace, "rows", pl.DataFrame({"n": [1, 2, 3]}))

    @sw.step(cache=False)
    def destroys(frame: pl.DataFrame, folder: str) -> int:
        place = Path(folder)
        photos.check_out(place, link=True)
        for path in list(place.rglob("*.txt")):
            path.unlink()
        frame.drop_in_place("n")
        return versions.read(workspace, "rows").collect().height

    @sw.step(cache=False)
    def reads(frame: pl.DataFrame) -> list[int]:
        return frame["n"].to_list()

    @sw.pipeline
    def rough(folder: str) -> tuple[list[int], bytes]:
        frame = pl.DataFrame({"n": [1, 2, 3]})
        destroys(frame.clone(), folder)
        return reads(frame), photos.read("a.txt")

    assert engine.run(workspace, rough, {"folder": str(tmp_path / "out")}).value == ([1, 2, 3], b"first")
    parts = [path for path in workspace.root.rglob("*.parquet") if "tables" in path.parts]
    assert parts
    assert all(not path.stat().st_mode & 0o222 for path in parts)


class _JumpingClock:
    def __init__(self, start: datetime) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at


def test_a_clock_that_jumps_backwards_changes_no_result(workspace: Workspace) -> None:
    clock = _JumpingClock(workspace.clock.now())
    jumpy = replace(workspace, clock=clock)

    @sw.step
    def one(n: int) -> int:
        return n

    @sw.pipeline
    def jumping(n: int = 1) -> int:
        first = one(n)
        clock.at -= timedelta(days=3)
        return first + one(n + 1)

    first = engine.run(jumpy, jumping)
    clock.at -= timedelta(days=30)
    again = engine.run(jumpy, jumping)
    assert (first.value, again.value) == (3, 3)
    assert [s.state for s in steps(workspace, first.run)] == ["finished"] * 2
    assert [s.state for s in steps(workspace, again.run)] == ["cached"] * 2
    assert all(s.seconds >= 0 for s in steps(workspace, first.run))


@sw.step
def unwritable() -> int:
    raise ValueError("bad \udc80 msg")


@sw.pipeline
def with_unwritable() -> int:
    return unwritable()


def test_a_step_s_error_that_utf_8_cannot_hold_is_kept(workspace: Workspace) -> None:
    with pytest.raises(StepFailed) as failed:
        engine.run(workspace, with_unwritable)
    assert str(failed.value.__cause__) == "bad \udc80 msg"
    kept = search.get_run(workspace, failed.value.run_id)
    assert kept.state == "failed"
    assert kept.error is not None
    assert kept.error.message == "bad \\udc80 msg"
