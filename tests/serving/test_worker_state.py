from pathlib import Path

import pytest

from slipway.serving.worker_state import WorkerState, state_file


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
