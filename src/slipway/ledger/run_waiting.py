"""What is done in the transaction that brings a run's file to the ledger next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from slipway.ports.ledger_store import WriteTransaction

__all__ = ["Waiting"]


@dataclass(slots=True)
class Waiting:
    """Work that waits for a transaction. Not safe for threads: `RunLog` sees to it.

    Args:
        work: What adds to the transaction.
        over: What is called once it is committed.
    """

    work: list[Callable[[WriteTransaction], None]] = field(default_factory=list)
    over: list[Callable[[], None]] = field(default_factory=list)

    def joined(self, then: Callable[[WriteTransaction], None] | None) -> Callable[[WriteTransaction], None] | None:
        """All that waits now, and `then` after it, as one; None for nothing."""
        works = [*self.work, *([] if then is None else [then])]

        def together(tx: WriteTransaction) -> None:
            for one in works:
                one(tx)

        return together if works else None

    def committed(self, count: int) -> None:
        """The first ones were done and are committed: tell those who wait for it."""
        over = self.over[:count]
        del self.work[:count], self.over[:count]
        for one in over:
            one()
