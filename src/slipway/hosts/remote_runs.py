"""What a process opens that only logs runs, in an environment whose store a server keeps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

from slipway import plugins
from slipway.errors import UserError
from slipway.hosts.identity import shown_token, user
from slipway.hosts.online_stores import open_online
from slipway.hosts.settings import Settings
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.people import Actor
from slipway.runs.recovery import take_in

__all__ = ["open_remote"]

_PATIENCE_S = 10.0


@contextmanager
def open_remote(
    home: Path, settings: Settings, environment: str, *, say: Callable[[str], None], sends: bool = True
) -> Iterator[Workspace]:
    """Open the outbox of a project: runs and their artifacts are kept there until the server has them.

    Args:
        home: The project's folder.
        settings: What its slipway.toml says.
        environment: Which environment; it names a server.
        say: Receives lines of progress.
        sends: Whether to send beside the work what earlier processes could not send.

    Raises:
        InvalidSetting: The server's address does not fit.
    """
    chosen = settings.environment(environment)
    root = (home / chosen.store / "outbox").resolve()
    server = plugins.load("run_server", "http")(chosen.server, settings.project.name, shown_token(environment))
    opened = Workspace(
        project=settings.project.name,
        environment=environment,
        actor=Actor(user(), roles=("admin",)),
        root=root,
        ledger=_NoLedger(chosen.server),
        blobs=plugins.load("blobs", "local")(root / "blobs"),
        clock=plugins.load("clock", "system")(),
        signer=plugins.load("signer", "ed25519")(root / "keys", create=False),
        launcher=plugins.load("launcher", "process")(),
        runner=plugins.load("runner", "process")(),
        open_online=open_online,
        run_server=server,
        say=say,
    )
    # Beside the work: a server that is away keeps nobody waiting.
    sending = threading.Thread(target=take_in, args=(opened,), name="slipway-outbox", daemon=True)
    if sends:
        sending.start()
    try:
        with current_workspace.filled(opened):
            yield opened
    finally:
        if sends:
            sending.join(_PATIENCE_S)
        server.close()


class _NoLedger:
    """Stands where a store would be: the server keeps it."""

    def __init__(self, server: str) -> None:
        self._server = server

    def read(self) -> AbstractContextManager[NoReturn]:
        """See `LedgerStore.read`."""
        raise self._refusal()

    def write(self) -> AbstractContextManager[NoReturn]:
        """See `LedgerStore.write`."""
        raise self._refusal()

    @property
    def database(self) -> str:
        """See `LedgerStore.database`."""
        raise self._refusal()

    @property
    def schema(self) -> int:
        """See `LedgerStore.schema`."""
        raise self._refusal()

    @property
    def upgraded_from(self) -> int:
        """See `LedgerStore.upgraded_from`."""
        raise self._refusal()

    def copy_to(self, path: Path) -> None:
        """See `LedgerStore.copy_to`."""
        raise self._refusal()

    def fill_from(self, path: Path) -> None:
        """See `LedgerStore.fill_from`."""
        raise self._refusal()

    def close(self) -> None:
        """See `LedgerStore.close`."""

    def _refusal(self) -> UserError:
        return UserError(
            f"The store of this environment is kept by the server {self._server}.",
            why="From here runs are logged to it, with their parameters, metrics, tags and artifacts; tables, models and "
            "pipelines are worked on where the store is.",
            fix="Do this on the server's machine, or in an environment with a store of its own.",
        )
