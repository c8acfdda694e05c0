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
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from slipway.errors import BackendError, Conflict, SlipwayError
from slipway.ports.launcher import LOCK_FILE, STATUS_FILE
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.reach import Reach
from slipway.serving.counters import COUNTERS_FILE, LOG_DROPPED, LOG_FAILED, Counters
from slipway.serving.feed_counters import forget_former
from slipway.serving.former_counts import put_aside
from slipway.serving.front_keeper import FrontKeeper
from slipway.serving.front_routes import FIGURES_FILE, has_ended
from slipway.serving.plan import Plan
from slipway.serving.relief import Relief
from slipway.serving.worker_pool import Ended, WorkerPool
from slipway.serving.worker_state import CANNOT_LOAD, DRAIN_S, FINISH_S, SILENT_S, state_file

__all__ = ["COUNTERS_FILE", "SharedPort", "Supervisor", "hold", "listen"]

_LOOK_EVERY_S = 0.1
_LOCK_WAIT_S = 2.0
_PORT_WAIT_S = 10.0
_FIRST_TRIES = 3
_BACKLOG = 2048
_CRASHES = 20
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


class SharedPort(Protocol):
    """The port that the endpoints of a store share."""

    port: int

    def ensure(self) -> None:
        """Have a front on it; called all the time."""
        ...


class Supervisor:
    """Runs an endpoint's workers until told to stop.

    As long as all of them run in one environment and their number is fixed, they accept on the endpoint's own socket.
    Otherwise a front does, and they answer it: it is started when it is first needed, and stays. See `serving.plan`.

    Args:
        folder: The endpoint's folder, held by this process.
        desired: Reads the revision that should serve: its address, environment and number of workers count here.
        command: The command of the worker with an index, that serves on an inherited file descriptor, in an environment.
        url_of: A host and a port to the address that callers are told.
        front: The command of a front: file descriptor of the socket, slot, and descriptor to which it tells.
        good: Reads the revision that served last, None for none.
        beside: Looks after what else is done beside the workers; called at each look.
        silent_s: How long a worker may give no sign of life once it is ready.
        shared: The port that the endpoints of the store share, None where each has its own.
    """

    def __init__(
        self,
        folder: Path,
        desired: Callable[[], Revision],
        command: Callable[[int, int, str], Sequence[str]],
        url_of: Callable[[str, int], str] = lambda host, port: Reach(host=host).url(port),
        *,
        front: Callable[[int, int, int], Sequence[str]] | None = None,
        good: Callable[[], Revision | None] = lambda: None,
        beside: Callable[[], None] = lambda: None,
        silent_s: float = SILENT_S,
        shared: SharedPort | None = None,
    ) -> None:
        self._folder = folder
        self._desired = desired
        self._url_of = url_of
        self._front = front
        self._good = good
        self._beside = beside
        self._counters: Counters | None = None
        self._shared = shared
        self._name = folder.name
        self._url = ""
        self._told: EndpointStatus | None = None
        self._untold: EndpointStatus | None = None
        self._is_told = False
        self._restarts = 0
        self._replaced = ""
        self._crashes: tuple[tuple[int, datetime], ...] = ()
        self._was_ready = False
        self._stopping = self._renewing = False
        self._note = ""
        self._number = 0
        self._pool = WorkerPool(folder, command)
        self._relief = Relief(folder, self._pool, silent_s)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the process's exit code."""
        former = _former_port(self._folder)
        wake = self._listen_to_signals()
        self._tell("starting")
        try:
            revision = self._desired()
            self._name = revision.name
            listener = None if self._shared else listen(revision.host, revision.port, former_port=former)
        except SlipwayError as problem:
            return self._fail(str(problem))
        port = self._shared.port if self._shared else listener.getsockname()[1] if listener else 0
        self._url = self._url_of(revision.host, port)
        self._prepare()
        self._pool.listener = listener
        keeper = None
        if self._front is not None and listener is not None:
            keeper = FrontKeeper(listener, self._front, self._folder / "workers")
        plan = Plan(self._folder, self._pool, keeper, revision, is_shared=self._shared is not None)
        while not self._stopping:
            refusal = "" if self._rests(plan) else self._step(plan, revision)
            if refusal:
                if listener is not None:
                    listener.close()
                return self._fail(refusal)
            self._beside()
            if select.select([wake], [], [], _LOOK_EVERY_S)[0]:
                wake.recv(4096)
        return self._drain(plan, listener, keeper)

    def _prepare(self) -> None:
        states = state_file(self._folder, 0).parent
        states.mkdir(exist_ok=True)
        patterns = ("*.json", "*.callers", "*.sock", "*.hung", ".*.part")
        lefts = [left for pattern in patterns for left in states.glob(pattern)]
        lefts += [left for left in states.glob("*.life") if has_ended(self._folder, int(left.stem))]
        for left in (*lefts, *self._folder.glob(".*.part")):
            left.unlink(missing_ok=True)
        forget_former(self._folder)
        put_aside(self._folder / COUNTERS_FILE)
        self._counters = Counters(self._folder / COUNTERS_FILE)
        if self._shared is None:  # a front that others use too goes on counting there
            put_aside(self._folder / FIGURES_FILE)

    def _rests(self, plan: Plan) -> bool:
        """Whether nothing is to be done: many endpoints sleep beside each other, and each looks ten times a second."""
        told = self._told
        is_told = self._is_told and told is not None and told.state == "ready" and told.workers == 0
        if not is_told or self._renewing or not plan.rests():
            return False
        if self._shared is not None:
            self._shared.ensure()
        return True

    def _step(self, plan: Plan, started_with: Revision) -> str:
        """Do what is due; returns why the endpoint cannot start, or ""."""
        for ended in self._pool.ended():
            if refusal := self._take_note(plan, ended):
                return refusal
        if (revision := plan.look(self._read)) is not None:
            self._warn_of_address(revision, started_with)
        if self._renewing:
            self._renewing = False
            plan.renew_front()
        self._pool.look()
        for why in self._relief.look(plan.memory_bytes):
            self._restarts += 1
            self._replaced = why
        plan.follow()
        if self._shared is not None:
            self._shared.ensure()
        self._pool.start_due()
        self._look_at_workers(plan)
        return ""

    def _take_note(self, plan: Plan, ended: Ended) -> str:
        """What the end of a worker means; returns why the endpoint cannot start, or ""."""
        worker, code, note, tries = ended
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = note or f"A worker ended with {how}; front.log may say why."
        is_hopeless = code == CANNOT_LOAD or tries >= _FIRST_TRIES
        if plan.gives_up(worker, said, is_hopeless=is_hopeless):
            return ""
        if not self._was_ready and is_hopeless:
            return "" if plan.falls_back(self._good(), said) else said
        _logger.error("Worker %d (process %d) ended with %s.", worker.index, worker.process.pid, how)
        self._restarts += 1
        self._replaced = worker.killed or f"It ended with {how}."
        if code != CANNOT_LOAD:
            self._note_crash()
        self._note = said if code == CANNOT_LOAD else ""
        return ""

    def _note_crash(self) -> None:
        self._crashes = (*self._crashes, (self._number, datetime.now(UTC)))[-_CRASHES:]

    def _look_at_workers(self, plan: Plan) -> None:
        for worker in self._pool.all():
            while worker.fallen < worker.state.fallen:  # a challenger that ends in its own process crashes nobody else
                worker.fallen += 1
                self._restarts += 1
                self._replaced = "A challenger's process ended; front.log may say why."
                self._note_crash()
        states = plan.states()
        serving = [state for state in states if state.ready]
        self._was_ready = self._was_ready or bool(serving)
        if plan.is_taken_up:
            # One that will accept in a moment has loaded what it will answer with.
            loaded = [state.revision for state in states if state.ready or state.revision] if serving else []
            plan.number = self._number = min(loaded, default=plan.number)
        if plan.is_full and serving:
            self._note = ""
        notes = [self._note, plan.note, *(state.note for state in states)]
        if not plan.is_taken_up and self._number == 0 and serving:
            notes.append(f"No front has begun to answer on {self._url}; front.log may say why.")
        complete = self._told is not None and self._told.state == "ready" and serving
        sleeps = self._was_ready and plan.target == 0
        refused = max([plan.refused, *(state.refused for state in states)])
        is_ready = complete or (plan.is_full and serving and self._number) or sleeps
        said = " ".join(dict.fromkeys(note for note in notes if note))
        self._tell("ready" if is_ready else "starting", said, refused, len(serving))

    def _read(self) -> Revision | None:
        try:
            return self._desired()
        except SlipwayError as problem:
            _logger.error("The published revision cannot be read: %s", problem)
            return None

    def _warn_of_address(self, revision: Revision, started_with: Revision) -> None:
        answers_at = int(self._url.rpartition(":")[2])
        if revision.host != started_with.host or revision.port not in (0, answers_at):
            _logger.warning("The endpoint's new address counts from its next start; it answers at %s.", self._url)

    def _drain(self, plan: Plan, listener: socket.socket | None, keeper: FrontKeeper | None) -> int:
        self._tell("draining")
        if listener is not None:
            listener.close()
        if keeper is not None:
            keeper.tell_to_stop()
            keeper.wait(DRAIN_S + FINISH_S)  # while it has clients, workers are needed
        plan.leave_front()
        left = self._pool.tell_to_stop()
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
        self._pool.kill()
        _logger.error("The endpoint cannot start: %s", why)
        self._tell("failed", why)
        return 1

    def _tell(
        self,
        state: Literal["starting", "ready", "draining", "failed"],
        note: str = "",
        refused: int = 0,
        workers: int = 0,
    ) -> None:
        said = EndpointStatus(
            endpoint=self._name,
            pid=os.getpid(),
            url=self._url,
            revision=self._number,
            state=state,
            note=note,
            restarts=self._restarts,
            replaced=self._replaced,
            refused=refused,
            unlogged=self._unlogged(),
            unknown=self._pool.unknown(),
            workers=workers,
            crashes=self._crashes,
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
            self._untold, self._is_told = said, False
            return
        self._told, self._is_told = told, True

    def _unlogged(self) -> int:
        return 0 if self._counters is None else sum(map(self._counters.total, (LOG_DROPPED, LOG_FAILED)))

    def _listen_to_signals(self) -> socket.socket:
        def stop(*_: object) -> None:
            self._stopping = True

        ours, pythons = socket.socketpair()
        for end in (ours, pythons):
            end.setblocking(False)
        self._wakers = (ours, pythons)  # kept open as long as the supervisor lives
        signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)

        def renew(*_: object) -> None:
            self._renewing = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGHUP, renew)
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
