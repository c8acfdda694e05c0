"""One worker process of an endpoint: the app under uvicorn on an inherited socket, and how it stops.

A worker loads its model before it accepts the first connection: what comes earlier waits in the socket's queue for it or
for another worker. When told to stop, or when its supervisor is gone, it accepts nothing more, lets answers carry
`Connection: close`, and goes when its clients have gone, so that a keep-alive client loses no request.
"""

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import uvicorn

from slipway.serving.connections import SLOW_S, Connection, look_at
from slipway.serving.http import App
from slipway.serving.overdue import Overdue
from slipway.serving.swap import LOOK_EVERY_S, Swap
from slipway.serving.tls import Tls
from slipway.serving.worker_state import DRAIN_S, FINISH_S

__all__ = ["DrainingServer", "run_worker"]

_KEEP_ALIVE_S = 75
_YOUNG = 10_000
"""How many objects more than before make Python look for cycles among the new ones.

By its default of 700 it does so for every few hundred rows that wait for the log, which have no cycles, and time and again
among all that is loaded: a tenth of what a request of a hundred rows costs, and more where a framework is loaded.
"""


def run_worker(
    make_app: Callable[[Callable[[], bool]], App],
    swap: Swap,
    listener: socket.socket,
    *,
    supervisor: int,
    accepts: Callable[[bool], None],
    tls: Tls | None = None,
    each_time: Callable[[], None] = lambda: None,
    overdue: Overdue | None = None,
    beat: Callable[[], None] = lambda: None,
    slow_s: float = SLOW_S,
) -> None:
    """Serve until SIGTERM, SIGINT or the supervisor's death, then finish what was begun and return.

    Args:
        make_app: Makes the app, given a function that tells whether the worker is stopping.
        swap: Holds a loaded revision; watched for new ones meanwhile.
        listener: The bound socket; closed on the way out.
        supervisor: The parent's process id; when another process is the parent, the supervisor is dead.
        accepts: Told once that connections are accepted, and once that none is any more.
        tls: What the listener speaks TLS with, None for plain HTTP.
        each_time: Called as often as another revision is looked for.
        overdue: Ends a model that does not come back; the app has the same one.
        slow_s: See `DrainingServer`.
        beat: Called several times a second by a thread that does nothing else: while it is, this process runs Python.
    """
    overdue = overdue or Overdue()
    # uvicorn sends itself the signal again when it is done; by then there is nothing left to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = DrainingServer(make_app, accepts=accepts, tls=tls, slow_s=slow_s)
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

    def pulse() -> None:
        while not stop.wait(LOOK_EVERY_S):
            overdue.look()
            beat()

    overdue.install()
    threading.Thread(target=pulse, name="pulse", daemon=True).start()  # loading a revision may take the other a while
    watcher = threading.Thread(target=swap.watch, args=(stop, look_up), name="swap", daemon=True)
    watcher.start()
    server.run(sockets=[listener])
    stop.set()
    watcher.join()


class DrainingServer(uvicorn.Server):
    """uvicorn with a drain: idle keep-alive connections get the time to send one more request and be told to close.

    Args:
        make_app: Makes the app, given a function that tells whether the server is stopping.
        accepts: Told once that connections are accepted, and once that none is any more.
        tls: What it speaks TLS with, None for plain HTTP.
        host: Where it listens, unless it is run on sockets.
        port: Likewise.
        slow_s: How long a client may take over the head of a request, and as long again over its body.
    """

    def __init__(
        self,
        make_app: Callable[[Callable[[], bool]], App],
        *,
        accepts: Callable[[bool], None] = lambda is_open: None,
        tls: Tls | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        slow_s: float = SLOW_S,
    ) -> None:
        self.closing = False
        self._slow_s = slow_s
        self._accepts = accepts
        super().__init__(
            uvicorn.Config(
                make_app(lambda: self.closing),
                host=host,
                port=port,
                ssl_context_factory=None if tls is None else lambda config, default: tls.context,
                http=Connection,
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
        """Accept connections, and say so."""
        gc.set_threshold(_YOUNG)
        await super().startup(sockets)
        self._accepts(True)

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections once a second; more often where clients have less time."""
        if counter % 10 == 0 or self._slow_s < 1.0:
            look_at(self.server_state.connections, self._slow_s)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, and wait for clients to go."""
        self.closing = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._accepts(False)
        until = time.monotonic() + DRAIN_S
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await super().shutdown()
