"""The process that holds clients' connections: `python -m slipway.hosts.front FOLDER LISTENER SLOT TELLS PARENT`.

It is started by an endpoint's supervisor, for that endpoint, or by `hosts.shared_front`, for the endpoints of a store: then
FOLDER is the store's folder of endpoints. It opens no ledger, loads no model, and knows of workers what their supervisor
wrote down.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from uvicorn.loops.auto import auto_loop_factory

from slipway.hosts.endpoint import open_reach, start_logging
from slipway.serving.front import Front
from slipway.serving.front_finding import ByName, of_one
from slipway.serving.front_keeper import LEAVES_WITHIN_S
from slipway.serving.front_links import Backend
from slipway.serving.tls import Tls
from slipway.serving.worker_state import DRAIN_S

__all__ = ["main", "run_front"]

_LOOK_EVERY_S = 0.2


def main(arguments: list[str]) -> int:
    """Hold the connections of one endpoint, or of several, until told to stop; returns the process's exit code."""
    start_logging()
    folder, listener, slot, tells, parent = Path(arguments[0]), *map(int, arguments[1:5])
    is_shared = "shared" in arguments[5:]
    reach = open_reach(folder / "any" / "any" if is_shared else folder)
    tls = Tls(reach, partial(print, file=sys.stderr)) if reach.certificate else None

    async def serve() -> None:
        tasks: set[asyncio.Task[None]] = set()

        def keep(task: asyncio.Task[None]) -> None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        context = None if tls is None else tls.context
        if is_shared:
            several = ByName(folder, lambda one: Backend(one, slot, keep))
            front = Front(several.find, several.backends, several.look, context)
        else:
            backend = Backend(folder, slot, keep)
            front = Front(of_one(backend), lambda: [backend], lambda: None, context)
        await run_front(front, listener, tells, parent, tls)

    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(serve())
    return 0


async def run_front(front: Front, listener: int, tells: int, parent: int, tls: Tls | None) -> None:
    """Let a front answer until it is told to stop, or until whoever started it has ended.

    Args:
        front: The front.
        listener: The file descriptor that it accepts on.
        tells: The one to which it writes once it does.
        parent: Whoever started it.
        tls: Looked after for renewed files, None for plain HTTP.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    drain_s = [DRAIN_S]

    def leave(within_s: float) -> None:
        drain_s[0] = within_s
        stop.set()

    loop.add_signal_handler(signal.SIGUSR1, leave, LEAVES_WITHIN_S)  # another front has taken over: there is time
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, DRAIN_S)

    def ready() -> None:
        os.write(tells, b"1")
        os.close(tells)

    watching = loop.create_task(_watch(parent, stop.set, tls))
    await front.serve(socket.socket(fileno=listener), stop, ready=ready, drain_s=lambda: drain_s[0])
    watching.cancel()


async def _watch(parent: int, stop: Callable[[], None], tls: Tls | None) -> None:
    while True:
        if os.getppid() != parent:
            stop()
        if tls is not None:
            tls.look()
        await asyncio.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
