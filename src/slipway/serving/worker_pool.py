"""An endpoint's worker processes: so many of each kind, started, replaced when they die, and told to leave.

A worker that should not stay although it answers is relieved: it counts no more among those that are wanted, so that
another of its kind is started, and goes when that one is ready. Until then it answers.
"""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slipway.processes import near
from slipway.serving.counters import MAX_WORKERS
from slipway.serving.front_routes import hung_file, life_file, socket_file
from slipway.serving.worker_state import FINISH_S, WorkerState, state_file

__all__ = ["Ended", "Kind", "Worker", "WorkerPool"]

_MAX_PAUSE_S = 10.0
_STEADY_S = 10.0
_BACKLOG = 2048
_SILENT = WorkerState(ready=False, revision=0)


class Kind(NamedTuple):
    """What kind of worker.

    Args:
        environment: The lock of the environment that it runs in, "" for the supervisor's own.
        is_fronted: Whether it answers a front, by a socket of its own; otherwise clients, on the endpoint's address.
    """

    environment: str
    is_fronted: bool


@dataclass
class Worker:
    """One worker process.

    Args:
        serial: Counts the workers of an endpoint's supervisors; no two have the same.
        index: Its slot among those that live.
        kind: What kind it is.
        process: The process.
        started: Machine time.
        tries: How many of its kind ended soon before it.
        state: What it said of itself when the pool looked last.
        beat: The stamp of its last sign of life, and when that was seen.
        was_small: Whether it was once below its limit of memory.
        is_relieved: Whether another one takes its place.
        fallen: How many ends of challengers in processes of their own were taken note of.
        killed: Why the supervisor killed it, "" where it did not.
        told: When it was told to leave, machine time; 0 as long as it was not.
    """

    serial: int
    index: int
    kind: Kind
    process: subprocess.Popen[bytes]
    started: float
    tries: int
    state: WorkerState = _SILENT
    beat: tuple[int, float] = (0, 0.0)
    was_small: bool = False
    is_relieved: bool = False
    fallen: int = 0
    killed: str = ""
    told: float = 0.0

    def kill(self, why: str) -> None:
        """End it at once."""
        self.killed = why
        self.process.kill()


class Ended(NamedTuple):
    """A worker that ended without being told to.

    Args:
        worker: Which.
        code: Its exit code, negative for a signal.
        note: What it said of itself last.
        tries: How many of its kind ended soon, one after the other.
    """

    worker: Worker
    code: int
    note: str
    tries: int


class WorkerPool:
    """Keeps so many workers of each kind.

    Args:
        folder: The endpoint's.
        command: The command of the worker with an index, on an inherited file descriptor, in an environment.

    Attributes:
        listener: The socket that workers without a front accept on.
    """

    def __init__(self, folder: Path, command: Callable[[int, int, str], Sequence[str]]) -> None:
        self._folder = folder
        self._command = command
        self.listener: socket.socket | None = None
        self._workers: list[Worker] = []
        self._leaving: list[Worker] = []
        self._wanted: Mapping[Kind, int] = {}
        self._pauses: dict[Kind, tuple[int, float]] = {}
        self._serial = (
            time.time_ns() // 1_000_000
        )  # no worker of a supervisor before, which may live still, has the same
        self._unknown_before: dict[str, int] = {}

    def of(self, kind: Kind) -> list[Worker]:
        """The workers of a kind that were not told to leave, those that will stay longest first."""
        return sorted((worker for worker in self._workers if worker.kind == kind), key=_goes)

    def staying(self, kind: Kind) -> list[Worker]:
        """Those of them whose place nobody takes."""
        return [worker for worker in self.of(kind) if not worker.is_relieved]

    def answering(self, kind: Kind, number: int) -> list[Worker]:
        """So many of a kind that answer; those that are relieved only as long as there are not enough others."""
        return [worker for worker in self.of(kind) if worker.state.ready][:number]

    def all(self) -> list[Worker]:
        """The workers of all kinds that were not told to leave."""
        return list(self._workers)

    def look(self) -> None:
        """Read what each worker says of itself."""
        for worker in self._workers:
            worker.state = self._read(worker)

    def state_of(self, worker: Worker) -> WorkerState:
        """What a worker said of itself when it was looked at last."""
        return worker.state

    @property
    def is_alone(self) -> bool:
        """Whether nobody who was told to leave accepts on the endpoint's address any more.

        One that hangs does not say so; it is not waited for longer than for a request that was begun.
        """
        late = time.monotonic() - FINISH_S
        leaving = [one for one in self._leaving if not one.kind.is_fronted and one.told > late]
        return not any(one.process.poll() is None and self._read(one).ready for one in leaving)

    def unknown(self) -> dict[str, int]:
        """How often which field came that the contract does not know, as all workers tell that there are and were."""
        return _sums([self._unknown_before, *(worker.state.unknown for worker in (*self._workers, *self._leaving))])

    def want(self, wanted: Mapping[Kind, int]) -> None:
        """Have so many workers of each kind, and none of others; who goes answers what it was asked."""
        self._wanted = wanted
        for kind in {worker.kind for worker in self._workers}:
            number = wanted.get(kind, 0)
            for worker in self.staying(kind)[number:]:
                self._let_go(worker)
            if len([worker for worker in self.staying(kind) if worker.state.ready]) >= number:
                for worker in self.of(kind):
                    if worker.is_relieved:
                        self._let_go(worker)
        for kind in [kind for kind in self._pauses if kind not in wanted]:
            del self._pauses[kind]

    @property
    def is_busy(self) -> bool:
        """Whether there are workers, or should be."""
        return bool(self._workers or self._leaving or any(self._wanted.values()))

    def relieve(self, worker: Worker) -> bool:
        """Have another one take a worker's place once it is ready; False where there is no slot for both."""
        missing = sum(max(number - len(self.staying(kind)), 0) for kind, number in self._wanted.items())
        if len(self._workers) + len(self._leaving) + missing >= MAX_WORKERS:
            return False
        worker.is_relieved = True
        return True

    def forgive(self) -> None:
        """Let nobody wait for what ended before: something else is to be started."""
        self._pauses.clear()

    def start_due(self) -> None:
        """Start what is missing, unless its kind must wait."""
        now = time.monotonic()
        for kind, number in self._wanted.items():
            tries, at = self._pauses.get(kind, (0, 0.0))
            while at <= now and len(self.staying(kind)) < number:
                taken = {worker.index for worker in (*self._workers, *self._leaving)}
                index = next((index for index in range(MAX_WORKERS) if index not in taken), None)
                if index is None:
                    return  # who drains still counts in its slot
                self._start(kind, index, now, tries)

    def ended(self) -> list[Ended]:
        """Those that ended since and are missed; told to or not, all are forgotten. Hung ones end here."""
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            self._leaving.remove(worker)
            self._forget(worker)
        found = []
        for worker in list(self._workers):
            hung = hung_file(self._folder, worker.serial)
            if worker.kind.is_fronted and hung.exists():
                worker.kill("It left a request without an answer.")
                worker.process.wait()
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            if worker.is_relieved:  # who takes its place is on the way
                self._forget(worker)
                continue
            steady = time.monotonic() - worker.started > _STEADY_S
            tries = 0 if steady else self._pauses.get(worker.kind, (worker.tries, 0.0))[0] + 1
            pause = 0.0 if tries <= 1 else min(0.1 * 2**tries, _MAX_PAUSE_S)
            self._pauses[worker.kind] = (tries, time.monotonic() + pause)
            self._forget(worker)
            found.append(Ended(worker, code, worker.state.note, tries))
        return found

    def tell_to_stop(self) -> list[Worker]:
        """Let all of them go; returns those that were there."""
        self.want({})
        return list(self._leaving)

    def kill(self) -> None:
        """End all of them at once."""
        for worker in (*self._workers, *self._leaving):
            worker.process.kill()
            worker.process.wait()

    def _start(self, kind: Kind, index: int, now: float, tries: int) -> None:
        self._serial += 1
        made = _listen_beside(socket_file(self._folder, self._serial)) if kind.is_fronted else None
        listener = made or self.listener
        assert listener is not None
        life = _locked(life_file(self._folder, self._serial))
        try:
            process = subprocess.Popen(
                self._command(index, listener.fileno(), kind.environment),
                pass_fds=(listener.fileno(), life),  # the lock is held by whoever has it open: soon the worker alone
                stdin=subprocess.DEVNULL,
            )
        finally:
            os.close(life)
            if made is not None:
                made.close()  # with the worker it ends, so that the front is refused at once and does not wait
        self._workers.append(Worker(self._serial, index, kind, process, now, tries))

    def _read(self, worker: Worker) -> WorkerState:
        return WorkerState.read(state_file(self._folder, worker.index, worker.process.pid))

    def _let_go(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.told = time.monotonic()
        worker.process.terminate()
        self._leaving.append(worker)

    def _forget(self, worker: Worker) -> None:
        worker.state = self._read(worker)
        self._unknown_before = _sums([self._unknown_before, worker.state.unknown])
        state_file(self._folder, worker.index, worker.process.pid).unlink(missing_ok=True)
        life_file(self._folder, worker.serial).unlink(missing_ok=True)
        if worker.kind.is_fronted:
            socket_file(self._folder, worker.serial).unlink(missing_ok=True)
            hung_file(self._folder, worker.serial).unlink(missing_ok=True)


def _goes(worker: Worker) -> tuple[bool, bool, int]:
    """Who goes first comes last: relieved ones, then those that do not answer yet."""
    return worker.is_relieved, not worker.state.ready, worker.index


def _sums(counted: Sequence[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in counted:
        for name, times in one.items():
            found[name] = found.get(name, 0) + times
    return found


def _locked(path: Path) -> int:
    """A new file that is open and locked."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _listen_beside(path: Path) -> socket.socket:
    """A socket in a folder that only this user may open; the folder's path may be longer than a socket's may."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with near(path.parent) as folder:
        mask = os.umask(0o177)
        try:
            made.bind(str(folder / path.name))
        finally:
            os.umask(mask)
    made.listen(_BACKLOG)
    return made
