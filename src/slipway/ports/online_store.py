"""The online store: the events and view rows from which an endpoint computes features while a request waits.

Decision: the port is synchronous. The embedded store answers in tens of microseconds, less than one turn of an event
loop costs; handing it to a thread would be slower than calling it. A store across a network is asked once a request, for
everything that the request needs (`look_up`), so what is waited for is one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from slipway.records.features import EventRow, StoredView, Stream, ViewRow, WindowState

__all__ = ["Asked", "FoundRow", "OnlineStore", "ViewsAsked", "WindowsAsked", "precedence"]

FoundRow = tuple[int, tuple[Any, ...]]
"""A view's row as it was put: its time and its values."""


class WindowsAsked(NamedTuple):
    """The windows of a stream (at - width, at], for each key and width; see `OnlineStore.window_states`."""

    stream: str
    keys: Sequence[str]
    widths_us: Sequence[int]


class ViewsAsked(NamedTuple):
    """The latest row of each view, for each key; see `OnlineStore.view_rows`."""

    views: tuple[str, ...]
    keys: Sequence[str]


Asked = WindowsAsked | ViewsAsked
"""One of the questions that a request asks together."""


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
        """Everything that this thread puts inside the `with` block becomes visible together when it ends, or not at all.

        What the verbs return inside it compares with what was stored when they were called.
        """
        ...

    def look_up(self, asked: Sequence[Asked], at_us: int) -> list[list[list[Any]]]:
        """Answer several questions, all of one moment of the store; across a network, in one round trip.

        Args:
            asked: The questions.
            at_us: The decision time of all of them.

        Returns:
            For each question what `window_states` or `view_rows` gives.

        Raises:
            NotFound: A stream or view is not defined.
            Unavailable: The store cannot be reached, or has lost what it held.
        """
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

    def identity(self) -> str:
        """Which content this is: another text once everything in the store was lost, "" where that cannot happen unseen.

        Who loads a store keeps it beside what reads there, so that an emptied one never passes for one without rows.
        """
        ...

    def drop(self) -> None:
        """Forget everything that is kept here, definitions and marks included: who opens it again finds it empty."""
        ...

    def close(self) -> None:
        """Release connections; calling it twice is fine."""
        ...


def precedence(values: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """The order in which two contents of one event or row are compared: by column, null lowest, NaN greatest.

    It is the order in which Polars sorts, so that offline and online keep the same one.
    """
    return tuple((0,) if value is None else (1, value) if value == value else (2,) for value in values)
