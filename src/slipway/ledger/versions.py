"""Numbers that count within a name, and references that move with a condition."""

from slipway.ledger.entries import kind_of
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.record import Record

__all__ = ["next_number"]


def next_number(tx: ReadTransaction, record_type: type[Record], project: str, name: str) -> int:
    """The number that the next record of a name gets, counting from 1.

    Call it in the write transaction that stores the record: the transaction makes the number unique.
    """
    newest = tx.find(kind_of(record_type), project=project, name=name, limit=1)
    return newest[0].number + 1 if newest else 1
