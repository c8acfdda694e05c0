"""Lineage: what went into what, and the walk along it."""

from collections import deque

from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.records.record import Link

__all__ = ["link", "trace"]


def link(tx: WriteTransaction, source: str, target: str, role: str) -> None:
    """Record that `source` went into `target`, in a role. Nodes are written `kind:id`."""
    tx.link([Link(source, target, role)])


def trace(tx: ReadTransaction, node: str, *, limit: int = 500) -> list[Link]:
    """All links on the ways to a node and on the ways from it, each once, nearest first.

    Args:
        tx: An open transaction.
        node: Where to begin: `model:m-0192...`.
        limit: How many links at most.
    """
    found: dict[Link, None] = {}
    for towards in (True, False):
        seen, queue = {node}, deque([node])
        while queue and len(found) < limit:
            for step in tx.links(queue.popleft(), towards=towards):
                found.setdefault(step)
                other = step.source if towards else step.target
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
    return list(found)[:limit]
