"""A worker that is ready before its task comes: it has the project's modules imported, and forks off a process a task.

    python -m slipway.hosts.warm_worker DESCRIPTOR SCRATCH

Each task thus finds the state that importing the project leaves, and nothing of the task before it: no module's
variable, environment variable, current folder, mask or seed. Orders come over a socket as lines (`WorkerOrder`), answers
go back (`WorkerReport`). When the other side is gone, whatever runs here is killed and the process ends: nobody is left
to take the result.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from slipway.errors import InvalidInput, SlipwayError
from slipway.hosts import step_worker
from slipway.hosts.descendants import adopt, die_with_parent, end_all, end_group, held_bytes
from slipway.hosts.task_state import Seeds, can_fork
from slipway.records.tasks import BEGUN, PROTOCOL, StepTask, WorkerOrder, WorkerReport

__all__ = ["OUTPUT", "main", "serve"]

OUTPUT = "output.log"
_MODULE = "slipway.hosts.warm_worker"
_STEP_WORKER = "slipway.hosts.step_worker"
_OUTPUT_BYTES = 64 << 20
_KEPT_BYTES = 64 << 10
_LOOK_EVERY_MS = 20
_LOOK_BY_HAND_MS = 2
_OPEN: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
"""Tells at once that a process has ended. Only Linux has it: elsewhere one asks more often."""
_LIBRARIES = ("numpy.random", "polars", "slipway.schema.fingerprints")


class _Worker:
    """Carries out one order after another.

    Args:
        channel: Where they come from.
        scratch: A folder of its own, for the project's code.
    """

    def __init__(self, channel: socket.socket, scratch: Path) -> None:
        self._channel = channel
        self._scratch = scratch
        self._code: str | None = None
        self._modules: set[str] = set()
        self._seeds = Seeds()
        self._forks = False

    def carry_out(self, order: WorkerOrder) -> WorkerReport:
        folder = Path(order.folder)
        started = time.monotonic()
        with (folder / OUTPUT).open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        self._prepare(folder, order)
        pid = self._begin(folder)
        self._channel.sendall(msgspec.json.encode(WorkerReport(pid=pid)) + b"\n")
        try:
            problem = self._watch(pid, folder, order, started)
        finally:
            end_group(pid)
            end_all()
        return WorkerReport(problem=problem, seconds=time.monotonic() - started)

    def _prepare(self, folder: Path, order: WorkerOrder) -> None:
        """Import what the task needs, once for all tasks of the same code. What fails here fails in the task, and is told there."""
        try:
            task = msgspec.json.decode((folder / "task.json").read_bytes(), type=StepTask)
            if task.protocol != PROTOCOL:
                return
            if self._code not in (None, task.code):
                self._begin_anew(order)
            module = task.function.partition(":")[0]
            if module in self._modules:
                return
            if self._code is None:
                step_worker.add_code(folder, task, self._scratch / "code")
                self._code = task.code
            try:
                with self._seeds.noted():
                    importlib.import_module(module)
                self._modules.add(module)
            finally:
                self._forks = can_fork()
                gc.freeze()  # what is here stays shared with the tasks: a collection would touch, and so copy, all of it
        except (Exception, SystemExit):  # the user's module may raise anything
            return

    def _begin_anew(self, order: WorkerOrder) -> None:
        """Other code has other modules of the same names: become a process that has imported none."""
        shutil.rmtree(self._scratch / "code", ignore_errors=True)
        descriptor = self._channel.fileno()
        os.set_inheritable(descriptor, True)
        given = [str(descriptor), str(self._scratch), msgspec.json.encode(order).decode()]
        os.execv(sys.executable, [sys.executable, "-P", "-m", _MODULE, *given])

    def _begin(self, folder: Path) -> int:
        if not self._forks:  # a module has started threads, which a fork would lose: the task begins from nothing
            given = [sys.executable, "-P", "-m", _STEP_WORKER, str(folder)]
            fresh = subprocess.Popen(given, cwd=folder, start_new_session=True)
            fresh.returncode = 0  # it is waited for here
            return fresh.pid
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._perform(folder, parent)
        return pid

    def _perform(self, folder: Path, parent: int) -> None:
        """The task's own process, which ends here."""
        code = 1
        try:
            os.setsid()
            die_with_parent(parent)
            self._channel.close()
            os.chdir(folder)
            self._seeds.sow()
            step_worker.perform(folder, loaded=self._code, place=self._scratch / "code")
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
            if isinstance(leaving.code, str):
                print(leaving.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code & 0xFF)

    def _watch(self, pid: int, folder: Path, order: WorkerOrder, started: float) -> str:
        """Wait for the process's end; returns what broke it off, in words."""
        ended = _OPEN(pid) if _OPEN is not None else None
        look_every_ms = _LOOK_EVERY_MS if ended is not None else _LOOK_BY_HAND_MS
        events = select.poll()
        if ended is not None:
            events.register(ended, select.POLLIN)
        events.register(self._channel, 0)  # its other end is closed: that is always told
        begun: float | None = None
        try:
            while True:
                told = dict(events.poll(look_every_ms))
                if (ended is None or ended in told) and (found := os.waitpid(pid, os.WNOHANG))[0]:
                    break
                if told:
                    raise _Alone
                if begun is None and (folder / BEGUN).exists():
                    begun = time.monotonic()
                if order.timeout_s is not None and (late := _late(order, started, begun)):
                    return late
                if order.memory_bytes is not None and held_bytes(order.memory_bytes) > order.memory_bytes:
                    return f"held more than the {order.memory_bytes / 1e6:,.0f} MB of memory that it was given"
                _cut(folder / OUTPUT)
        finally:
            if ended is not None:
                os.close(ended)
        code = os.waitstatus_to_exitcode(found[1])
        if code < 0:
            return f"was killed by {_signal_name(-code)}"
        return f"ended with exit code {code}" if code else ""


def _late(order: WorkerOrder, started: float, begun: float | None) -> str:
    """What a task is ended for that has a time-out: "" while it is in time."""
    assert order.timeout_s is not None
    now = time.monotonic()
    if begun is None:
        return f"did not begin within {order.begin_s:g} seconds" if now - started > order.begin_s else ""
    return f"took longer than {order.timeout_s:g} seconds" if now - begun > order.timeout_s else ""


class _Alone(Exception):
    """Whoever gave the order is gone."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _cut(output: Path) -> None:
    """Keep what a task prints from filling the disk: of much only the end is kept."""
    with suppress(FileNotFoundError):
        if (size := output.stat().st_size) > _OUTPUT_BYTES:
            with output.open("r+b") as file:
                file.seek(size - _KEPT_BYTES)
                kept = file.read(_KEPT_BYTES)
                file.truncate(0)  # the task appends: its next line comes behind what is kept
            with output.open("ab") as file:
                file.write(f"... {size - len(kept):,} bytes were printed before this ...\n".encode() + kept)


def serve(channel: socket.socket, scratch: Path, first: str = "") -> None:
    """Carry out orders until the channel is closed.

    Args:
        channel: Where orders come from and answers go.
        scratch: A folder of the worker's own, removed in the end.
        first: An order that came before this process began anew.
    """
    adopt()
    for name in _LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    worker = _Worker(channel, scratch)
    with channel.makefile("rb") as lines, suppress(_Alone, BrokenPipeError, ConnectionResetError):
        for line in [first.encode()] * bool(first):
            channel.sendall(msgspec.json.encode(worker.carry_out(_order(line))) + b"\n")
        for line in lines:
            channel.sendall(msgspec.json.encode(worker.carry_out(_order(line))) + b"\n")
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)  # nothing is left to do that Python's own end would


def _order(line: bytes) -> WorkerOrder:
    order = msgspec.json.decode(line, type=WorkerOrder)
    if order.protocol != PROTOCOL:
        raise InvalidInput(
            f"The order is written in protocol {order.protocol}, this worker speaks protocol {PROTOCOL}.",
            fix="Use the same release of Slipway in the step's environment.",
        )
    return order


def main() -> None:
    """Serve on the socket whose descriptor is named on the command line."""
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m slipway.hosts.warm_worker DESCRIPTOR SCRATCH")
    descriptor, scratch, *first = sys.argv[1:]
    os.set_inheritable(int(descriptor), False)
    try:
        serve(socket.socket(fileno=int(descriptor)), Path(scratch), *first)
    except SlipwayError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
