"""Numbers that count within a name, and references that move with a condition."""

from slipway.ledger.entries import kind_of
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.record import Record

__all__ = ["next_number"]

_PAGE = 100


def next_number(tx: ReadTransaction, record_type: type[Record], project: str, name: str) -> int:
    """The number that the next record of a name gets, counting from 1.

    Call it in the write transaction that stores the record: the transaction makes the number unique.
    """
    kind = kind_of(record_type)
    newest = tx.find(kind, project=project, name=name, limit=_PAGE)
    page = newest
    # A simulated clock gives many records one instant; among these the ids say nothing of the order.
    while len(page) == _PAGE and page[-1].created_us == newest[0].created_us:
        page = tx.find(kind, project=project, name=name, before=(page[-1].created_us, page[-1].id), limit=_PAGE)
        newest += page
    return max((entry.number for entry in newest), default=0) + 1
