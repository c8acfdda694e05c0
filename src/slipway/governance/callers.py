"""Tells the endpoints of a store's folder who may call them, in a signed file each.

It is written anew by whatever changes people or tokens, by each deployment, and by the controller's passes, which tell
the endpoints of other folders on the same ledger.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.ledger import entries
from slipway.ledger.entries import microseconds
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.callers import CALLERS_FILE, CALLERS_TYPE, PREDICT, PUSH, READ, Caller, Callers
from slipway.records.people import Identity, Person, Token
from slipway.whole_files import write_whole

__all__ = ["tell_endpoint", "tell_endpoints"]

_MOST = 10_000
_LOCK = ".callers.lock"


def tell_endpoints(workspace: Workspace) -> None:
    """Bring what every endpoint of the store's folder knows of callers up to date; nothing while nobody is known.

    Args:
        workspace: The store's, of whatever project.
    """
    home = workspace.root / "endpoints"
    if not home.is_dir():
        return
    with _turn(home):
        with workspace.ledger.read() as tx:
            people = entries.find(tx, Person, limit=_MOST)
            live = _live(tx, workspace, people)
        for folder in sorted(home.glob("*/*/")) if people else ():
            _write(workspace, folder, live)


def tell_endpoint(workspace: Workspace, name: str) -> bool:
    """Tell one endpoint who may call it; says whether the store knows anybody, so that it must be told.

    Args:
        workspace: Whose endpoint.
        name: Its name; its folder exists.
    """
    home = workspace.root / "endpoints"
    with _turn(home):
        with workspace.ledger.read() as tx:
            people = entries.find(tx, Person, limit=_MOST)
            live = _live(tx, workspace, people)
        if people:
            _write(workspace, home / workspace.project / name, live)
    return bool(people)


Live = list[tuple[Token, Identity]]


def _live(tx: ReadTransaction, workspace: Workspace, people: list[Person]) -> Live:
    """The tokens that are good for something, with whoever bears them. A browser's session is none for programs."""
    now = workspace.clock.now()
    found: Live = []
    for person in people:
        for token in entries.find(tx, Token, name=person.name, limit=_MOST):
            if token.session or token.revoked_at or token.expires_at <= now or person.disabled_at:
                continue
            found.append((token, _identity(person, token)))
    return found


def _identity(person: Person, token: Token) -> Identity:
    return Identity(name=person.name, grants=person.grants, scopes=token.scopes, project=token.only)


def _write(workspace: Workspace, folder: Path, live: Live) -> None:
    project = folder.parent.name
    tokens = {}
    for token, identity in live:
        actor = identity.actor_in(project)
        rights = tuple(right for right in (PREDICT, PUSH, READ) if allowed(actor, right))
        tokens[token.id] = Caller(identity.name, token.secret, microseconds(token.expires_at), rights)
    former = _former(workspace, folder)
    if former is not None and former.tokens == tokens:
        return
    issued = max(time.time_ns() // 1000, former.issued_us + 1 if former else 0)
    told = Callers(project=project, endpoint=folder.name, issued_us=issued, tokens=tokens)
    write_whole(folder / CALLERS_FILE, workspace.signer.sign(msgspec.json.encode(told), CALLERS_TYPE))


def _former(workspace: Workspace, folder: Path) -> Callers | None:
    """What the endpoint was told last, None where it was told nothing that can be read: it is told anew."""
    try:
        payload = workspace.signer.verify((folder / CALLERS_FILE).read_bytes(), CALLERS_TYPE)
        found = msgspec.json.decode(payload, type=Callers)
    except (FileNotFoundError, Corrupt, msgspec.DecodeError):
        return None
    return found if (found.project, found.endpoint) == (folder.parent.name, folder.name) else None


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """One process at a time reads the ledger and writes: the last to write has read last."""
    with (home / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
