"""The ledger's store: a few verbs that every database must offer.

Stages never see this port; they call `slipway.ledger`, which knows records. A new kind of record needs no new verb and
no migration.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from slipway.records.events import Event, Root
from slipway.records.record import Entry, Link
from slipway.records.runs import Bucket, MetricPoint
from slipway.records.search import Condition, Field, Order, Position

__all__ = ["Found", "LedgerStore", "ReadTransaction", "WriteTransaction"]


class Found(NamedTuple):
    """A page of a search, and where it ends; None when nothing follows."""

    entries: list[Entry]
    position: Position | None


class ReadTransaction(Protocol):
    """A consistent view: everything read inside it is of one moment."""

    def get(self, kind: str, id: str) -> Entry | None:
        """The entry, or None."""
        ...

    def find(
        self,
        kind: str,
        *,
        project: str | None = None,
        name: str | None = None,
        number: int | None = None,
        state: str | None = None,
        parent: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Entries that match every given column, newest first by (created_us, id).

        Args:
            kind: The records' kind.
            project: Exact match, None for any.
            name: Exact match, None for any.
            number: Exact match, None for any.
            state: Exact match, None for any.
            parent: Exact match, None for any.
            before: Only what comes after this (created_us, id) in the answer's order: the key of the next page.
            limit: How many at most.
        """
        ...

    def ref(self, project: str, kind: str, name: str) -> str | None:
        """What a mutable reference points at, or None."""
        ...

    def refs(self, project: str, kind: str) -> dict[str, str]:
        """All references of a kind, by name."""
        ...

    def links(self, node: str, *, towards: bool) -> list[Link]:
        """Lineage links that end at the node (`towards`), or that begin at it."""
        ...

    def search(
        self,
        kind: str,
        *,
        project: str,
        where: Condition | None = None,
        order: Sequence[Order] = (),
        after: Position | None = None,
        limit: int = 100,
        best_per: Field | None = None,
    ) -> Found:
        """Entries that a condition fits: in the given order, then the newest first, then what was recorded last.

        Args:
            kind: The records' kind.
            project: Whose records.
            where: What must hold, None for all records.
            order: What comes first; no field of which a record may have several values.
            after: Where the page before ended, by the same search.
            limit: How many at most.
            best_per: Only the first record of each value of this field; those without it are left out.

        Raises:
            InvalidInput: It takes too long.
        """
        ...

    def points(
        self, run_id: str, key: str, *, after: MetricPoint | None = None, limit: int = 25_000
    ) -> list[MetricPoint]:
        """A metric's points in the order (step, at_us, value), NaN lowest; those behind `after`, when it is given."""
        ...

    def sampled(
        self, run_id: str, key: str, *, buckets: int, since: int | None = None, until: int | None = None
    ) -> list[Bucket]:
        """A metric's points, all or those of the steps `since` to `until`, as at most that many marks of a chart.

        They are in order. Every point lies in one bucket: a stretch of steps, or of times where all points have one
        step. Stretches are about equally wide: each edge may lie half a width off, so that blocks of points need not
        be opened.
        """
        ...

    def latest_points(self, run_ids: Sequence[str]) -> dict[str, list[MetricPoint]]:
        """For each run the latest point of every key, by key; greatest (step, at_us, value), NaN lowest."""
        ...

    def events(
        self, *, after: int = 0, limit: int = 1000, project: str | None = None, subject: str | None = None
    ) -> list[Event]:  #
        """Events with seq above `after`, in order."""
        ...

    def written_events(self, *, after: int = 0, limit: int = 1000) -> list[tuple[Event, bytes]]:
        """The same of all projects, beside the very bytes in which each was written."""
        ...

    def roots(self) -> list[Root]:
        """All roots, in order."""
        ...

    def written_roots(self) -> list[tuple[Root, bytes]]:
        """The same beside the very bytes in which each was written."""
        ...


class WriteTransaction(ReadTransaction, Protocol):
    """Writes that become visible together when the `with` block ends, or not at all when it raises."""

    def put(self, entry: Entry, *, expect: int | None = None) -> int:
        """Insert or replace an entry, and what it is found by.

        Args:
            entry: What to store; its etag is ignored. One that is stored keeps its project.
            expect: The etag that must be stored now, 0 for "must not exist", None for no condition.

        Returns:
            The new etag.

        Raises:
            Conflict: Another etag or project is stored.
        """
        ...

    def remove(self, kind: str, id: str) -> bool:
        """Remove an entry for good, with what it is found by and its points; returns whether it was there.

        Its references and links stay: see `set_ref` and `unlink`.
        """
        ...

    def set_ref(self, project: str, kind: str, name: str, target: str, *, expect: str | None) -> None:
        """Point a reference at a target.

        Args:
            project: The project.
            kind: What sort of reference: "head", "alias".
            name: Its name.
            target: Where it points from now on; "" removes it.
            expect: Where it must point now, None when it must not exist.

        Raises:
            Conflict: It points elsewhere.
        """
        ...

    def link(self, links: Iterable[Link]) -> None:
        """Add lineage links; a link that exists is left as it is."""
        ...

    def unlink(self, node: str) -> None:
        """Remove the lineage links that begin or end at a node."""
        ...

    def add_points(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        """Add points of a run's metrics; an identical one is kept once.

        Raises:
            NotFound: There is no such run.
        """
        ...

    def append_event(self, event: Event) -> int:
        """Append an event; returns its seq, which follows the one before it without a gap."""
        ...

    def append_root(self, root: Root) -> None:
        """Append a root.

        Raises:
            Conflict: The index exists.
        """
        ...

    def take_lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Take or renew a lease by machine time; False while another holder's has not run out."""
        ...


class LedgerStore(Protocol):
    """A ledger's database. Safe for many threads and processes."""

    def read(self) -> AbstractContextManager[ReadTransaction]:
        """Open a consistent view."""
        ...

    def write(self) -> AbstractContextManager[WriteTransaction]:
        """Open a transaction. It commits when the block ends and is then durable against kill -9.

        Raises:
            Unavailable: The database stays locked or cannot be reached.
        """
        ...

    def close(self) -> None:
        """Release connections; calling it twice is fine."""
        ...
