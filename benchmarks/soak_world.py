"""The processes of a soak: a server, an endpoint, writers of runs; who kills them, and who would start them again in life."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from slipway.serving.footprint import family, memory_bytes

__all__ = ["PROJECT", "SLIPWAY", "Acknowledged", "Killer", "Kept", "Seen", "World", "await_that", "look_at"]

PROJECT = "soaked"
SLIPWAY = [sys.executable, "-P", "-m", "slipway"]
_PATIENCE_S = 300.0
_EXAMPLE = Path(__file__).parent / "soaked"


def await_that(is_so: Callable[[], object], what: str) -> None:
    """Wait for a condition, for as long as a busy machine may need."""
    until = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError(f"After {_PATIENCE_S:g} s still not so: {what}.")
        time.sleep(0.1)


class Acknowledged:
    """What was promised, by kind, and how long it took; kills wait for its count."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[str]] = {}
        self.took_s: dict[str, list[float]] = {}
        self.refused: Counter[str] = Counter()
        self.count = 0
        self._changed = threading.Condition()

    def add(self, kind: str, *ids: str, took_s: float | None = None) -> None:
        """Somebody was told that these are kept."""
        with self._changed:
            self.by_kind.setdefault(kind, []).extend(ids)
            if took_s is not None:
                self.took_s.setdefault(kind, []).append(took_s)
            self.count += 1
            self._changed.notify_all()

    def refuse(self, kind: str) -> None:
        """Somebody was told that something is not kept, or nothing."""
        with self._changed:
            self.refused[kind] += 1

    def wait_for(self, count: int, ended: threading.Event) -> bool:
        """Until so many operations were acknowledged; whether that was before the end."""
        with self._changed:
            while self.count < count and not ended.is_set():
                self._changed.wait(0.5)
        return not ended.is_set()


class Kept:
    """A process that is started again whenever it ends, as a service manager does, or whoever runs a script again.

    Args:
        command: What is started.
        folder: Where.
        said: Is given each line of its standard output.
    """

    def __init__(self, command: Sequence[str], folder: Path, said: Callable[[str], None] = lambda line: None) -> None:
        self._command, self._folder, self._said = command, folder, said
        self._ends = threading.Event()
        self.starts = 0
        self.process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        found = self.process
        return found.pid if found is not None and found.poll() is None else None

    def end(self) -> None:
        """Let it end in order, and not start again."""
        self._ends.set()
        while self._thread.is_alive():
            if self.process is not None and self.process.poll() is None:
                with suppress(ProcessLookupError):
                    self.process.terminate()
            self._thread.join(5)

    def _keep(self) -> None:
        with (self._folder / "said.log").open("a") as log:
            while not self._ends.is_set():
                self.process = subprocess.Popen(
                    self._command, cwd=self._folder, stdout=subprocess.PIPE, stderr=log, text=True
                )
                self.starts += 1
                assert self.process.stdout is not None
                for line in self.process.stdout:
                    if line.endswith("\n"):
                        self._said(line.strip())
                self.process.wait()
                self.process.stdout.close()
                time.sleep(0.1)


class World:
    """A project whose server, endpoint and writers run.

    Args:
        folder: An empty one.
        told: Takes what is acknowledged.
    """

    def __init__(self, folder: Path, told: Acknowledged) -> None:
        self.home, self.away = folder / "home", folder / "away"
        shutil.copytree(_EXAMPLE, self.home, ignore=shutil.ignore_patterns("__pycache__"))
        self.away.mkdir()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        self.url, self.root = f"http://127.0.0.1:{port}", self.home / ".slipway"
        settings = f'[project]\nname = "{PROJECT}"\n[environments.dev]\nserver = "{self.url}"\n'
        (self.away / "slipway.toml").write_text(settings)
        shutil.copy(_EXAMPLE / "writer.py", self.away)
        for words in (("run", "loans"), ("deploy", "loans")):
            done = subprocess.run([*SLIPWAY, *words], cwd=self.home, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"slipway {' '.join(words)}: {done.stdout}\n{done.stderr}")
        self.server = Kept([*SLIPWAY, "up", "--port", str(port)], self.home)
        self.writers = {
            name: Kept(
                [sys.executable, "writer.py", name], where, lambda line, name=name: told.add(f"run logged {name}", line)
            )
            for name, where in (("in the store", self.home), ("by the outbox", self.away))
        }

    @property
    def endpoint(self) -> Path:
        """The endpoint's folder."""
        return self.root / "endpoints" / PROJECT / "loans"

    def status(self) -> dict[str, object]:
        """What the endpoint's supervisor said last."""
        with suppress(OSError, ValueError):
            found: dict[str, object] = json.loads((self.endpoint / "status.json").read_bytes())
            return found
        return {}

    def pids(self, victim: str) -> list[int]:
        """The processes of a kind that run now."""
        if victim == "server":
            return [self.server.pid] if self.server.pid else []
        if victim.startswith("writer"):
            pid = self.writers[victim.removeprefix("writer ")].pid
            return [pid] if pid else []
        supervisor = int(str(self.status().get("pid", 0)))
        if not supervisor or str(self.endpoint) not in _words(supervisor):
            return []
        if victim == "supervisor":
            return [supervisor]
        return [pid for pid in family(supervisor)[1:] if "endpoint_worker" in _words(pid)]

    def end(self) -> None:
        """Let all of it end in order."""
        for one in (*self.writers.values(), self.server):
            one.end()
        subprocess.run([*SLIPWAY, "endpoints", "stop", "loans"], cwd=self.home, capture_output=True)


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


class Killer(threading.Thread):
    """Kills -9 whom a seed chooses, after as many acknowledged operations as it chooses, and waits for a successor.

    Each kind of victim has its turn in each round, in an order of its own.

    Args:
        world: Whose processes.
        told: Counts the operations.
        seed: Chooses.
        ended: No more after that.
    """

    def __init__(self, world: World, told: Acknowledged, seed: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._world, self._told, self._random, self._ended = world, told, random.Random(seed), ended
        self._victims = ("server", "worker", "supervisor", *(f"writer {name}" for name in world.writers))
        self.spared: frozenset[str] = frozenset()
        self.kills: Counter[str] = Counter()
        self.problem: Exception | None = None

    @property
    def has_met_all(self) -> bool:
        """Whether each kind of victim was killed."""
        return all(self.kills[victim] for victim in self._victims)

    def run(self) -> None:
        """Until the end."""
        try:
            while not self._ended.is_set():
                victims = list(self._victims)
                self._random.shuffle(victims)
                for victim in victims:
                    moment = self._told.count + self._random.randint(50, 300)
                    if not self._told.wait_for(moment, self._ended):
                        return
                    if victim not in self.spared:
                        self._kill(victim)
        except Exception as problem:
            self.problem = problem
            raise

    def _kill(self, victim: str) -> None:
        found = self._world.pids(victim)
        if not found:
            return
        pid = self._random.choice(found)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[victim] += 1
        await_that(
            lambda: self._ended.is_set() or [one for one in self._world.pids(victim) if one != pid],
            f"a killed {victim} has a successor",
        )


class Seen(NamedTuple):
    """What a process held, after so many acknowledged operations."""

    operations: int
    pid: int
    shares: int
    files: int
    threads: int
    zombies: int


def look_at(pid: int, operations: int) -> Seen:
    """Its memory (proportional), open files, threads, and children that nobody collected."""
    files = threads = zombies = 0
    with suppress(OSError):
        files = len(os.listdir(f"/proc/{pid}/fd"))
        threads = len(os.listdir(f"/proc/{pid}/task"))
    for child in family(pid)[1:]:
        with suppress(OSError):
            zombies += "\nState:\tZ" in Path(f"/proc/{child}/status").read_text()
    return Seen(operations, pid, memory_bytes([pid])[0], files, threads, zombies)
