"""What is told of processes from /proc is told by `ps` too, where there is no /proc."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import processes
from slipway.features import spare
from slipway.hosts import server_process

WORKS = "import sys; held = bytearray(1 << 25); total = sum(range(3_000_000)); print('.', flush=True); sys.stdin.read()"
CHILD = (
    "import subprocess, sys; held = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=sys.stdin); held.wait()"
)

pytestmark = pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps: apt install procps")


@pytest.fixture(params=["proc", "ps"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ps":
        monkeypatch.setattr(processes, "PROC", tmp_path / "none")
        monkeypatch.setattr(spare, "PROC", tmp_path / "none")
        monkeypatch.setattr(server_process, "PROC", tmp_path / "none")
    return str(request.param)


@pytest.fixture
def working() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child that has worked, holds 32 MB and waits."""
    command = [sys.executable, "-c", CHILD, WORKS, "a mark"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b".\n"
        yield process
        process.communicate()


def test_a_process_is_told_of_both_ways(way: str, working: subprocess.Popen[bytes]) -> None:
    (child,) = processes.descendants(working.pid)
    assert processes.resident_bytes(child) > 1 << 25
    assert processes.proportional_bytes(child) > 1 << 25
    assert processes.resident_bytes(child) > processes.resident_bytes(working.pid) > 0
    used = processes.cpu_seconds([working.pid, child])
    assert used is not None
    assert used >= 0
    assert processes.started(child)
    assert "mark" in " ".join(processes.words_of(working.pid))
    assert processes.words_of_all()[working.pid] == processes.words_of(working.pid)


def test_what_has_ended_is_nothing(way: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", "0"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked for its exit code
    assert processes.started(process.pid) == ""
    process.wait()
    gone = process.pid
    assert processes.started(gone) == ""
    assert processes.descendants(gone) == []
    assert processes.resident_bytes(gone) == 0
    assert processes.cpu_seconds([gone]) is None
    assert processes.words_of(gone) == []


def test_a_server_is_found_by_its_store(way: str, tmp_path: Path) -> None:
    code = "import sys; print('.', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, "slipway", "up", str(tmp_path.resolve())]
    mark = {**os.environ, server_process._MARK: str(tmp_path.resolve())}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=mark) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.pid in server_process._started_for(tmp_path)
        assert server_process._serves(process.pid, tmp_path)
        assert not server_process._serves(process.pid, tmp_path / "other")
        process.communicate()


def test_a_socket_in_a_deep_folder_is_bound_and_found(way: str, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "e"
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening, processes.near(deep) as there:
        listening.bind(str(there / "s"))
        listening.listen()
        assert (deep / "s").is_socket()
        with processes.near(deep) as again, socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(again / "s"))


def test_memory_is_told_or_halved(way: str) -> None:
    free = spare.free_bytes()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("told", "seconds"), [("0:01.25", 1.25), ("00:00:07", 7), ("2-03:04:05", 183_845), ("61:02.00", 3662), ("", 0)]
)
def test_times_of_ps_are_read(told: str, seconds: float) -> None:
    assert processes._seconds(told) == seconds
