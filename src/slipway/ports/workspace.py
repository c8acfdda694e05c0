"""What a host hands to a stage: who asks, for which project, and the opened backends."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from slipway.context import Slot
from slipway.errors import UserError
from slipway.ports.blobs import Blobs
from slipway.ports.clock import Clock
from slipway.ports.executor import THREADS, Placement
from slipway.ports.launcher import Launcher
from slipway.ports.ledger_store import LedgerStore
from slipway.ports.online_store import OnlineStore
from slipway.ports.run_server import RunServer
from slipway.ports.runner import Runner
from slipway.ports.signer import Signer
from slipway.records.endpoints import EMBEDDED, OnlinePlace
from slipway.records.people import Actor, Identity

__all__ = ["LARGEST_UPLOAD", "OpenOnline", "OpenParts", "Workspace", "current_workspace", "in_project", "workspace"]


LARGEST_UPLOAD = 5_000_000_000
"""How many bytes an artifact may have that is sent over HTTP, unless the server is started with another number."""


class OpenOnline(Protocol):
    """Opens the online store of an endpoint's folder, to be loaded."""

    def __call__(self, folder: Path, place: OnlinePlace = EMBEDDED) -> OnlineStore:
        """Open it: the embedded one in the folder, or the shared one that the place names.

        Raises:
            InvalidSetting: The place's URL does not fit, or the environment variable of its password is not set.
        """
        ...


class OpenParts(Protocol):
    """Opens what keeps the parts of a table, beside the files in the store's folder."""

    def __call__(self, project: str, table: str) -> Blobs:
        """Open it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Everything that a stage may use of the world.

    Args:
        project: The project's name.
        environment: "dev", "test" or "prod".
        actor: Who asks.
        identity: Who asks, for other projects than this one; None where the store knows no people, or for what acts by
            itself: then the actor is the same in all of them.
        root: The store's folder: tables, blobs, endpoints live under it.
        open_parts: Opens what keeps the parts of a table; None where the folder does, and is no cache of them.
        ledger: The ledger's store.
        blobs: The blobs.
        clock: Business time.
        signer: This installation's key.
        launcher: Starts, finds and stops endpoints' processes.
        runner: Starts, finds and stops pipelines' processes.
        open_online: Opens the online store of an endpoint's folder.
        online: The URL of the online store that the environment's settings name, "" for the embedded one.
        placement: Where the steps of pipelines are carried out.
        run_server: The server that keeps the runs; None where they are kept in the ledger here.
        largest_upload: How many bytes an artifact may have that is sent here over HTTP.
        memory_bytes: How much memory the making of a training set may take, all of the process counted, about; 0 for half
            of what is free.
        say: Receives one line of progress for a person to read.
    """

    project: str
    environment: str
    actor: Actor
    root: Path
    ledger: LedgerStore
    blobs: Blobs
    clock: Clock
    signer: Signer
    launcher: Launcher
    runner: Runner
    open_online: OpenOnline
    identity: Identity | None = None
    open_parts: OpenParts | None = None
    online: str = ""
    placement: Placement = THREADS
    run_server: RunServer | None = None
    largest_upload: int = LARGEST_UPLOAD
    memory_bytes: int = 0
    say: Callable[[str], None] = field(default=lambda line: None)


def in_project(workspace: Workspace, project: str) -> Workspace:
    """The workspace for another project: whoever asks has the roles there that they hold there.

    Args:
        workspace: Of whatever project.
        project: Which one, "" for what belongs to none.
    """
    known = workspace.identity
    return replace(workspace, project=project, actor=workspace.actor if known is None else known.actor_in(project))


current_workspace: Slot[Workspace] = Slot("slipway.workspace")


def workspace() -> Workspace:
    """The current workspace.

    Raises:
        UserError: There is none here.
    """
    found = current_workspace.get()
    if found is None:
        raise UserError(
            "No Slipway project is open here.",
            why="Runs, tables and features are kept in a project's store.",
            fix="Run this with `slipway run`, or open one first: `with sw.open('path/to/project'):`.",
        )
    return found
