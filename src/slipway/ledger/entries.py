"""Typed records in and out of the ledger store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec

from slipway.errors import Corrupt, NotFound
from slipway.ledger import run_artifacts
from slipway.ledger.facets import facets
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.records.record import Entry, Record
from slipway.records.runs import Run

__all__ = ["as_stored", "decoded", "etag", "every", "find", "get", "kind_of", "microseconds", "put", "read"]

R = TypeVar("R", bound=Record)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """An aware instant as microseconds since the epoch, exactly."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def kind_of(record_type: type[Record]) -> str:
    """The kind under which records of a type are kept."""
    return str(record_type.__struct_config__.tag)


def put(tx: WriteTransaction, record: Record, *, expect: int | None = None) -> int:
    """Insert or replace a record.

    Args:
        tx: An open transaction.
        record: What to store.
        expect: The edition that must be stored now, 0 for "must not exist", None for no condition.

    Returns:
        The record's new edition.

    Raises:
        Conflict: Another edition is stored.
    """
    if isinstance(record, Run):
        record = run_artifacts.apart(tx, record)
    return tx.put(
        Entry(
            kind=kind_of(type(record)),
            id=record.id,
            project=record.project,
            name=record.name,
            number=getattr(record, "number", 0),
            state=getattr(record, "state", ""),
            parent=getattr(record, "parent_id", ""),
            created_us=microseconds(record.created_at),
            etag=0,
            body=msgspec.json.encode(record),
            facets=facets(record),
        ),
        expect=expect,
    )


def get(tx: ReadTransaction, record_type: type[R], id: str) -> R:
    """The record of a type with an id.

    Raises:
        NotFound: There is none.
        Corrupt: It cannot be read.
    """
    return _whole(tx, as_stored(tx, record_type, id))


def as_stored(tx: ReadTransaction, record_type: type[R], id: str) -> R:
    """The same as its entry has it: a run with many artifacts is without most of them; see `run_artifacts`.

    Raises:
        NotFound: There is none.
        Corrupt: It cannot be read.
    """
    entry = tx.get(kind_of(record_type), id)
    if entry is None:
        raise NotFound(
            f"There is no {kind_of(record_type)} with the id {id!r}.", fix="Ids are shown by the list of their kind."
        )
    return decoded(entry, record_type)


def etag(tx: ReadTransaction, record_type: type[Record], id: str) -> int:
    """The stored edition of a record, 0 when it does not exist: what `put(expect=...)` compares with."""
    entry = tx.get(kind_of(record_type), id)
    return 0 if entry is None else entry.etag


def find(
    tx: ReadTransaction,
    record_type: type[R],
    *,
    project: str | None = None,
    name: str | None = None,
    number: int | None = None,
    state: str | None = None,
    parent: str | None = None,
    before: R | None = None,
    limit: int = 100,
) -> list[R]:
    """Records of a type that match every given column, newest first.

    Args:
        tx: An open transaction.
        record_type: The type.
        project: Exact match, None for any.
        name: Exact match, None for any.
        number: Exact match, None for any.
        state: Exact match, None for any.
        parent: Exact match with `parent_id`, None for any.
        before: The last record of the page before this one.
        limit: How many at most.
    """
    key = None if before is None else (microseconds(before.created_at), before.id)
    entries = tx.find(
        kind_of(record_type),
        project=project,
        name=name,
        number=number,
        state=state,
        parent=parent,
        before=key,
        limit=limit,
    )
    return [read(tx, entry, record_type) for entry in entries]


def every(
    tx: ReadTransaction,
    record_type: type[R],
    *,
    project: str | None = None,
    name: str | None = None,
    state: str | None = None,
    parent: str | None = None,
    page: int = 1000,
) -> Iterator[R]:
    """All records of a type that match, newest first, however many: they are read page by page, as they are asked for.

    Args:
        tx: An open transaction; it stays open until the last record was taken.
        record_type: The type.
        project: Exact match, None for any.
        name: Exact match, None for any.
        state: Exact match, None for any.
        parent: Exact match with `parent_id`, None for any.
        page: How many are read at once.
    """
    last: R | None = None
    while True:
        found = find(tx, record_type, project=project, name=name, state=state, parent=parent, before=last, limit=page)
        yield from found
        if len(found) < page:
            return
        last = found[-1]


def read(tx: ReadTransaction, entry: Entry, record_type: type[R]) -> R:
    """The record that an entry holds, a run with all its artifacts.

    Raises:
        Corrupt: It cannot be read.
    """
    return _whole(tx, decoded(entry, record_type))


def _whole(tx: ReadTransaction, record: R) -> R:
    found: Any = run_artifacts.whole(tx, record) if isinstance(record, Run) else record
    return cast("R", found)


def decoded(entry: Entry, record_type: type[R]) -> R:
    """What stands in an entry itself; see `read`.

    Raises:
        Corrupt: It cannot be read.
    """
    try:
        return msgspec.json.decode(entry.body, type=record_type)
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"The {entry.kind} {entry.id} in the ledger cannot be read: {problem}.",
            fix="Restore the ledger from a backup, or read it with the release that wrote it.",
        ) from problem
