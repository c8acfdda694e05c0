"""Records found by what they say: a condition, an order, page by page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec

from slipway.errors import InvalidInput
from slipway.hashing import digest
from slipway.ledger import entries
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search_experiments import EXPERIMENT, EXPERIMENT_ID, by_id
from slipway.ledger.search_language import parse, parse_field, parse_order
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.record import Record
from slipway.records.search import And, Condition, Field, IsNull, Order, Position, Search, Value, mentions

__all__ = ["Page", "asked", "every_found", "search", "values_of"]

R = TypeVar("R", bound=Record)

_AT_MOST = 1000
_AT_ONCE = 10_000
_DELETED = Field("attribute", "deleted")


class Page(NamedTuple, Generic[R]):
    """A page of records, and the token of the next one, "" when nothing follows."""

    records: tuple[R, ...]
    next_token: str


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, and of which search."""

    search: bytes
    position: Position


def search(
    tx: ReadTransaction,
    record_type: type[R],
    *,
    project: str,
    where: str | Condition | None = None,
    order: str | Sequence[Order] = (),
    token: str = "",
    limit: int = 100,
    best_per: str | Field | None = None,
    now: datetime | None = None,
    put_aside: bool = True,
    among: Condition | None = None,
) -> Page[R]:
    """Records that a condition fits: in the given order, then the newest, then what was recorded last.

    A page begins behind the last record of the page before, wherever that is by then: what is recorded meanwhile moves
    nothing. A run with many artifacts comes as it is stored, without most of them: see `entries.as_stored`.

    Args:
        tx: An open transaction.
        record_type: One of `slipway.ledger.facets.SEARCHED`: `Run`, `ModelVersion` and so on.
        project: Whose records.
        where: A condition, or a search in words: "metrics.auc > 0.7 and params.depth in (4, 6)".
        order: Orders, or in words: "metrics.auc desc, started".
        token: The token of the page before this one, "" for the first page.
        limit: How many at most.
        best_per: Only the first record of each value of this field: "tags.user".
        now: From when "7d ago" counts; the machine's time when it is not given.
        put_aside: Whether records that were put aside, which can be restored, count too; otherwise they count only where
            the condition asks about `deleted`.
        among: What must hold besides, on every page the same.

    Raises:
        InvalidInput: The words cannot be read, or the token belongs to another search.
    """
    searched = SEARCHED[record_type]
    condition = parse(where, searched, now=now or datetime.now(UTC)) if isinstance(where, str) else where
    condition = _counting(tx, record_type, project, condition, put_aside=put_aside, among=among)
    orders = parse_order(order, searched) if isinstance(order, str) else tuple(order)
    per = (parse_field(best_per, searched) if best_per else None) if isinstance(best_per, str) else best_per
    # Of the words, not of what they mean: "7d ago" means another time on each page.
    meant = digest(msgspec.msgpack.encode((record_type.__name__, project, where, orders, per))).encode()[:16]
    found = tx.search(
        entries.kind_of(record_type),
        project=project,
        where=condition,
        order=orders,
        after=_position(token, meant, len(orders)) if token else None,
        limit=limit,
        best_per=EXPERIMENT_ID if per == EXPERIMENT else per,
    )
    records = tuple(entries.decoded(entry, record_type) for entry in found.entries)
    return Page(records, "" if found.position is None else _token(meant, found.position))


def values_of(
    tx: ReadTransaction,
    record_type: type[Record],
    workspace: Workspace,
    where: str,
    fields: Sequence[Field],
    limit: int,
) -> list[tuple[Value | None, ...]]:
    """The values of some fields of all records that fit, as an operation asks for them: see `LedgerStore.values`.

    Raises:
        InvalidInput: The search cannot be read.
    """
    condition = parse(where, SEARCHED[record_type], now=workspace.clock.now())
    condition = _counting(tx, record_type, workspace.project, condition, put_aside=False)
    wanted = [EXPERIMENT_ID if field == EXPERIMENT else field for field in fields]
    return tx.values(
        entries.kind_of(record_type), project=workspace.project, where=condition, fields=wanted, limit=limit
    )


def _counting(
    tx: ReadTransaction,
    record_type: type[Record],
    project: str,
    condition: Condition | None,
    *,
    put_aside: bool,
    among: Condition | None = None,
) -> Condition | None:
    """What must hold in all: of what was put aside too, and with experiments by their ids."""
    parts = [part for part in (among, condition) if part is not None]
    if not put_aside and "deleted" in SEARCHED[record_type].attributes and not mentions(condition, _DELETED):
        parts.append(IsNull(_DELETED))
    whole = And(tuple(parts)) if parts else None
    return by_id(tx, whole, project) if whole is not None and mentions(whole, EXPERIMENT) else whole


def every_found(
    tx: ReadTransaction,
    record_type: type[R],
    *,
    project: str,
    where: Condition,
    order: Sequence[Order] = (),
    best_per: Field | None = None,
) -> Iterator[R]:
    """All records that a condition fits, however many: see `search`. They are read as they are asked for.

    Args:
        tx: A transaction that stays open until the last record was taken.
        record_type: See `search`.
        project: Whose records.
        where: What must hold.
        order: What comes first.
        best_per: Only the first record of each value of this field.
    """
    token = ""
    while True:
        page = search(
            tx,
            record_type,
            project=project,
            where=where,
            order=order,
            best_per=best_per,
            token=token,
            limit=_AT_ONCE,
        )
        yield from page.records
        token = page.next_token
        if not token:
            return


def asked(tx: ReadTransaction, record_type: type[R], workspace: Workspace, request: Search) -> Page[R]:
    """The page that an operation's request asks for, in the workspace's project and time.

    What was put aside is left out, unless the search names it: "deleted is not null".

    Raises:
        InvalidInput: The search cannot be read, or the limit is not between 1 and 1,000.
    """
    if not 1 <= request.limit <= _AT_MOST:
        raise InvalidInput(
            f"A page of {request.limit} cannot be had.", fix=f"Ask for 1 to {_AT_MOST:,}.", field="limit"
        )
    return search(
        tx,
        record_type,
        project=workspace.project,
        where=request.where,
        order=request.order,
        token=request.token,
        limit=request.limit,
        best_per=request.best_per,
        now=workspace.clock.now(),
        put_aside=False,
    )


def _token(meant: bytes, position: Position) -> str:
    # MessagePack, because it knows infinities.
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(_Token(meant, position))).decode().rstrip("=")


def _position(token: str, meant: bytes, orders: int) -> Position:
    try:
        found = msgspec.msgpack.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=_Token)
    except (ValueError, msgspec.DecodeError):
        found = None
    fits = found is not None and found.search == meant and len(found.position) == 3 * orders + 2
    if found is None or not fits or any(isinstance(one, int) and abs(one) >= 2**63 for one in found.position):
        raise InvalidInput(
            f"The page token {token[:40]!r} does not belong to this search.",
            why="A token holds where a page of one search ended.",
            fix="Give the token that came with the page before, with the same search, order and project.",
            field="token",
        )
    return found.position
