"""What a host hands to a stage: who asks, for which project, and the opened backends."""

from collections.abc import Callable, Mapping
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
from slipway.records.promotions import Promotion, PromotionPlace

__all__ = [
    "LARGEST_UPLOAD",
    "Environments",
    "OpenOnline",
    "OpenParts",
    "Workspace",
    "current_workspace",
    "in_project",
    "workspace",
]


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


class Environments(Protocol):
    """The other environments of the project in whose folder a server runs, and what its commands do there.

    Each works with the project's code, as whoever a token names; where a store knows nobody, as the server's account.
    """

    def places(self, project: str) -> tuple[PromotionPlace, ...]:
        """Into which environments a version of the project may be taken, in their order; () for another project."""
        ...

    def promote(
        self,
        place: PromotionPlace,
        model: str,
        version: str,
        *,
        endpoint: str = "",
        key: str = "",
        reason: str = "",
        tokens: Mapping[str, str],
    ) -> Promotion | None:
        """Take a version as far as it comes now; None where that takes long, and goes on.

        Args:
            place: Which way.
            model: The model.
            version: At the source.
            endpoint: Where it is to serve, "" for the model's own name.
            key: The key that the target is to trust first, "" for none.
            reason: Why, "" where nobody said.
            tokens: The asker's token of each environment that the place names.

        Raises:
            SlipwayError: What the command says.
        """
        ...

    def approve(
        self,
        place: PromotionPlace,
        model: str,
        version: str,
        *,
        role: str,
        reject: bool,
        comment: str,
        tokens: Mapping[str, str],
    ) -> None:
        """Give somebody's word for a version in the place's target.

        Args:
            place: Which way.
            model: The model.
            version: At the target.
            role: In which role.
            reject: Whether it is against it.
            comment: Why.
            tokens: The asker's token of the target, where it knows people.

        Raises:
            SlipwayError: What the command says.
        """
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
        environments: The other environments of the project in whose folder a server runs; None elsewhere.
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
    environments: Environments | None = None
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
