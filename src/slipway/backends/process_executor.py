"""Tasks in processes of this machine: a pool of warm workers, each of which forks off a process a task."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import msgspec

from slipway.errors import BackendError
from slipway.ports.executor import OUTPUT_FILE, Ending, Resources
from slipway.processes import cores
from slipway.records.runs import WorkerTime
from slipway.records.tasks import WorkerOrder, WorkerReport

__all__ = ["ProcessExecutor"]

_TAIL_BYTES = 4000
_MODULE = "slipway.hosts.warm_worker"
_SLACK_S = 5.0
_NO_RESOURCES = Resources()


class ProcessExecutor:
    """A pool of warm workers.

    A worker imports the project's modules once and forks off a process a task, in a session of its own: what one task
    changes the next does not see, and what it started ends with it. A worker that dies is one failed task, and another
    takes its place. Time-out and memory are held; `cpus` and `gpus` place nothing on one machine.

    Args:
        workers: How many tasks at once; 0 for as many as this process has processors.
        python: The interpreter of the environment in which steps run; this one when None.
    """

    def __init__(self, workers: int = 0, *, python: Path | None = None) -> None:
        self._python = str(python or sys.executable)
        self._limit = workers or cores()
        self._free = threading.Semaphore(self._limit)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._most = 0
        self._used_s = self._released_s = 0.0
        self._is_closed = False

    def execute(self, folder: Path, needs: Resources = _NO_RESOURCES) -> Ending:
        """See `Executor.execute`."""
        with self._free:
            worker = self._take()
            is_whole = False
            try:
                report = worker.carry_out(folder, needs)
                is_whole = report is not None
            finally:
                # Also when waiting is interrupted here: nothing of the task may outlive this call.
                self._give_back(worker, is_whole=is_whole)
        if report is None:
            return Ending(problem=worker.problem, output=_tail(folder / OUTPUT_FILE) or worker.output)
        with self._lock:
            self._used_s += report.seconds
        return Ending(problem=report.problem, output=_tail(folder / OUTPUT_FILE))

    def time(self) -> WorkerTime:
        """See `Executor.time`."""
        with self._lock:
            now = monotonic()
            paid = self._released_s + sum(now - worker.since for worker in (*self._idle, *self._busy))
            used = min(self._used_s, paid)
            return WorkerTime(executor="processes", workers=self._most, used_s=used, idle_s=paid - used, paid_s=paid)

    def close(self) -> None:
        """See `Executor.close`."""
        with self._lock:
            self._is_closed = True
            workers, self._idle = [*self._idle, *self._busy], []
            for worker in workers:
                self._released_s += monotonic() - worker.since
            self._busy.clear()
        for worker in workers:
            worker.end()

    def _take(self) -> _Worker:
        with self._lock:
            if self._is_closed:
                raise BackendError("The pool of workers is closed.", fix="Run the pipeline again.")
            for dead in [worker for worker in self._idle if not worker.is_alive]:  # it was killed while it waited
                self._idle.remove(dead)
                self._released_s += monotonic() - dead.since
                dead.end()
            worker = self._idle.pop() if self._idle else _Worker(self._python)
            self._busy.add(worker)
            self._most = max(self._most, len(self._idle) + len(self._busy))
            return worker

    def _give_back(self, worker: _Worker, *, is_whole: bool) -> None:
        with self._lock:
            if worker not in self._busy:
                return
            self._busy.remove(worker)
            if is_whole:
                self._idle.append(worker)
                return
            self._released_s += monotonic() - worker.since
        worker.end()


class _Worker:
    """One worker's process.

    Attributes:
        since: When it was started.
        problem: How it broke off, as the end of a sentence.
        output: What it printed where no task's file took it.
    """

    def __init__(self, python: str) -> None:
        self.since = monotonic()
        self.problem = self.output = ""
        self._scratch = Path(tempfile.mkdtemp(prefix="slipway-worker-"))
        self._pid = 0
        ours, theirs = socket.socketpair()
        try:
            with (self._scratch / OUTPUT_FILE).open("wb") as output:
                # In the current folder, where modules that read files when they are imported look for them;
                # -P: it is no place to import from.
                self._process = subprocess.Popen(
                    [python, "-P", "-m", _MODULE, str(theirs.fileno()), str(self._scratch)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
        except OSError as problem:
            ours.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise BackendError(
                f"No step worker could be started with {python}: {problem}.",
                fix="Check that this interpreter exists and that processes and memory are left.",
            ) from problem
        finally:
            theirs.close()
        self._channel = ours
        self._answers: BinaryIO = ours.makefile("rb")

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def carry_out(self, folder: Path, needs: Resources) -> WorkerReport | None:
        """Let it carry out a task; None when the worker itself is gone or does not answer, and `problem` says how."""
        order = WorkerOrder(
            folder=str(folder.resolve()),
            timeout_s=needs.timeout_s,
            begin_s=needs.begin_s,
            memory_bytes=needs.memory_bytes,
        )
        self._pid = 0
        try:
            self._channel.settimeout(None)
            self._channel.sendall(msgspec.json.encode(order) + b"\n")
            # The worker keeps the time; should it hang itself, while it imports the project, this side does.
            begun = monotonic()
            while True:
                if needs.timeout_s is not None:
                    most = needs.begin_s + _SLACK_S + needs.timeout_s * bool(self._pid)
                    self._channel.settimeout(max(most - (monotonic() - begun), 0.01))
                line = self._answers.readline()
                if not line:
                    break
                report = msgspec.json.decode(line, type=WorkerReport)
                self._pid = report.pid
                if not report.pid:
                    return report
        except TimeoutError:
            late = f"took longer than {needs.timeout_s:g}" if self._pid else f"did not begin within {needs.begin_s:g}"
            self.problem = f"{late} seconds"
            return None
        except OSError:
            pass
        code = self._process.wait()
        self.problem = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        with suppress(OSError):
            self.output = _tail(self._scratch / OUTPUT_FILE)
        return None

    def end(self) -> None:
        """End it and what it started."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # it ends what it runs, and itself
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SLACK_S)
        for pid in (self._pid, self._process.pid):
            if pid:
                with suppress(ProcessLookupError, PermissionError):  # the session is empty already
                    os.killpg(pid, signal.SIGKILL)
        self._process.wait()
        self._answers.close()
        self._channel.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except FileNotFoundError:  # the task removed it, or none began
        return ""
