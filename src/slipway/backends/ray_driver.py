"""The process that speaks to Ray for a run, which Ray may end at any time: it does when its head is lost.

    python -m slipway.backends.ray_driver DESCRIPTOR

Nothing of Ray's is then in the process of the user: no threads, no log lines, no environment variables, no start that
hangs. Calls come over a socket as lines (`Call`), answers go back (`Reply`). When the other side is gone it ends, and
with it the cluster where it is its own.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from slipway.errors import SlipwayError
from slipway.ports.executor import Ending, Resources
from slipway.records.runs import WorkerTime

if TYPE_CHECKING:
    from slipway.backends.ray_cluster import RayCluster

__all__ = ["Call", "Failure", "Reply", "main"]


class Call(Struct, frozen=True, kw_only=True):
    """What is asked of the process.

    Args:
        id: Tells calls apart.
        address: For the first call: the cluster; see `RayCluster`.
        workers: For the first call: how many tasks at once.
        folder: A task to execute, "" to be told the time of workers.
        needs: What the task may take.
        closes: Whether the cluster is released; the time of workers is the answer.
    """

    id: int = 0
    address: str = ""
    workers: int = 0
    folder: str = ""
    needs: Resources = Resources()
    closes: bool = False


class Failure(Struct, frozen=True, kw_only=True):
    """An error of Slipway's, in its parts."""

    kind: str
    what: str
    why: str = ""
    fix: str = ""


class Reply(Struct, frozen=True, kw_only=True):
    """What came of a call."""

    id: int = 0
    ending: Ending | None = None
    time: WorkerTime | None = None
    failure: Failure | None = None


class _Driver:
    def __init__(self, channel: socket.socket, cluster: RayCluster) -> None:
        self._channel = channel
        self._cluster = cluster
        self._lock = threading.Lock()

    def serve(self, call: Call) -> None:
        try:
            if call.closes:
                self._cluster.close()
            if call.folder:
                reply = Reply(id=call.id, ending=self._cluster.execute(Path(call.folder), call.needs))
            else:
                reply = Reply(id=call.id, time=self._cluster.time())
        except Exception as problem:  # it is raised where the call was made
            reply = Reply(id=call.id, failure=_failure(problem))
        self.send(reply)

    def send(self, reply: Reply) -> None:
        with self._lock, suppress(OSError):
            self._channel.sendall(msgspec.json.encode(reply) + b"\n")


def _failure(problem: Exception) -> Failure:
    if isinstance(problem, SlipwayError):
        return Failure(kind=problem.code, what=problem.what, why=problem.why, fix=problem.fix)
    return Failure(kind="BackendError", what=f"Ray failed: {type(problem).__name__}: {problem}")


def main() -> None:
    """Serve on the socket whose descriptor is named on the command line."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(channel.fileno(), False)
    lines = channel.makefile("rb")
    first = msgspec.json.decode(lines.readline(), type=Call)
    # Before Ray is imported: it reads them then. It calls nobody, and says nothing of cards that are not there.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "20")
    if not first.address:
        os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # of too much memory the step's own process dies
    try:
        from slipway.backends.ray_cluster import RayCluster

        driver = _Driver(channel, RayCluster(first.address, first.workers))
    except SlipwayError as problem:
        channel.sendall(msgspec.json.encode(Reply(failure=_failure(problem))) + b"\n")
        return
    driver.send(Reply())
    for line in lines:
        call = msgspec.json.decode(line, type=Call)
        threading.Thread(target=driver.serve, args=(call,), daemon=True).start()
        if call.closes:
            break
    while lines.readline():  # until the other side has read the answer
        pass
    driver.serve(Call(closes=True))
    os._exit(0)


if __name__ == "__main__":
    main()
