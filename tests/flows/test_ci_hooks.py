"""The hook of a bare repository: which pushes it carries out, and that they do so one after the other."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pushing import commit, git

from slipway.flows.ci_files import hook, write
from slipway.flows.ci_hooks import WORK

RECORDER = """#!/bin/bash
# Stands where the interpreter does: notes which commit it was given, and takes as long as it is told.
echo "begin $(git -C "$6" rev-parse HEAD)" >> {notes}
while [ -e {hold} ]; do sleep 0.02; done
echo "end" >> {notes}
exit $(cat {code})
"""


class Server:
    """A bare repository with the hook, and a clone from which somebody pushes."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.clone = folder / "bare.git", folder / "clone"
        self.notes, self.hold, self.code = folder / "notes", folder / "hold", folder / "code"
        self.notes.touch()
        self.code.write_text("0")
        program = folder / "recorder"
        program.write_text(RECORDER.format(notes=self.notes, hold=self.hold, code=self.code))
        program.chmod(0o755)
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        write(hook(self.bare / "hooks", is_bare=True, python=str(program)), force=False)
        git(folder, "init", "--quiet", "--initial-branch=main", str(self.clone))
        git(self.clone, "remote", "add", "origin", str(self.bare))

    def change(self, words: str) -> str:
        (self.clone / "slipway.toml").write_text(f"# {words}\n")
        return commit(self.clone, words)

    def push(self, *words: str) -> str:
        return git(self.clone, "push", "--quiet", "origin", *(words or ("main",)))

    def carried_out(self) -> list[str]:
        lines = [line.split() for line in self.notes.read_text().splitlines()]
        assert [line[0] for line in lines] == ["begin", "end"] * (len(lines) // 2)  # never two at once
        return [line[1] for line in lines if line[0] == "begin"]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_what_is_pushed_to_the_main_branch_is_carried_out(server: Server) -> None:
    first = server.change("first")
    server.push()
    second = server.change("second")
    server.push()
    assert server.carried_out() == [first, second]
    assert git(server.bare / WORK, "rev-parse", "HEAD").strip() == second
    assert "is not refs/heads/main: nothing" in server.push("main:refs/heads/aside")
    assert "is not refs/heads/main: nothing" in server.push("main:refs/tags/one")
    git(server.clone, "reset", "--quiet", "--hard", first)
    assert "the history of refs/heads/main was rewritten" in server.push("--force", "main")
    assert server.carried_out() == [first, second, first]


def test_what_becomes_of_it_is_said_and_the_push_stays(server: Server) -> None:
    server.change("first")
    server.code.write_text("3")
    said = server.push()
    assert "slipway: ended with 3; what serves goes on serving" in said
    assert f"slipway ci run -C {server.bare / WORK}" in said
    server.change("second")
    server.code.write_text("8")
    assert "what serves goes on serving until then" in server.push()
    git(server.clone, "rm", "--quiet", "slipway.toml")
    commit(server.clone, "No project any more")
    assert "has no slipway.toml in its top folder" in server.push()
    git(server.bare, "config", "receive.denyDeleteCurrent", "ignore")
    assert "refs/heads/main was deleted" in server.push(":main")


def test_pushes_at_once_are_carried_out_one_after_the_other(server: Server) -> None:
    server.hold.touch()
    said: list[str] = []

    def begin() -> threading.Thread:
        thread = threading.Thread(target=lambda: said.append(server.push()))
        thread.start()
        return thread

    first = server.change("first")
    threads = [begin()]
    wait_for(lambda: "begin" in server.notes.read_text())
    second = server.change("second")
    threads.append(begin())
    wait_for(lambda: waiting(server) == 1)
    third = server.change("third")
    threads.append(begin())
    wait_for(lambda: waiting(server) == 2)
    server.hold.unlink()
    for thread in threads:
        thread.join()
    assert server.carried_out() == [first, third]
    assert any(f"{second[:12]} was replaced by a later push meanwhile" in one for one in said)
    assert sum("another push is under way" in one for one in said) == 2


def test_a_kill_leaves_no_lock(server: Server) -> None:
    server.hold.touch()
    first = server.change("first")
    thread = threading.Thread(target=server.push)
    thread.start()
    wait_for(lambda: "begin" in server.notes.read_text())
    holders = subprocess.run(
        ["pgrep", "-f", f"{server.bare.parent}/recorder"], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in holders:
        subprocess.run(["kill", "-9", pid], check=False)
    thread.join()
    server.hold.unlink()
    server.notes.write_text("")
    second = server.change("second")
    server.push()
    assert server.carried_out() == [second]
    assert first != second


def waiting(server: Server) -> int:
    """How many pushes stand at the lock."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_ours = (process / "fd" / "9").readlink() == server.bare / "slipway.lock"
        except OSError:  # ended meanwhile, or has no such file
            continue
        found += is_ours and words[:2] == [b"flock", b"9"]
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
