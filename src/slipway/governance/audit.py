"""The audit log: what happened, sealed so that an edit shows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from slipway.errors import InvalidInput
from slipway.governance import anchors
from slipway.ledger import events, sealed_records
from slipway.operations.audit import ListRoots, Roots
from slipway.operations.declare import Empty
from slipway.operations.governance import AuditState, Events, ListEvents, Sealed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.events import Event

__all__ = ["head_in", "head_of", "list_events", "list_roots", "seal", "verify"]

_MOST = 100_000
_PAGE = 1000
_LOOKED_AT = 50_000


def head_of(workspace: Workspace) -> Path:
    """The file beside the store's keys that names the newest root."""
    return head_in(workspace.root)


def head_in(root: Path) -> Path:
    """The same, of a store's folder."""
    return root / "keys" / "audit.head"


def list_events(workspace: Workspace, request: ListEvents) -> Events:
    """Events of the project, in order or the newest first.

    Of a rare thing many events are looked at for few that are told: at most 50,000 a request, and `next` says where to go on.

    Raises:
        InvalidInput: The limit is none, or a time has no zone.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    for name in ("since", "until"):
        at = getattr(request, name)
        if at is not None and at.tzinfo is None:
            fix = "Give an aware one: 2013-04-01T00:00:00Z."
            raise InvalidInput(f"The instant {at.isoformat()} has no time zone.", fix=fix, field=name)
    found: list[Event] = []
    looked_at = 0
    with workspace.ledger.read() as tx:
        for page, place in _pages(tx, workspace, request):
            for event in page:
                if _is_meant(event, request):
                    found.append(event)
                if len(found) == request.limit:
                    return Events(events=tuple(found), next=event.seq)
            looked_at += _PAGE
            if looked_at >= _LOOKED_AT and place:
                return Events(events=tuple(found), next=place)
    return Events(events=tuple(found))


def _pages(tx: ReadTransaction, workspace: Workspace, request: ListEvents) -> Iterator[tuple[Sequence[Event], int]]:
    """Events page by page in the order asked for, each with where to go on after it, 0 after the last."""
    last = events.newest_seq(tx)
    high = min(last, request.before - 1) if request.before else last
    low = max(0, request.after)
    while low < high:
        begin = max(low, high - _PAGE) if request.newest else low
        end = high if request.newest else min(high, low + _PAGE)
        page = tx.events(after=begin, limit=end - begin, project=workspace.project, subject=request.subject or None)
        shown = [event for event in page if event.seq <= end]
        if request.newest:
            high = begin
            yield shown[::-1], begin + 1 if begin > low else 0
        else:
            low = end
            yield shown, end if end < high else 0


def _is_meant(event: Event, request: ListEvents) -> bool:
    return (
        (not request.person or event.actor.name == request.person)
        and (not request.act or event.verb == request.act or event.verb.startswith(f"{request.act}."))
        and (not request.thing or request.thing in event.subject)
        and (request.since is None or event.at >= request.since)
        and (request.until is None or event.at < request.until)
    )


def list_roots(workspace: Workspace, request: ListRoots) -> Roots:
    """Signed roots in order.

    Raises:
        InvalidInput: The limit is none.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    with workspace.ledger.read() as tx:
        return Roots(roots=tuple([root for root in tx.roots() if root.index > request.after][: request.limit]))


def verify(workspace: Workspace, request: Empty) -> AuditState:
    """Check every seal, hold the records that decide to what was sealed of them, and compare with the anchors.

    Raises:
        Corrupt: An edit, deletion, swap or truncation, named; a record is another; or an anchor says another history.
    """
    sealed, unsealed = events.verify(workspace.ledger, workspace.signer, head=head_of(workspace))
    records = sealed_records.verify(workspace.ledger)
    return AuditState(sealed=sealed, unsealed=unsealed, records=records, anchors=anchors.look(workspace))


def seal(workspace: Workspace, request: Empty) -> Sealed:
    """Seal all events so far, the sealing itself among them, and write the roots to every anchor that lacks some."""
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "audit.seal", f"project:{workspace.project}")
    root = events.seal(workspace.ledger, workspace.signer, head=head_of(workspace))
    return Sealed(root=root, anchors=anchors.catch_up(workspace))
