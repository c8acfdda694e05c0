"""Ctrl-C at a terminal: whatever a run is doing, its record is whole, it can be resumed, and nothing of it runs on."""

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

MODULE = """
import os, subprocess, sys, time
from pathlib import Path

import slipway as sw

FOLDER = Path(os.environ["INTERRUPTED_FOLDER"])


def wait(name):
    (FOLDER / f"{name}.{os.getpid()}").touch()
    while (FOLDER / "wait").exists():
        time.sleep(0.05)


@sw.step(cache=False)
def first(n: int) -> int:
    with (FOLDER / "first").open("a") as file:
        file.write("x")
    return n


@sw.step
def slow(n: int) -> int:
    wait(f"begun-{n}")
    return n


@sw.step(timeout_s=600)
def apart(n: int) -> int:
    if (FOLDER / "wait").exists():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (FOLDER / f"child.{child.pid}").touch()
    wait("begun")
    return n


@sw.step(retries=1, backoff_s=600)
def flaky(n: int) -> int:
    (FOLDER / "begun.0").touch()
    if (FOLDER / "wait").exists():
        raise ValueError("not yet")
    return n


@sw.pipeline
def mapped() -> list[int]:
    return slow.map(sw.each([first(1), 2, 3, 4, 5, 6]))


@sw.pipeline
def process() -> int:
    return apart(first(1))


@sw.pipeline
def mapped_process() -> list[int]:
    return apart.map(sw.each([first(1), 2, 3]))


@sw.pipeline
def retried() -> int:
    return flaky(first(1))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "p"\nmodule = "interrupted_steps"\n')
    (tmp_path / "interrupted_steps.py").write_text(MODULE)
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "wait").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTERRUPTED_FOLDER", str(tmp_path / "marks"))
    return tmp_path


class _Terminal:
    """A run at a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._keys, theirs = pty.openpty()
        self._run = subprocess.Popen(
            [sys.executable, "-m", "slipway", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._told = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._keys, 65536)
            except OSError:  # the other side is closed
                return
            if not data:
                return
            self._told += data

    def ctrl_c(self) -> None:
        os.write(self._keys, b"\x03")

    def end(self) -> tuple[int, str]:
        code = self._run.wait(120)
        self._reader.join(10)
        os.close(self._keys)
        return code, self._told.decode()


def _until(marks: Path, name: str) -> None:
    until = time.monotonic() + 120
    while not list(marks.glob(f"{name}*")):
        assert time.monotonic() < until, name
        time.sleep(0.05)


def _is_gone(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "slipway", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("pipeline", "times"),
    [("mapped", 2), ("process", 1), ("mapped_process", 2), ("retried", 1)],
)
def test_ctrl_c_ends_a_run_and_leaves_it_to_be_resumed(folder: Path, pipeline: str, times: int) -> None:
    marks = folder / "marks"
    terminal = _Terminal("run", pipeline)
    _until(marks, "begun")
    for _ in range(times):
        time.sleep(0.5)  # a person's
        terminal.ctrl_c()
        time.sleep(1.0)
    code, told = terminal.end()
    assert code == 130, told
    assert "Go on with: slipway run --resume last" in told
    pids = [path.suffix[1:] for path in marks.iterdir() if path.suffix not in ("", ".0")]
    assert all(map(_is_gone, pids)), pids
    shown = json.loads(_cli("runs", "show", "last", "--json").stdout)
    assert (shown["run"]["state"], shown["run"]["error"]["type"]) == ("failed", "Interrupted")
    assert shown["run"]["ended_at"]
    assert {step["state"] for step in shown["steps"]} <= {"finished", "failed", "cancelled"}
    assert [step["state"] for step in shown["steps"] if step["name"] == "first"] == ["finished"]
    (marks / "wait").unlink()
    resumed = _cli("run", "--resume", "last", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert (marks / "first").read_text() == "x"  # what had finished is not repeated
