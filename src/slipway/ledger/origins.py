"""Where rows came from: which of the tables behind something were simulated."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.tables import SIMULATED, TableVersion

__all__ = ["simulated"]


def simulated(tx: ReadTransaction, nodes: Iterable[str]) -> tuple[str, ...]:
    """The names of the simulated tables among some, and among all that these were made of, sorted.

    Args:
        tx: An open transaction.
        nodes: Lineage nodes: "table:shop/orders@<version>"; what is no table's version counts for nothing.
    """
    found: set[str] = set()
    queue = [node for node in nodes if node.startswith("table:")]
    seen = set(queue)
    while queue:
        node = queue.pop()
        id = node.partition(":")[2]
        if tx.get(entries.kind_of(TableVersion), id) is not None:
            version = entries.get(tx, TableVersion, id)
            if version.about.origin == SIMULATED:
                found.add(version.name)
        behind = {link.source for link in tx.links(node, towards=True) if link.source.startswith("table:")} - seen
        seen |= behind
        queue += behind
    return tuple(sorted(found))
