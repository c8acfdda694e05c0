"""A process killed in the middle of a run: what was finished is found, at most what was running runs again."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.ledger import artifacts
from slipway.pipelines import reasons
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepRun
from slipway.runs import recovery, search

PROGRAM = """
import os, sys
from pathlib import Path
import slipway as sw
from slipway.hosts.project import open_workspace
from slipway.ledger.run_log import current_run
from slipway.pipelines import engine

@sw.step
def first(n: int) -> int:
    print("first", flush=True)
    return n + 1

@sw.step
def second(n: int, marker: str) -> int:
    print("second", flush=True)
    current_run.get().log_metric("seen", n)
    current_run.get().write()
    if not os.path.exists(marker):
        os.kill(os.getpid(), 9)
    return n * 2

@sw.pipeline
def release(marker: str) -> int:
    return second(first(1), marker)

if __name__ == "__main__":
    workspace = open_workspace(Path(sys.argv[1]), project="flights")
    print(engine.run(workspace, release, {"marker": sys.argv[2]}).value)
"""

# Each step says by a file of its own that it began: "begun/<step>-<n>/<process>". A step that may not be cached, one
# whose result is large, and five beside each other, so that a kill finds the run at every sort of moment.
MANY = """
import os, sys
from pathlib import Path
import polars as pl
import slipway as sw
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine

BEGUN = Path(sys.argv[2])

def begins(name: str) -> None:
    (BEGUN / name).mkdir(exist_ok=True)
    (BEGUN / name / str(os.getpid())).touch()

@sw.step(cache=False)
def fetch(n: int) -> int:
    begins(f"fetch-{n}")
    return n

@sw.step
def large(n: int) -> pl.DataFrame:
    begins(f"large-{n}")
    print("large", n)
    return pl.DataFrame({"n": range(n, n + 300_000)})

@sw.step
def total(rows: pl.DataFrame, n: int) -> int:
    begins(f"total-{n}")
    return int(rows["n"].sum()) + n

@sw.pipeline
def release() -> int:
    numbers = [fetch(n) for n in range(3)]
    rows = large.map(sw.each(numbers))
    return sum(total.map(sw.each(rows * 2), n=sw.each(range(6))))

if __name__ == "__main__":
    workspace = open_workspace(Path(sys.argv[1]), project="flights")
    print("begins", flush=True)
    resume = "last" if sys.argv[3] == "again" else None
    print(engine.run(workspace, release, resume=resume, workers=3).value, flush=True)
"""


def test_a_killed_run_is_taken_up_where_it_stopped(workspace: Workspace, tmp_path: Path) -> None:
    program, marker = tmp_path / "program.py", tmp_path / "marker"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(workspace.root), str(marker)]
    died = subprocess.run(command, capture_output=True, text=True)
    assert (died.returncode, died.stdout.split()) == (-9, ["first", "second"])
    killed = recovery.recover(workspace)
    assert [run.state for run in killed] == ["killed"]
    with workspace.ledger.read() as tx:
        assert [(s.name, s.state) for s in reasons.steps_of(tx, killed[0].id)] == [
            ("first", "finished"),
            ("second", "failed"),
        ]
    assert search.metrics(workspace, killed[0].id) == {"seen": 2.0}
    marker.touch()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.split() == ["second", "4"]
    latest = search.list_runs(workspace)[0]
    assert latest.state == "finished"
    with workspace.ledger.read() as tx:
        assert [s.reason for s in reasons.steps_of(tx, latest.id)][1] == f"it was killed in run {killed[0].id[:12]}"


ELSEWHERE = """
import os, sys, time
from pathlib import Path
import slipway as sw
from slipway.hosts.project import open_workspace
from slipway.pipelines import engine

@sw.step(timeout_s=60)
def fatal(pid: int) -> int:
    os.kill(pid, 9)
    time.sleep(60)
    return pid

@sw.pipeline
def release() -> int:
    return fatal(os.getpid())

if __name__ == "__main__":
    engine.run(open_workspace(Path(sys.argv[1]), project="flights"), release)
"""


def test_what_a_killed_run_gave_to_workers_is_removed(workspace: Workspace, tmp_path: Path) -> None:
    program = tmp_path / "elsewhere.py"
    program.write_text(ELSEWHERE)
    died = subprocess.run([sys.executable, str(program), str(workspace.root)], capture_output=True)
    assert died.returncode == -9
    tasks = workspace.root / "tasks"
    other = tasks / "another-run"
    other.mkdir()
    assert len(list(tasks.iterdir())) == 2
    assert [run.state for run in recovery.recover(workspace)] == ["killed"]
    assert list(tasks.iterdir()) == [other]


@pytest.mark.parametrize("seed", [3, pytest.param(range(20, 32), marks=pytest.mark.long)], ids=["one", "many"])
def test_killed_at_any_moment_a_resume_repeats_at_most_what_was_running(
    workspace: Workspace, tmp_path: Path, seed: int | range
) -> None:
    program = tmp_path / "program.py"
    program.write_text(MANY)
    for number in [seed] if isinstance(seed, int) else seed:
        begun = tmp_path / f"begun-{number}"
        begun.mkdir()
        _forget(workspace)
        _killed_and_resumed(workspace, program, begun, random.Random(number))


def _killed_and_resumed(workspace: Workspace, program: Path, begun: Path, chance: random.Random) -> None:
    again = "first"
    for _ in range(4):
        command = [sys.executable, str(program), str(workspace.root), str(begun), again]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert running.stdout.readline() == "begins\n"
        time.sleep(chance.uniform(0.0, 0.3))
        running.send_signal(signal.SIGKILL)
        running.communicate()
        recovery.recover(workspace)
        runs = search.list_runs(workspace)
        if not runs:
            continue  # it was killed before it began
        steps = search.steps(workspace, runs[0].id)
        assert runs[0].state in ("killed", "finished")
        assert not [s for s in steps if s.state in ("running", "waiting")]
        for step in steps:
            _check_whole(workspace, step)
        again = "again"
    command = [sys.executable, str(program), str(workspace.root), str(begun), again]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == str(sum(sum(range(n, n + 300_000)) for n in (0, 1, 2)) * 2 + 15)
    _check_repeated(workspace, begun)
    assert not list((workspace.root / "run-logs").iterdir())
    assert not [path for path in (workspace.root / "step-logs").glob("*") if path.is_dir()]


def _check_whole(workspace: Workspace, step: StepRun) -> None:
    """What a record says that it stored is there, and whole."""
    if step.outputs:
        artifacts.load(workspace.blobs, step.outputs)
    if step.output is not None:
        assert workspace.blobs.get(step.output.digest)


def _check_repeated(workspace: Workspace, begun: Path) -> None:
    """A step began once, and once more at most for each time that a kill found it running."""
    killed: dict[str, int] = {}
    for run in search.list_runs(workspace, limit=100):
        for step in search.steps(workspace, run.id):
            if step.error is not None and step.error.type == "Killed":
                killed[step.name] = killed.get(step.name, 0) + 1
    for name in ("fetch", "large", "total"):
        calls = list(begun.glob(f"{name}-*"))
        times = sum(len(list(call.iterdir())) for call in calls)
        assert times <= len(calls) + killed.get(name, 0), f"{name} began {times} times, {killed} were killed"


def _forget(workspace: Workspace) -> None:
    """A store like new: what other runs left is no help."""
    with workspace.ledger.write() as tx:
        for run in search.list_runs(workspace, limit=100):
            for step in search.steps(workspace, run.id):
                tx.remove("step", step.id)
            tx.remove("run", run.id)
        for name, target in tx.refs(workspace.project, "cache").items():
            tx.set_ref(workspace.project, "cache", name, "", expect=target)
