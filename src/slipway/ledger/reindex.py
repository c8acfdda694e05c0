"""Records indexed anew where they were indexed by another edition of `slipway.ledger.facets`, or by none."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from slipway.errors import Conflict, Corrupt
from slipway.ledger import entries
from slipway.ledger.facets import EDITION, SEARCHED
from slipway.ports.ledger_store import LedgerStore, WriteTransaction
from slipway.records.record import Entry, Record

__all__ = ["index_anew"]

_PAGE = 500
_REF = ("", "search", "edition")

Complete = Mapping[type[Record], Callable[[WriteTransaction, Sequence[Any]], Sequence[Record]]]


def index_anew(store: LedgerStore, complete: Complete | None = None) -> int:
    """Make every record of a store found by what this release finds it by.

    Killed half-way, it begins again at the next opening; what is written meanwhile is indexed by its writer.

    Args:
        store: The store.
        complete: By type what fills in records of earlier releases, some of them at a time.

    Returns:
        How many records were indexed: 0 where the store is of this edition.
    """
    with store.read() as tx:
        edition = tx.ref(*_REF)
    if edition == str(EDITION):
        return 0
    count = sum(_index(store, record_type, (complete or {}).get(record_type)) for record_type in SEARCHED)
    # Another process may have done the same meanwhile.
    with suppress(Conflict), store.write() as tx:
        tx.set_ref(*_REF, str(EDITION), expect=edition)
    return count


def _index(
    store: LedgerStore,
    record_type: type[Record],
    complete: Callable[[WriteTransaction, Sequence[Any]], Sequence[Record]] | None,
) -> int:
    count = 0
    last: Entry | None = None
    while True:
        before = None if last is None else (last.created_us, last.id)
        with store.write() as tx:
            page = tx.find(entries.kind_of(record_type), before=before, limit=_PAGE)
            records: Sequence[Record] = [record for entry in page for record in _readable(entry, record_type)]
            for record in records if complete is None else complete(tx, records):
                entries.put(tx, record)
            count += len(records)
        if len(page) < _PAGE:
            return count
        last = page[-1]


def _readable(entry: Entry, record_type: type[Record]) -> list[Record]:
    with suppress(Corrupt):  # it is said where it is read; the others are found all the same
        return [entries.decoded(entry, record_type)]
    return []
