"""The online store: the events and view rows from which an endpoint computes features while a request waits.

Decision: the port is synchronous. The embedded store answers in tens of microseconds, less than one turn of an event
loop costs; handing it to a thread would be slower than calling it. A store across a network gets an asynchronous twin of
the two reading verbs (`window_states`, `view_rows`), awaited by a resolver that is compiled with the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from slipway.records.features import EventRow, StoredView, Stream, ViewRow, WindowState

__all__ = ["FoundRow", "OnlineStore", "precedence"]

FoundRow = tuple[int, tuple[Any, ...]]
"""A view's row as it was put: its time and its values."""


class OnlineStore(Protocol):
    """Keeps events with exact running sums, and view rows, by key. Keys are text; see `slipway.features.states`.

    Guarantees: safe for several threads and processes; a push is visible whole or not at all, and what it acknowledged
    survives kill -9; the state depends on the set of events only, never on their order, batches or repetition. The
    store knows nothing of features: values are integers on a grid that the definition fixed.
    """

    def define(self, streams: Sequence[Stream], views: Sequence[StoredView]) -> None:
        """Make room for streams and views; those that exist are left as they are.

        Raises:
            Conflict: One exists under this name with another definition.
        """
        ...

    def push_events(self, stream: str, rows: Iterable[EventRow], *, replacing_until_us: int | None = None) -> int:
        """Add events, in any order, late ones included.

        An event that is known already (same key, time and id) changes nothing; one that is known with other values
        keeps the greater values, compared column by column with null lowest, so that order does not matter.

        Args:
            stream: The stream.
            rows: The events.
            replacing_until_us: Forget all events with time <= this first, in the same transaction; None for none.

        Returns:
            How many events are new or changed.

        Raises:
            NotFound: The stream is not defined.
        """
        ...

    def put_rows(self, view: str, rows: Iterable[ViewRow], *, replacing_until_us: int | None = None) -> int:
        """Add view rows. Of two with the same key and time the greater values stay; without time the later put stays.

        Args:
            view: The view.
            rows: The rows.
            replacing_until_us: Forget all rows with time <= this first, in the same transaction; None for none.

        Returns:
            How many rows were given.

        Raises:
            NotFound: The view is not defined.
        """
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Everything that this thread puts inside the `with` block becomes visible together when it ends, or not at all."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Everything that this thread looks up inside the `with` block is of one moment of the store."""
        ...

    def window_states(
        self, stream: str, keys: Sequence[str], at_us: int, widths_us: Sequence[int]
    ) -> list[list[WindowState]]:
        """The states of the windows (at - width, at], for each key and width, all of one moment of the store.

        Raises:
            NotFound: The stream is not defined.
        """
        ...

    def view_rows(self, views: tuple[str, ...], keys: Sequence[str], at_us: int) -> list[list[FoundRow | None]]:
        """For each key the latest row with time <= at of each view, or None, all of one moment of the store.

        Views that share their keys are asked together: what a request waits for is questions, not rows.

        Raises:
            NotFound: A view is not defined.
        """
        ...

    def mark(self, name: str) -> str:
        """How far a load has come, as its loader wrote it; "" for never."""
        ...

    def set_mark(self, name: str, value: str) -> None:
        """Remember how far a load has come; durable when it returns."""
        ...

    def close(self) -> None:
        """Release connections; calling it twice is fine."""
        ...


def precedence(values: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """The order in which two contents of one event or row are compared: by column, null lowest, NaN greatest.

    It is the order in which Polars sorts, so that offline and online keep the same one.
    """
    return tuple((0,) if value is None else (1, value) if value == value else (2,) for value in values)
