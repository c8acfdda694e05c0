"""One worker process of an endpoint: the app under uvicorn on an inherited socket, and how it stops.

A worker loads its model before it accepts the first connection: what comes earlier waits in the socket's queue for it or
for another worker. When told to stop, or when its supervisor is gone, it accepts nothing more, lets answers carry
`Connection: close`, and goes when its clients have gone, so that a keep-alive client loses no request.
"""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import uvicorn

from slipway.serving.http import App
from slipway.serving.swap import Swap
from slipway.serving.tls import Tls
from slipway.serving.worker_state import DRAIN_S, FINISH_S

__all__ = ["run_worker"]

_KEEP_ALIVE_S = 75


def run_worker(
    make_app: Callable[[Callable[[], bool]], App],
    swap: Swap,
    listener: socket.socket,
    *,
    supervisor: int,
    ready: Callable[[], None],
    tls: Tls | None = None,
    each_time: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM, SIGINT or the supervisor's death, then finish what was begun and return.

    Args:
        make_app: Makes the app, given a function that tells whether the worker is stopping.
        swap: Holds a loaded revision; watched for new ones meanwhile.
        listener: The bound socket; closed on the way out.
        supervisor: The parent's process id; when another process is the parent, the supervisor is dead.
        ready: Called once connections are accepted.
        tls: What the listener speaks TLS with, None for plain HTTP.
        each_time: Called as often as another revision is looked for.
    """
    # uvicorn sends itself the signal again when it is done; by then there is nothing left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = _Server(make_app, ready, tls)
    stop = threading.Event()
    orphaned_at: float | None = None

    def look_up() -> None:
        nonlocal orphaned_at
        each_time()
        if os.getppid() == supervisor:
            return
        server.should_exit = True
        orphaned_at = orphaned_at or time.monotonic()
        if time.monotonic() - orphaned_at > DRAIN_S + FINISH_S + 5:
            os._exit(1)  # a request that never ends must not keep an orphan alive

    watcher = threading.Thread(target=swap.watch, args=(stop, look_up), name="swap", daemon=True)
    watcher.start()
    server.run(sockets=[listener])
    stop.set()
    watcher.join()


class _Server(uvicorn.Server):
    """uvicorn with a drain: idle keep-alive connections get the time to send one more request and be told to close."""

    def __init__(
        self, make_app: Callable[[Callable[[], bool]], App], ready: Callable[[], None], tls: Tls | None
    ) -> None:
        self.closing = False
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                make_app(lambda: self.closing),
                ssl_context_factory=None if tls is None else lambda config, default: tls.context,
                http="httptools",
                loop="auto",
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(FINISH_S),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.closing = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        until = time.monotonic() + DRAIN_S
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await super().shutdown()
