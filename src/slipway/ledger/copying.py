"""One ledger made equal to another, row by row, and compared with it; whatever database each lies in.

What was begun and broken off is gone on with: the same work is done again, and finds most of it done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import blake3
import msgspec

from slipway.ledger import entries
from slipway.ports.ledger_rows import Row
from slipway.ports.ledger_store import LedgerStore, ReadTransaction
from slipway.records.copies import CopiedRows, CopyMark
from slipway.records.projects import Project

__all__ = ["compare", "counted", "fill", "is_empty", "mark", "mark_of", "state_of"]

_REF = ("", "store", "copying")
_AT_ONCE = 1000
_NAMED = 20
"""How many differing rows of a table are named; the rest are counted."""

_LOOKED_AT = 100
_OF_RECORDS = ("fields", "facets")
"""What they have belongs to rows of `entries`."""
_MADE_BY_OPENING: dict[str, Callable[[Row], bool]] = {
    "entries": lambda row: row[1] == entries.kind_of(Project),
    "refs": lambda row: row[:3] in (("", "search", "edition"), ("", "store", "format")),
}
"""By table which rows opening a store writes."""

Notice = Callable[[str, int], None]
"""Is told what is done, and how many rows of it are."""


def mark_of(tx: ReadTransaction) -> CopyMark | None:
    """The mark of a ledger that is not whole yet; None where it is."""
    found = tx.ref(*_REF)
    return None if found is None else msgspec.json.decode(found, type=CopyMark)


def mark(ledger: LedgerStore, told: CopyMark | None) -> None:
    """Set the mark of a ledger that is not whole, or with None take it away."""
    with ledger.write() as tx:
        text = "" if told is None else msgspec.json.encode(told).decode()
        tx.set_ref(*_REF, text, expect=tx.ref(*_REF))


def is_empty(tx: ReadTransaction) -> bool:
    """Whether a ledger holds nothing but what opening it writes: how its records are indexed, and a project of no events."""
    for table in tx.rows.tables:
        if table in _OF_RECORDS:
            continue
        made = _MADE_BY_OPENING.get(table)
        rows = tx.rows.page(table, None, 1 if made is None else _LOOKED_AT)
        if rows and (made is None or len(rows) == _LOOKED_AT or not all(map(made, rows))):
            return False
    return True


def counted(tx: ReadTransaction) -> tuple[CopiedRows, ...]:
    """How many rows each table of a ledger has."""
    return tuple(CopiedRows(table, tx.rows.count(table)) for table in tx.rows.tables)


def state_of(ledger: LedgerStore) -> tuple[CopiedRows, ...]:
    """Each table of a ledger with its digest."""
    with ledger.read() as tx:
        found = []
        for table in tx.rows.tables:
            told = _Told()
            for row in _rows(tx, table):
                told.add(row)
            found.append(told.record(table))
        return tuple(found)


def fill(source: ReadTransaction, target: LedgerStore, notice: Notice) -> None:
    """Let a ledger have the rows of another, and no others.

    Args:
        source: The other one: all is of its moment.
        target: Nobody else writes to it.
        notice: Is told how far each table is.
    """
    # Rows that differ go first, all of them: what comes may bear a name that one of them has.
    for table in source.rows.tables:
        foreign = (there for own, there in _beside(source, table, target) if there is not None and there != own)
        while rows := list(islice(foreign, _AT_ONCE)):
            with target.write() as tx:
                tx.rows.remove(table, rows)
    for table in source.rows.tables:
        done = 0
        missing = (own for own, there in _beside(source, table, target) if there is None and own is not None)
        notice(table, done)
        while rows := list(islice(missing, _AT_ONCE)):
            with target.write() as tx:
                tx.rows.add(table, rows)
            done += len(rows)
            notice(table, done)
    with target.write() as tx:
        tx.rows.settle()


def compare(source: ReadTransaction, target: LedgerStore, notice: Notice) -> tuple[tuple[CopiedRows, ...], list[str]]:
    """Compare every row of two ledgers.

    Args:
        source: One: all is of its moment.
        target: The other.
        notice: Is told which table is compared.

    Returns:
        The source's tables, and what differs: each row by its key.
    """
    tables, differences = [], []
    for table in source.rows.tables:
        notice(table, 0)
        told, there_told, faults = _Told(), _Told(), 0
        for own, there in _beside(source, table, target):
            if own is not None:
                told.add(own)
            if there is not None:
                there_told.add(there)
            if own != there:
                faults += 1
                if faults <= _NAMED:
                    differences.append(_difference(source, table, own, there))
        if faults > _NAMED:
            differences.append(f"ledger, {table}: {faults - _NAMED} more rows differ")
        record, there_record = told.record(table), there_told.record(table)
        if not faults and record != there_record:  # it cannot be; but then nobody shall be told that they are equal
            differences.append(f"ledger, {table}: {record.rows} rows here, {there_record.rows} there, of other content")
        tables.append(record)
    return tuple(tables), differences


def _difference(tx: ReadTransaction, table: str, own: Row | None, there: Row | None) -> str:
    key = tx.rows.key(table, own or there or ())
    name = "/".join(map(str, key))
    if table == "entries":
        _, kind, id, *_ = own or there or ()
        name = f"{kind!s} {id!s}"
    how = "is not in the copy" if there is None else "is only in the copy" if own is None else "is another in the copy"
    return f"ledger, {table}: {name} {how}"


def _rows(tx: ReadTransaction, table: str) -> Iterator[Row]:
    rows = tx.rows.page(table, None, _AT_ONCE)
    while rows:
        yield from rows
        rows = tx.rows.page(table, tx.rows.key(table, rows[-1]), _AT_ONCE)


def _rows_apart(ledger: LedgerStore, table: str) -> Iterator[Row]:
    """Rows of a ledger that is written to meanwhile, behind the place where this reads: each page is a moment of its own."""
    after: Row | None = None
    while True:
        with ledger.read() as tx:
            rows = tx.rows.page(table, after, _AT_ONCE)
            after = tx.rows.key(table, rows[-1]) if rows else None
        if not rows:
            return
        yield from rows


def _beside(source: ReadTransaction, table: str, target: LedgerStore) -> Iterator[tuple[Row | None, Row | None]]:
    """The rows of both with the same key beside each other, in the order of keys; None where one has none."""
    key: Callable[[Row], Any] = lambda row: source.rows.key(table, row)  # noqa: E731
    ones, others = _rows(source, table), _rows_apart(target, table)
    own, there = next(ones, None), next(others, None)
    while own is not None or there is not None:
        if there is None or (own is not None and key(own) < key(there)):
            yield own, None
            own = next(ones, None)
        elif own is None or key(there) < key(own):
            yield None, there
            there = next(others, None)
        else:
            yield own, there
            own, there = next(ones, None), next(others, None)


class _Told:
    """Counts rows, and tells their content."""

    def __init__(self) -> None:
        self._rows = 0
        self._hasher: Any = blake3.blake3()
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, row: Iterable[Any]) -> None:
        self._rows += 1
        self._hasher.update(self._encoder.encode(row))

    def record(self, table: str) -> CopiedRows:
        return CopiedRows(table, self._rows, self._hasher.hexdigest())
