import os
import subprocess
from pathlib import Path

import pytest

from slipway.serving.worker_state import WorkerState, answering, state_file


def test_a_state_reads_back(tmp_path: Path) -> None:
    path = state_file(tmp_path, 3, 77)
    assert WorkerState.read(path) == WorkerState(ready=False, revision=0)
    path.parent.mkdir()
    WorkerState(ready=True, revision=2, note="Fine.").write(path)
    assert WorkerState.read(path) == WorkerState(ready=True, revision=2, note="Fine.")


def test_a_full_disk_is_logged_and_keeps_no_worker_from_answering(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".0-1.json.part").symlink_to("/dev/full")
    WorkerState(ready=True, revision=1).write(tmp_path / "0-1.json")
    assert "No space left" in caplog.text
    assert not (tmp_path / "0-1.json").exists()


def test_workers_that_answer_are_those_that_are_ready_serve_and_live(tmp_path: Path) -> None:
    assert answering(tmp_path) == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    state_file(tmp_path, 0).parent.mkdir()
    for index, pid, ready, stands_by in [
        (0, os.getpid(), True, False),
        (1, os.getpid(), False, False),
        (2, os.getpid(), True, True),
        (3, gone.pid, True, False),
        (4, os.getppid(), True, False),
    ]:
        WorkerState(ready=ready, revision=1, stands_by=stands_by).write(state_file(tmp_path, index, pid))
    (tmp_path / "workers" / "0.callers").write_bytes(b"{}")
    assert answering(tmp_path) == 2
