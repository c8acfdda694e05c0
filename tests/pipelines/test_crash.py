"""A process killed in the middle of a run: what was finished is found, the rest runs again."""

import subprocess
import sys
from pathlib import Path

from slipway.pipelines import reasons
from slipway.ports.workspace import Workspace
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
    assert search.list_runs(workspace)[0].state == "finished"
