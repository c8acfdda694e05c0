"""The process behind `slipway up`: opens the store, answers over HTTP, runs the loop, seals the audit log; one process."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from uvicorn._types import ASGIApplication

from slipway.errors import BackendError, Conflict, InvalidInput, SlipwayError
from slipway.governance.audit import head_of
from slipway.hosts.blob_places import prove_blobs
from slipway.hosts.controller import PASS_EVERY_S, Controller
from slipway.hosts.environment_use import using
from slipway.hosts.project import open_workspace
from slipway.ids import new_id
from slipway.ledger import events, uploads
from slipway.ports.workspace import LARGEST_UPLOAD, Workspace
from slipway.runs.receiving import forget_abandoned
from slipway.runs.recovery import take_in

__all__ = ["Sealer", "listen", "serve"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SEAL_EVERY_S = 10.0
_STOP_WITHIN_S = 10
_KEEP_ALIVE_S = 75  # a training that logs every few seconds keeps its connection


def serve(
    root: Path,
    make_app: Callable[[Workspace], ASGIApplication],
    *,
    environment: str = "dev",
    ledger: str | None = None,
    blobs: str = "",
    host: str = "127.0.0.1",
    port: int = 8300,
    say: Callable[[str], None],
    once_ready: Callable[[str], None],
    seal_every_s: float = _SEAL_EVERY_S,
    pass_every_s: float = PASS_EVERY_S,
    largest_upload: int = LARGEST_UPLOAD,
    home: Path | None = None,
) -> None:
    """Serve a store until SIGINT or SIGTERM, then finish what was begun and return.

    Args:
        root: The store's folder; made when it is missing.
        make_app: Makes the application.
        environment: Which environment this store is: its floor is part of every gate that is judged here.
        ledger: The URL of the ledger that the environment's settings name; see `open_ledger`.
        blobs: The URL that the environment's settings name, "" for what the folder remembers.
        host: The address to listen on; only the loopback address, as long as there are no tokens.
        port: The port, 0 for any free one.
        say: Receives lines for a person.
        once_ready: Receives the address when it answers.
        seal_every_s: Seconds between two seals of the audit log.
        pass_every_s: Seconds of machine time between two passes of the loop.
        largest_upload: How many bytes an artifact may have that runs send over HTTP.
        home: The project's folder whose environments on demand are looked after; None for none.

    Raises:
        InvalidInput: The address is not the loopback one, or the port is in use.
        InvalidSetting: The object store does not fit.
        NotFound: The store was one on demand, and was taken away just now.
    """
    with closing(listen(host, port)) as listener, using(root):
        opened = open_workspace(root, project="", environment=environment, ledger=ledger, blobs=blobs, say=say)
        workspace = replace(_readied(opened), largest_upload=largest_upload)
        controller = Controller(workspace, every_s=pass_every_s, home=home)
        server = _Server(make_app(workspace), lambda: once_ready(_address(host, listener)))
        _stop_quietly()
        with closing(workspace.ledger), _working(Sealer(workspace, every_s=seal_every_s), controller):
            server.run(sockets=[listener])
    say("Slipway has stopped.")


@contextmanager
def _working(sealer: "Sealer", controller: Controller) -> Iterator[None]:
    """Let both work as long as the block lasts, the controller unless the store lives in simulated time.

    In a simulation whoever moves the clock says when the loop passes: `loop.reconcile`.
    """
    sealer.start()
    if not controller.is_simulated:
        controller.start()
    try:
        yield
    finally:
        if not controller.is_simulated:
            controller.stop()
        sealer.stop()


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _readied(workspace: Workspace) -> Workspace:
    """A workspace that may serve: its object store is proven, and what others left is taken in."""
    try:
        prove_blobs(workspace.root)
        take_in(workspace)
        forget_abandoned(workspace)
        uploads.sweep(workspace)
    except BaseException:
        workspace.ledger.close()
        raise
    return workspace


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to answer on.

    Raises:
        InvalidInput: The address is not the loopback one, or the port cannot be had.
    """
    if host not in _LOOPBACK:
        raise InvalidInput(
            f"The server cannot listen on {host!r}.",
            why="Whoever reaches the port may do everything: tokens come with the management of people, which is not "
            "built yet.",
            fix="Listen on 127.0.0.1, and reach it from elsewhere through an SSH tunnel.",
            field="host",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, and the option set on the listener, because asyncio sets TCP_NODELAY only on sockets whose
    # protocol it can see; without it small answers wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as problem:
        listener.close()
        raise InvalidInput(
            f"Port {port} of {host} cannot be had: {problem}.",
            why="Another process may listen there already.",
            fix="Stop that process, or choose another port: slipway up --port 0 takes any free one.",
            field="port",
        ) from problem
    return listener


class Sealer:
    """Seals the audit log from time to time; of several servers on one store the holder of a lease does it.

    Args:
        workspace: The store's.
        every_s: Seconds between two seals.
    """

    def __init__(self, workspace: Workspace, *, every_s: float = _SEAL_EVERY_S) -> None:
        self._workspace = workspace
        self._every_s = every_s
        self._holder = f"{os.getpid()}-{new_id()}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slipway-sealer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Seal what is left, and end."""
        self._stopping.set()
        self._thread.join()

    def seal(self) -> bool:
        """Seal once, if there is something to seal and nobody else holds the lease; says whether it did."""
        store = self._workspace.ledger
        with store.read() as tx:
            roots = tx.roots()
            if not tx.events(after=roots[-1].last_seq if roots else 0, limit=1):
                return False
        with store.write() as tx:
            if not tx.take_lease("sealer", self._holder, seconds=3 * self._every_s):
                return False
        return events.seal(store, self._workspace.signer, head=head_of(self._workspace)) is not None

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(self._every_s)
            try:
                self.seal()
            except (BackendError, Conflict) as problem:  # busy, or another sealer was first: the next round mends it
                self._workspace.say(f"The audit log was not sealed this time: {problem}")
            except SlipwayError as problem:
                self._workspace.say(f"The audit log cannot be sealed any more: {problem}")
                return


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApplication, once_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_STOP_WITHIN_S,
            )
        )
        self._once_ready = once_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._once_ready()


def _stop_quietly() -> None:
    # uvicorn stops in order on these signals and raises them once more afterwards; by then all is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
