"""The process that an endpoint's folder belongs to: it holds the lock and the socket, and keeps the workers alive.

It answers no request and loads no model, so that little can go wrong in it. A worker that dies is replaced at once, then
with growing pauses. When the supervisor itself is killed, its lock is free at once and its workers stop by themselves.
"""

import errno
import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from slipway.errors import BackendError, Conflict, SlipwayError
from slipway.ports.launcher import LOCK_FILE, STATUS_FILE
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.reach import Reach
from slipway.serving.counters import MAX_WORKERS
from slipway.serving.feed_counters import forget_former
from slipway.serving.worker_state import CANNOT_LOAD, DRAIN_S, FINISH_S, WorkerState, state_file

__all__ = ["COUNTERS_FILE", "Supervisor", "hold", "listen"]

COUNTERS_FILE = "counters.bin"
_LOOK_EVERY_S = 0.1
_LOCK_WAIT_S = 2.0
_PORT_WAIT_S = 10.0
_MAX_PAUSE_S = 10.0
_STEADY_S = 10.0
_FIRST_TRIES = 3
_BACKLOG = 2048
_logger = logging.getLogger("slipway.serving")


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Own an endpoint's folder while the block runs; the system frees it with the process, however that ends.

    Raises:
        Conflict: Another process runs the endpoint.
    """
    with (folder / LOCK_FILE).open("a+") as file:
        until = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:  # who only looks whether it is held has let go by now
                    file.seek(0)
                    raise Conflict(
                        f"Process {file.read().strip() or 'unknown'} runs the endpoint in {folder} already.",
                        fix="Use it, or stop it first.",
                    ) from None
                time.sleep(0.02)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def listen(host: str, port: int, *, former_port: int = 0) -> socket.socket:
    """Bind and listen; with port 0 on the former port if it is free, so that clients keep their address.

    Raises:
        BackendError: The address cannot be had.
    """
    until = time.monotonic() + (_PORT_WAIT_S if port or former_port else 0.0)
    while True:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            made = socket.create_server((host, port or former_port), family=family, backlog=_BACKLOG)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
            return made
        except OSError as problem:
            # A killed supervisor's workers need a moment to stop and free the port.
            if problem.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.05)
            elif former_port and not port:
                former_port = 0
            else:
                raise BackendError(
                    f"The endpoint cannot listen on {host}:{port}: {problem.strerror}.",
                    fix="Free the port, or deploy the endpoint with another one (0 takes any).",
                ) from problem


@dataclass
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    started: float
    tries: int


class Supervisor:
    """Runs an endpoint's workers on one socket until told to stop.

    Args:
        folder: The endpoint's folder, held by this process.
        desired: Reads the revision that should serve: its address and number of workers count here.
        command: The command of the worker with an index that serves on an inherited file descriptor.
        url_of: A host and a port to the address that callers are told.
    """

    def __init__(
        self,
        folder: Path,
        desired: Callable[[], Revision],
        command: Callable[[int, int], Sequence[str]],
        url_of: Callable[[str, int], str] = lambda host, port: Reach(host=host).url(port),
    ) -> None:
        self._folder = folder
        self._desired = desired
        self._command = command
        self._url_of = url_of
        self._name = folder.name
        self._url = ""
        self._told: EndpointStatus | None = None
        self._untold: EndpointStatus | None = None
        self._workers: dict[int, _Worker] = {}
        self._leaving: list[_Worker] = []
        self._due: dict[int, tuple[float, int]] = {}
        self._restarts = 0
        self._was_ready = False
        self._stopping = False
        self._note = ""
        self._shape: tuple[str, int, int] = ("", 0, 0)
        self._number = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the process's exit code."""
        former = _former_port(self._folder)
        wake = self._listen_to_signals()
        self._tell("starting")
        try:
            revision = self._desired()
            self._name = revision.name
            listener = listen(revision.host, revision.port, former_port=former)
        except SlipwayError as problem:
            return self._fail(str(problem))
        self._url = self._url_of(revision.host, listener.getsockname()[1])
        self._shape = (revision.host, revision.port, revision.workers)
        self._prepare()
        self._scale(revision.workers)
        while not self._stopping:
            refusal = self._replace_the_dead()
            if refusal:
                listener.close()
                return self._fail(refusal)
            self._start_due(listener.fileno())
            self._look_at_workers()
            if select.select([wake], [], [], _LOOK_EVERY_S)[0]:
                wake.recv(4096)
        return self._drain(listener)

    def _prepare(self) -> None:
        states = state_file(self._folder, 0).parent
        states.mkdir(exist_ok=True)
        for left in (
            *states.glob("*.json"),
            *states.glob("*.callers"),
            *states.glob(".*.part"),
            *self._folder.glob(".*.part"),
        ):
            left.unlink(missing_ok=True)
        forget_former(self._folder)
        (self._folder / COUNTERS_FILE).unlink(missing_ok=True)

    def _scale(self, workers: int) -> None:
        wanted = range(min(max(workers, 1), MAX_WORKERS))
        for index in wanted:
            if index not in self._workers and index not in self._due:
                self._due[index] = (0.0, 0)
        for index in [i for i in self._due if i not in wanted]:
            del self._due[index]
        for index in [i for i in self._workers if i not in wanted]:
            worker = self._workers.pop(index)
            worker.process.terminate()
            self._leaving.append(worker)

    def _start_due(self, listener: int) -> None:
        now = time.monotonic()
        owned = {worker.index for worker in self._leaving}  # who drains still counts in its slot
        for index, (at, tries) in list(self._due.items()):
            if at <= now and index not in owned:
                del self._due[index]
                process = subprocess.Popen(
                    self._command(index, listener), pass_fds=(listener,), stdin=subprocess.DEVNULL
                )
                self._workers[index] = _Worker(index, process, now, tries)

    def _replace_the_dead(self) -> str:
        """Take note of dead workers and plan their successors; returns why the endpoint cannot start, or ""."""
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            self._leaving.remove(worker)
            self._forget(worker)
        for worker in list(self._workers.values()):
            code = worker.process.poll()
            if code is None:
                continue
            del self._workers[worker.index]
            steady = time.monotonic() - worker.started > _STEADY_S
            tries = 0 if steady else worker.tries + 1
            note = self._state_of(worker).note
            self._forget(worker)
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            said = note or f"A worker ended with {ended}; front.log may say why."
            if not self._was_ready and (code == CANNOT_LOAD or tries >= _FIRST_TRIES):
                return said
            _logger.error("Worker %d (process %d) ended with %s.", worker.index, worker.process.pid, ended)
            self._restarts += 1
            self._note = said if code == CANNOT_LOAD else ""
            pause = 0.0 if tries <= 1 else min(0.1 * 2**tries, _MAX_PAUSE_S)
            self._due[worker.index] = (time.monotonic() + pause, tries)
        return ""

    def _look_at_workers(self) -> None:
        states = [self._state_of(worker) for worker in self._workers.values()]
        serving = [state for state in states if state.ready]
        self._was_ready = self._was_ready or bool(serving)
        number = min((state.revision for state in serving), default=0)
        if number and number != self._number:
            self._number = number
            self._follow()
        if len(serving) == len(self._workers) and not self._due and serving:
            self._note = ""
        notes = dict.fromkeys(note for note in [self._note, *(state.note for state in states)] if note)
        complete = self._told is not None and self._told.state == "ready" and serving
        everybody = len(serving) == len(self._workers) and not self._due
        refused = max((state.refused for state in states), default=0)
        self._tell("ready" if complete or (everybody and serving) else "starting", " ".join(notes), refused)

    def _follow(self) -> None:
        """Bring the number of workers to what the revision that now serves asks for."""
        try:
            revision = self._desired()
        except SlipwayError as problem:
            _logger.error("The published revision cannot be read: %s", problem)
            return
        answers_at = int(self._url.rpartition(":")[2])
        if revision.host != self._shape[0] or revision.port not in (0, answers_at):
            _logger.warning("The endpoint's new address counts from its next start; it answers at %s.", self._url)
        if revision.workers != self._shape[2]:
            self._shape = (*self._shape[:2], revision.workers)
            self._scale(revision.workers)

    def _state_of(self, worker: _Worker) -> WorkerState:
        return WorkerState.read(state_file(self._folder, worker.index, worker.process.pid))

    def _forget(self, worker: _Worker) -> None:
        state_file(self._folder, worker.index, worker.process.pid).unlink(missing_ok=True)

    def _drain(self, listener: socket.socket) -> int:
        self._tell("draining")
        listener.close()
        left = [*self._workers.values(), *self._leaving]
        for worker in left:
            worker.process.terminate()
        until = time.monotonic() + DRAIN_S + FINISH_S + 5
        for worker in left:
            try:
                worker.process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _logger.error("Worker %d did not stop in time and is killed.", worker.index)
                worker.process.kill()
                worker.process.wait()
        self._tell("draining", "Stopped.")
        return 0

    def _fail(self, why: str) -> int:
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.wait()
        _logger.error("The endpoint cannot start: %s", why)
        self._tell("failed", why)
        return 1

    def _tell(
        self, state: Literal["starting", "ready", "draining", "failed"], note: str = "", refused: int = 0
    ) -> None:
        said = EndpointStatus(
            endpoint=self._name,
            pid=os.getpid(),
            url=self._url,
            revision=self._number,
            state=state,
            note=note,
            restarts=self._restarts,
            refused=refused,
            at=self._told.at if self._told else datetime.fromtimestamp(0, UTC),
        )
        if said == self._told:
            return
        told = msgspec.structs.replace(said, at=datetime.now(UTC))
        part = self._folder / f".{STATUS_FILE}.part"
        try:
            part.write_bytes(msgspec.json.encode(told))
            part.rename(self._folder / STATUS_FILE)
        except OSError as problem:  # a full disk must not end what still answers; it is tried again at the next look
            if self._untold != said:
                _logger.error("%s cannot be written: %s", self._folder / STATUS_FILE, problem)
            self._untold = said
            return
        self._told = told

    def _listen_to_signals(self) -> socket.socket:
        def stop(*_: object) -> None:
            self._stopping = True

        ours, pythons = socket.socketpair()
        for end in (ours, pythons):
            end.setblocking(False)
        self._wakers = (ours, pythons)  # kept open as long as the supervisor lives
        signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop: a dead worker is replaced at once
        return ours


def _former_port(folder: Path) -> int:
    try:
        former = msgspec.json.decode((folder / STATUS_FILE).read_bytes(), type=EndpointStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
    port = former.url.rpartition(":")[2]
    return int(port) if port.isdigit() else 0
