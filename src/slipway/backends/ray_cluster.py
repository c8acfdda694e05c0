"""Tasks on a Ray cluster: the part that speaks to Ray, in the process `slipway.backends.ray_driver`."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import ray
from ray import exceptions as failures

from slipway.backends.ray_node import Node
from slipway.errors import BackendError, InvalidInput, Unavailable
from slipway.ports.executor import Ending, Resources
from slipway.processes import cores
from slipway.records.runs import WorkerTime
from slipway.records.tasks import PROTOCOL

__all__ = ["RayCluster"]

_SILENT_S = 120.0
_WAIT_FOR_ROOM_S = 600.0
_CLOSE_WITHIN_S = 5.0
_TASK_FILE = re.compile(r"artifacts/[0-9a-f]{64}|run-logs/[\w.-]+|output\.log|result\.json")
_QUIET = {"log_to_driver": False, "configure_logging": False}


@dataclass(eq=False)
class _Held:
    """A worker on a node."""

    actor: Any
    needs: Resources
    since: float = field(default_factory=monotonic)


class RayCluster:
    """Runs tasks on the nodes of a Ray cluster. A worker is kept for further tasks that need the same; see `Executor`.

    Args:
        address: Of a running cluster ("ray://host:10001", "host:6379"); "" for one of this machine, ended with this.
        workers: How many tasks at once, 0 for as many as there are processors.

    Raises:
        Unavailable: The cluster cannot be reached or started.
    """

    def __init__(self, address: str, workers: int) -> None:
        self._address = address
        self._folder = Path(tempfile.mkdtemp(prefix="sw-ray-")) if not address else None
        try:
            if self._folder is None:
                ray.init(address=address, **_QUIET)
            else:
                ray.init(
                    address="local",
                    num_cpus=workers or cores(),
                    include_dashboard=False,
                    _temp_dir=str(self._folder),
                    _node_ip_address="127.0.0.1",
                    **_QUIET,
                )
        except Exception as problem:  # Ray raises whatever its parts raise
            raise Unavailable(
                f"Ray cannot be {f'reached at {address}' if address else 'started'}: {problem}",
                fix="Look whether it runs there and is of the same version, or run with another executor: --executor processes",
            ) from problem
        self._workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._kind = ray.remote(Node)
        self._lock = threading.Condition()
        self._idle: list[_Held] = []
        self._busy: set[_Held] = set()
        self._starting = 0
        self._most = 0
        self._used_s = self._released_s = 0.0

    def execute(self, folder: Path, needs: Resources) -> Ending:
        """See `Executor.execute`."""
        files = [(str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
        held = self._take(needs)
        if held is None:
            return Ending(problem="was to run on a node that was lost", is_lost=True)
        begun, is_whole = monotonic(), False
        try:
            ray.get(held.actor.begin.remote(files, needs), timeout=_SILENT_S)
            ending: Ending | None = None
            while ending is None:
                news, ending = ray.get(held.actor.news.remote(), timeout=_SILENT_S)
                for name, offset, data in news:
                    _write(folder, name, offset, data)
            is_whole = True
        except failures.RayActorError as problem:
            return Ending(problem=f"was on a node that was lost ({_short(problem)})", is_lost=True)
        except failures.GetTimeoutError:
            return Ending(problem=f"was on a node that did not answer for {_SILENT_S:.0f} seconds", is_lost=True)
        except failures.RayError as problem:
            raise BackendError(f"Ray could not carry out a task: {_short(problem)}", fix="See Ray's logs.") from problem
        finally:
            self._used_s += monotonic() - begun
            self._give_back(held, is_whole=is_whole)
        return ending

    def time(self) -> WorkerTime:
        """See `Executor.time`."""
        with self._lock:
            now = monotonic()
            paid = self._released_s + sum(now - held.since for held in (*self._idle, *self._busy))
            used = min(self._used_s, paid)
            return WorkerTime(executor="ray", workers=self._most, used_s=used, idle_s=paid - used, paid_s=paid)

    def close(self) -> None:
        """See `Executor.close`."""
        with self._lock:
            everyone, self._idle = [*self._idle, *self._busy], []
            self._busy.clear()
            for held in everyone:
                self._released_s += monotonic() - held.since
        for held in everyone:
            _end(held)
        with suppress(Exception):  # it is gone already
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _take(self, needs: Resources) -> _Held | None:
        """A worker for a task, None when it was lost before it began."""
        placing = Resources(cpus=needs.cpus, gpus=needs.gpus, memory_bytes=needs.memory_bytes)
        with self._lock:
            while (held := self._idle_for(placing)) is None:
                if len(self._idle) + len(self._busy) + self._starting < self._workers:
                    break
                if self._idle:
                    self._release(self._idle.pop())  # it holds what a task of another kind needs
                    break
                self._lock.wait()
            if held is not None:
                return held
            while self._idle:
                self._release(self._idle.pop())
            self._starting += 1
        try:
            return self._start(placing)
        finally:
            with self._lock:
                self._starting -= 1
                self._lock.notify_all()

    def _start(self, placing: Resources) -> _Held | None:
        self._check(placing)
        options: dict[str, Any] = {"num_cpus": placing.cpus, "num_gpus": placing.gpus}
        if placing.memory_bytes:
            options["memory"] = placing.memory_bytes
        actor = self._kind.options(max_restarts=0, scheduling_strategy="SPREAD", **options).remote(placing.cpus)
        said, until = actor.hello.remote(), monotonic() + _WAIT_FOR_ROOM_S
        try:
            while not ray.wait([said], timeout=0.5)[0]:
                with self._lock:
                    if (held := self._idle_for(placing)) is not None:
                        ray.kill(actor)
                        return held
                if monotonic() > until:
                    ray.kill(actor)
                    raise Unavailable(
                        f"Ray had no room for a step for {_WAIT_FOR_ROOM_S:.0f} seconds: {_words(placing)}.",
                        fix="Wait until others have ended, or add nodes; then run the pipeline again.",
                    )
            protocol = ray.get(said)
        except failures.RayActorError as problem:
            if "creation task" in str(problem):
                raise BackendError(
                    f"A worker could not be started on a node of the Ray cluster: {_short(problem)}",
                    fix="Install the same release of Slipway, and what the project imports, on each node.",
                ) from problem
            return None
        if protocol != PROTOCOL:
            raise BackendError(
                f"A node of the Ray cluster speaks protocol {protocol}, expected was {PROTOCOL}.",
                fix="Install the same release of Slipway on each node.",
            )
        held = _Held(actor, placing)
        with self._lock:
            self._busy.add(held)
            self._most = max(self._most, len(self._idle) + len(self._busy))
        return held

    def _idle_for(self, placing: Resources) -> _Held | None:
        """An idle worker that was placed for the same needs, which is busy now. The lock is held."""
        for held in self._idle:
            if held.needs == placing:
                self._idle.remove(held)
                self._busy.add(held)
                return held
        return None

    def _check(self, placing: Resources) -> None:
        """Refuse what no node of a cluster of ours will ever have; one that is elsewhere may grow."""
        if self._folder is None:
            return
        has = ray.cluster_resources()
        for name, wanted in (("CPU", placing.cpus), ("GPU", placing.gpus), ("memory", placing.memory_bytes or 0)):
            if wanted > has.get(name, 0):
                raise InvalidInput(
                    f"A step needs {_words(placing)}, and Ray has {has.get(name, 0):g} of {name} on this machine.",
                    fix="Ask for less, give the environment more `workers`, or name a cluster that has it.",
                )

    def _give_back(self, held: _Held, *, is_whole: bool) -> None:
        with self._lock:
            if held not in self._busy:
                return
            self._busy.remove(held)
            if is_whole:
                self._idle.append(held)
            else:
                self._release(held)
            self._lock.notify_all()

    def _release(self, held: _Held) -> None:
        self._released_s += monotonic() - held.since
        threading.Thread(target=_end, args=(held,), daemon=True).start()


def _end(held: _Held) -> None:
    with suppress(Exception):  # it is gone already, or does not answer
        ray.get(held.actor.close.remote(), timeout=_CLOSE_WITHIN_S)
    with suppress(Exception):
        ray.kill(held.actor)


def _write(folder: Path, name: str, offset: int, data: bytes) -> None:
    """Write what came from a node; it names only what a task leaves."""
    if not _TASK_FILE.fullmatch(name):
        raise BackendError(f"A node sent a file {name!r}, which no task leaves.", fix="Look after this node.")
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if path.parent.name == "run-logs":
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(offset)
            file.write(data)
        return
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


def _words(needs: Resources) -> str:
    words = [f"{needs.cpus:g} processors"]
    words += [f"{(needs.memory_bytes or 0) / 1e6:,.0f} MB of memory"] * bool(needs.memory_bytes)
    words += [f"{needs.gpus:g} graphics processors"] * bool(needs.gpus)
    return ", ".join(words)


def _short(problem: Exception) -> str:
    """The first line of what Ray says at length."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)[:300]
