"""A project whose store is to move: `dev` is filled with one of everything, other environments are empty places."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filled_store import fill
from slipway.backends.clocks import SimulatedClock
from slipway.hashing import digest
from slipway.hosts.project import open_workspace
from slipway.hosts.settings import Settings, read_settings
from slipway.ledger import events
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from watched_store import at, watch_over

TOML = """[project]
name = "flights"

[environments.dev]
workers = 2

[environments.disk]
store = "disk/store"

[environments.back]
store = "back"
"""
PART = b"rows of a table" * 1000


@contextmanager
def opened(root: Path, clock: SimulatedClock, ledger: str | None = None, blobs: str = "") -> Iterator[Workspace]:
    """The store in a folder, as an admin has it."""
    actor = Actor("ada", roles=("admin",))
    found = open_workspace(root, project="flights", actor=actor, clock=clock, ledger=ledger, blobs=blobs)
    with closing(found.ledger):
        yield found


def build(home: Path, clock: SimulatedClock, toml: str = TOML, *, watched: bool = False) -> Settings:
    """Write slipway.toml, and fill the store of dev."""
    (home / "slipway.toml").write_text(toml)
    with opened(home / ".slipway", clock) as workspace:
        if watched:
            watch_over(workspace, at(workspace))
        else:
            fill(workspace)
        events.seal(workspace.ledger, workspace.signer)
        with workspace.ledger.write() as tx:
            events.record(tx, workspace, verb="runs.tagged", subject="run:1")
        workspace.blobs.put(b"large" * 2_000_000)
        parts = workspace.root / "tables" / "flights" / "flights"
        parts.mkdir(parents=True, exist_ok=True)
        (parts / f"{digest(PART)}.parquet").write_bytes(PART)
        (parts / "notes.json").write_text("{}")
        (parts / "link").symlink_to("notes.json")
    return read_settings(home)
