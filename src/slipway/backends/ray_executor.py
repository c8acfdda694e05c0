"""Tasks on a Ray cluster, by way of a process of their own that speaks to it; see `slipway.backends.ray_driver`."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from slipway import errors
from slipway.backends.ray_driver import Call, Failure, Reply
from slipway.errors import BackendError, MissingExtra, SlipwayError, Unavailable
from slipway.ports.executor import Ending, Resources
from slipway.records.runs import WorkerTime

__all__ = ["RayExecutor"]

_MODULE = "slipway.backends.ray_driver"
_BIRTHS = 4
_DIED_AT_BIRTH = ("Starting Ray client server failed", "in start_specific_server")
"""What the proxy says then: it finds the process gone, or dying."""
_OUTPUT = "ray.log"
_START_WITHIN_S = 300.0
_CLOSE_WITHIN_S = 60.0
_NO_RESOURCES = Resources()
_NO_TIME = WorkerTime(executor="ray", workers=0, used_s=0.0, idle_s=0.0, paid_s=0.0)


class RayExecutor:
    """Runs tasks on the nodes of a Ray cluster; it is started, or reached, when the first task comes.

    A task goes to a node as bytes, and what it logs and leaves comes back the same way: no folder need be shared. A node
    that is lost is an ending that says so. `cpus`, `gpus` and `memory_bytes` are reserved; time-out and memory are held.

    Args:
        address: Of a running cluster ("ray://host:10001", "host:6379"); "" for one of this machine, ended with this.
        workers: How many tasks at once, 0 for as many as the cluster has processors.

    Raises:
        MissingExtra: Ray is not installed.
    """

    def __init__(self, address: str = "", workers: int = 0) -> None:
        if importlib.util.find_spec("ray") is None:  # it is not imported here
            raise MissingExtra("Ray is not installed.", fix="Install it: pip install 'slipway[ray]'")
        self._address = address
        self._workers = workers
        self._lock = threading.Lock()
        self._driver: _Driver | None = None
        self._time = _NO_TIME
        self._is_closed = False

    def execute(self, folder: Path, needs: Resources = _NO_RESOURCES) -> Ending:
        """See `Executor.execute`.

        Raises:
            Unavailable: The cluster cannot be reached, or was lost as a whole.
        """
        with self._lock:
            if self._is_closed:
                raise BackendError("The Ray executor is closed.", fix="Run the pipeline again.")
            if self._driver is None:
                self._driver = _reached(self._address, self._workers)
        ending = self._driver.ask(Call(folder=str(folder.resolve()), needs=needs)).ending
        assert ending is not None
        return ending

    def time(self) -> WorkerTime:
        """See `Executor.time`."""
        if self._driver is not None and not self._is_closed:
            with suppress(Unavailable):  # then what was told last stands
                self._time = self._driver.ask(Call()).time or self._time
        return self._time

    def close(self) -> None:
        """See `Executor.close`."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if self._driver is None or was_closed:
            return
        with suppress(Unavailable, TimeoutError):
            self._time = self._driver.ask(Call(closes=True), timeout_s=_CLOSE_WITHIN_S).time or self._time
        self._driver.end()


def _reached(address: str, workers: int) -> _Driver:
    """A process that speaks to the cluster.

    The proxy behind "ray://" starts a process for each client by a fork beside its own threads, and now and then that one
    dies at birth. The next client gets another; it is a process of its own, for what is left of the first may end it.
    """
    for _ in range(_BIRTHS - 1):
        try:
            return _Driver(address, workers)
        except Unavailable as problem:
            if not any(said in str(problem) for said in _DIED_AT_BIRTH):
                raise
    return _Driver(address, workers)


class _Driver:
    """The process that speaks to Ray.

    Raises:
        Unavailable: The cluster cannot be reached or started.
    """

    def __init__(self, address: str, workers: int) -> None:
        self._address = address
        self._scratch = Path(tempfile.mkdtemp(prefix="slipway-ray-"))
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, Future[Reply]] = {}
        self._is_gone = False
        self._channel, theirs = socket.socketpair()
        with theirs, (self._scratch / _OUTPUT).open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )
        self._lines: BinaryIO = self._channel.makefile("rb")
        try:
            self._greet(Call(address=address, workers=workers))
        except BaseException:
            self.end()
            raise
        self._reader = threading.Thread(target=self._read, name="slipway-ray", daemon=True)
        self._reader.start()

    def ask(self, call: Call, *, timeout_s: float | None = None) -> Reply:
        """Make a call and wait for its answer.

        Raises:
            Unavailable: The cluster was lost.
            SlipwayError: What the call raised there.
        """
        call = msgspec.structs.replace(call, id=next(self._ids))
        future: Future[Reply] = Future()
        with self._lock:
            if self._is_gone:
                raise self._lost()
            self._open[call.id] = future
            with suppress(OSError):  # it is gone: the reader says so
                self._channel.sendall(msgspec.json.encode(call) + b"\n")
        reply = future.result(timeout_s)
        if reply.failure is not None:
            raise _raised(reply.failure)
        return reply

    def end(self) -> None:
        """End the process, and the cluster with it where it is its own."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_CLOSE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if hasattr(self, "_reader"):
            self._reader.join()
        self._lines.close()
        self._channel.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _greet(self, first: Call) -> None:
        self._channel.settimeout(_START_WITHIN_S)
        try:
            self._channel.sendall(msgspec.json.encode(first) + b"\n")
            line = self._lines.readline()
        except TimeoutError as problem:
            raise self._no_start(f"it did not answer within {_START_WITHIN_S:.0f} seconds") from problem
        except OSError as problem:
            raise self._no_start(str(problem)) from problem
        if not line:
            raise self._no_start(self._last_line())
        self._channel.settimeout(None)
        reply = msgspec.json.decode(line, type=Reply)
        if reply.failure is not None:
            raise _raised(reply.failure)

    def _read(self) -> None:
        with suppress(OSError):
            for line in self._lines:
                reply = msgspec.json.decode(line, type=Reply)
                with self._lock:
                    future = self._open.pop(reply.id)
                future.set_result(reply)
        with self._lock:
            self._is_gone = True
            left, self._open = list(self._open.values()), {}
        for future in left:
            future.set_exception(self._lost())

    def _lost(self) -> Unavailable:
        where = f"at {self._address}" if self._address else "of this run"
        return Unavailable(
            f"The Ray cluster {where} was lost: its head, or this machine's part of it, has ended.",
            fix="When it is there again, run the pipeline again: finished steps are found stored.",
        )

    def _no_start(self, told: str) -> Unavailable:
        return Unavailable(
            f"Ray cannot be {f'reached at {self._address}' if self._address else 'started'}: {told}.",
            fix="Look whether it runs there, or run with another executor: --executor processes",
        )

    def _last_line(self) -> str:
        lines = (self._scratch / _OUTPUT).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its process ended without a word"


def _raised(failure: Failure) -> SlipwayError:
    kind: type[SlipwayError] = getattr(errors, failure.kind, BackendError)
    return kind(failure.what, why=failure.why, fix=failure.fix)
