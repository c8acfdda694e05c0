"""What the launcher makes of the files that endpoints leave behind, without starting one."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipway.backends.process_launcher import ProcessLauncher
from slipway.errors import BackendError, Conflict
from slipway.ports.launcher import LOCK_FILE, STATUS_FILE
from slipway.records.endpoints import EndpointStatus
from slipway.serving.supervisor import hold, listen


def leave(folder: Path, **changes: Any) -> EndpointStatus:
    plain = {"endpoint": "delays", "pid": os.getpid(), "url": "http://127.0.0.1:1", "revision": 1, "state": "ready"}
    status = msgspec.convert({**plain, "at": datetime.now(UTC), **changes}, EndpointStatus)
    (folder / STATUS_FILE).write_bytes(msgspec.json.encode(status))
    return status


@contextmanager
def held(folder: Path, pid: int) -> Iterator[None]:
    """The folder as a running endpoint holds it, whatever process id it wrote."""
    with (folder / LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{pid}\n")
        file.flush()
        yield


def test_without_files_nothing_runs(tmp_path: Path) -> None:
    launcher = ProcessLauncher()
    assert launcher.status(tmp_path) is None
    launcher.stop(tmp_path)
    launcher.stop(tmp_path)


def test_a_status_without_a_held_lock_proves_nothing(tmp_path: Path) -> None:
    leave(tmp_path)  # its process id lives: it is this test's
    (tmp_path / LOCK_FILE).write_text(f"{os.getpid()}\n")
    assert ProcessLauncher().status(tmp_path) is None


def test_a_held_lock_with_its_owners_status_runs(tmp_path: Path) -> None:
    said = leave(tmp_path)
    with held(tmp_path, os.getpid()):
        assert ProcessLauncher().status(tmp_path) == said


def test_a_status_of_the_owners_predecessor_is_not_the_owners(tmp_path: Path) -> None:
    leave(tmp_path, pid=4_000_000)
    with held(tmp_path, os.getpid()):
        assert ProcessLauncher().status(tmp_path) is None


def test_a_failed_start_is_remembered(tmp_path: Path) -> None:
    said = leave(tmp_path, state="failed", note="The bundle is bad.")
    assert ProcessLauncher().status(tmp_path) == said


def test_who_looks_does_not_keep_the_owner_out(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    assert ProcessLauncher().status(tmp_path) is None
    with hold(tmp_path):
        pass


def test_a_second_owner_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.serving.supervisor._LOCK_WAIT_S", 0.0)
    with hold(tmp_path), pytest.raises(Conflict, match=str(os.getpid())), hold(tmp_path):
        pass


def test_a_process_that_is_no_endpoint_is_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.backends.process_launcher._STOP_WITHIN_S", 0.0)
    with held(tmp_path, os.getpid()), pytest.raises(BackendError, match="which is no endpoint"):
        ProcessLauncher().stop(tmp_path)


def test_the_socket_takes_its_former_port_again_and_sends_at_once() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
    with listen("127.0.0.1", 0, former_port=port) as again:
        assert again.getsockname()[1] == port
        assert again.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.serving.supervisor._PORT_WAIT_S", 0.0)
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(BackendError, match=f"cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)
        with listen("127.0.0.1", 0, former_port=port) as other:
            assert other.getsockname()[1] != port
