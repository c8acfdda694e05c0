"""The process behind `slipway up`: opens the store, answers over HTTP, runs the loop, seals the audit log; one process."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn._types import ASGIApplication

from slipway.errors import BackendError, Conflict, InvalidInput, SlipwayError
from slipway.governance import anchors
from slipway.governance.audit import head_of
from slipway.governance.people import somebody_is_known
from slipway.hosts.blob_places import prove_blobs
from slipway.hosts.by_command import ByCommand
from slipway.hosts.controller import PASS_EVERY_S, Controller
from slipway.hosts.environment_use import using
from slipway.hosts.figures import Figures, TimedLedger
from slipway.hosts.loading_ahead import loading_ahead
from slipway.hosts.project import open_workspace
from slipway.hosts.teller import Teller
from slipway.hosts.traces import open_tracer
from slipway.ids import new_id
from slipway.ledger import events, uploads
from slipway.ports.workspace import LARGEST_UPLOAD, Workspace
from slipway.records.reach import STOPPING, Reach
from slipway.runs.receiving import forget_abandoned
from slipway.runs.recovery import take_in
from slipway.serving.reach import SERVER_REACH_FILE, checked, encoded
from slipway.serving.tls import Tls
from slipway.whole_files import write_whole

__all__ = ["Sealer", "listen", "serve"]

LOCAL = Reach()
"""The loopback address."""

_RENEW_EVERY_S = 1.0
_SEAL_EVERY_S = 10.0
_STOP_WITHIN_S = 10
_KEEP_ALIVE_S = 75  # a training that logs every few seconds keeps its connection


def serve(
    root: Path,
    make_app: Callable[[Workspace, Reach, Figures], ASGIApplication],
    *,
    environment: str = "dev",
    ledger: str | None = None,
    blobs: str = "",
    reach: Reach = LOCAL,
    port: int = 8300,
    say: Callable[[str], None],
    once_ready: Callable[[str], None],
    seal_every_s: float = _SEAL_EVERY_S,
    pass_every_s: float = PASS_EVERY_S,
    largest_upload: int = LARGEST_UPLOAD,
    home: Path | None = None,
    traces: str = "",
) -> None:
    """Serve a store until SIGINT or SIGTERM, then finish what was begun and return.

    Args:
        root: The store's folder; made when it is missing.
        make_app: Makes the application, which counts into the figures too.
        environment: Which environment this store is: its floor is part of every gate that is judged here.
        ledger: The URL of the ledger that the environment's settings name; see `open_ledger`.
        blobs: The URL that the environment's settings name, "" for what the folder remembers.
        reach: Where to answer, and for which names; elsewhere than on the machine itself only with TLS, and for a store
            that knows people.
        port: The port, 0 for any free one.
        say: Receives lines for a person.
        once_ready: Receives the address when it answers.
        seal_every_s: Seconds between two seals of the audit log.
        pass_every_s: Seconds of machine time between two passes of the loop.
        largest_upload: How many bytes an artifact may have that runs send over HTTP.
        home: The project's folder whose environments on demand are looked after; None for none.
        traces: The URL of the receiver of traces that the environment's settings name, "" for none.

    Raises:
        InvalidInput: It would answer elsewhere without TLS, or to anybody, or certificate or port cannot be used.
        InvalidSetting: The object store does not fit.
        NotFound: The store was one on demand, and was taken away just now.
    """
    reach = checked(reach, "The server")
    tls = Tls(reach, say) if reach.certificate else None
    with closing(listen(reach.host, port)) as listener, using(root):
        opened = open_workspace(
            root, project="", environment=environment, ledger=ledger, blobs=blobs, traces=traces, say=say
        )
        others = ByCommand(home, environment) if home else None
        figures = Figures()
        workspace = replace(_readied(opened, figures), largest_upload=largest_upload, environments=others)
        with closing(workspace.ledger):
            _check_people(workspace, reach)
            write_whole(workspace.root / SERVER_REACH_FILE, encoded(reach))
            _stop_quietly()
            controller = Controller(workspace, every_s=pass_every_s, home=home, figures=figures)
            working = _working(Sealer(workspace, every_s=seal_every_s), controller, Teller(workspace))
            answering = _traced(make_app(workspace, reach, figures), traces)
            with answering as app, working, _renewing(tls), loading_ahead(workspace, once_ready) as ready:
                _Server(app, lambda: ready(reach.url(listener.getsockname()[1])), tls).run(sockets=[listener])
    say("Slipway has stopped.")


@contextmanager
def _traced(app: Any, traces: str) -> Iterator[Any]:
    """The application as it is, or with spans of its requests where somebody asks for traces."""
    tracer = open_tracer("slipway", traces, route_of=_route_of)
    yield app if tracer is None else tracer.around(app)
    if tracer is not None:
        tracer.close()


def _route_of(scope: MutableMapping[str, Any]) -> str:
    """A request's route as it is declared: its path names projects, models and people."""
    return str(getattr(scope.get("route"), "path", ""))


@contextmanager
def _working(sealer: "Sealer", controller: Controller, teller: Teller) -> Iterator[None]:
    """Let them work as long as the block lasts, the last two unless the store lives in simulated time.

    In a simulation whoever moves the clock says when the loop passes, `loop.reconcile`, and nobody is told of it.
    """
    sealer.start()
    if not controller.is_simulated:
        controller.start()
        teller.start()
    try:
        yield
    finally:
        if not controller.is_simulated:
            teller.stop()
            controller.stop()
        sealer.stop()


@contextmanager
def _renewing(tls: Tls | None) -> Iterator[None]:
    """Use a certificate's files anew when they change, as long as the block lasts."""
    done = threading.Event()

    def watch() -> None:
        while tls is not None and not done.wait(_RENEW_EVERY_S):
            tls.look()

    watcher = threading.Thread(target=watch, name="slipway-certificate", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _check_people(workspace: Workspace, reach: Reach) -> None:
    if reach.is_local:
        return
    with workspace.ledger.read() as tx:
        if somebody_is_known(tx):
            return
    raise InvalidInput(
        f"The server cannot listen on {reach.host!r}: this store knows nobody.",
        why="Whoever reached the port might do everything.",
        fix="Begin with yourself: slipway people add NAME --role admin; then give tokens: slipway tokens add --for NAME",
        field="host",
    )


def _readied(workspace: Workspace, figures: Figures) -> Workspace:
    """A workspace that may serve: its object store is proven, what others left is taken in, its ledger is counted."""
    try:
        prove_blobs(workspace.root)
        take_in(workspace)
        forget_abandoned(workspace)
        uploads.sweep(workspace)
    except BaseException:
        workspace.ledger.close()
        raise
    return replace(workspace, ledger=TimedLedger(workspace.ledger, figures))


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to answer on.

    Raises:
        InvalidInput: The address or the port cannot be had.
    """
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

    After each round every anchor is compared with the roots, and given those that it lacks: one that could not be written
    is said once, and caught up when it can.

    Args:
        workspace: The store's.
        every_s: Seconds between two seals.
    """

    def __init__(self, workspace: Workspace, *, every_s: float = _SEAL_EVERY_S) -> None:
        self._workspace = workspace
        self._every_s = every_s
        self._holder = f"{os.getpid()}-{new_id()}"
        self._said: dict[str, str] = {}
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

    def anchor(self) -> None:
        """Write the roots to every anchor that lacks some; says what an anchor's trouble is, once until it changes."""
        for state in anchors.catch_up(self._workspace):
            if state.problem and state.problem != self._said.get(state.anchor):
                self._workspace.say(f"The audit log's roots are not anchored: {state.problem}")
            self._said[state.anchor] = state.problem

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(self._every_s)
            try:
                self.seal()
                self.anchor()
            except (BackendError, Conflict) as problem:  # busy, or another sealer was first: the next round mends it
                self._workspace.say(f"The audit log was not sealed this time: {problem}")
            except SlipwayError as problem:
                self._workspace.say(f"The audit log cannot be sealed any more: {problem}")
                return


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApplication, once_ready: Callable[[], None], tls: Tls | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ssl_context_factory=None if tls is None else lambda config, default: tls.context,
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
        self._stopping = self.lifespan.state[STOPPING] = threading.Event()
        await super().startup(sockets)
        self._once_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()  # streams that would last end now, or stopping waited for them
        await super().shutdown(sockets)


def _stop_quietly() -> None:
    # uvicorn stops in order on these signals and raises them once more afterwards; by then all is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
