"""The ledger's store: a few verbs that every database must offer.

Stages never see this port; they call `slipway.ledger`, which knows records. A new kind of record needs no new verb and
no migration.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from slipway.ports.ledger_rows import LedgerRows
from slipway.records.events import Event, Root
from slipway.records.record import Entry, Link
from slipway.records.runs import Bucket, MetricPoint
from slipway.records.search import Condition, Field, Order, Position, Space, Value

__all__ = ["Found", "LedgerStore", "ReadTransaction", "WriteTransaction"]


class Found(NamedTuple):
    """A page of a search, and where it ends; None when nothing follows."""

    entries: list[Entry]
    position: Position | None


class ReadTransaction(Protocol):
    """A consistent view: everything read inside it is of one moment."""

    @property
    def rows(self) -> LedgerRows:
        """Its rows as they lie there, for a copy."""
        ...

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

    def values(
        self, kind: str, *, project: str, where: Condition | None = None, fields: Sequence[Field], limit: int
    ) -> list[tuple[Value | None, ...]]:
        """The values of some fields of every entry that a condition fits, in no order.

        A text where the field has one, else the number; NaN for a metric that is none; None where it lacks the field.

        Args:
            kind: The records' kind.
            project: Whose records.
            where: What must hold, None for all records.
            fields: At least one; none of which a record may have several values.
            limit: How many entries at most.

        Raises:
            InvalidInput: It takes too long.
        """
        ...

    def names(self, kind: str, *, project: str, space: Space, contains: str = "", limit: int) -> list[str]:
        """The names of a space's fields that any record had so far, in order.

        Args:
            kind: The records' kind.
            project: Whose records.
            space: Which fields.
            contains: What must be in the name, in any case of ASCII letters; "" for all.
            limit: How many at most.
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

    @property
    def database(self) -> str:
        """Whose copies it takes: "sqlite", "postgres"."""
        ...

    @property
    def schema(self) -> int:
        """Which version of its tables this Slipway keeps; opening brings older ones there, or says what does."""
        ...

    @property
    def upgraded_from(self) -> int:
        """Which version opening it has brought up to `schema`, 0 where there was nothing to bring."""
        ...

    def copy_to(self, path: Path) -> None:
        """Write all that is in it into a new file, of one moment; nobody waits for it, and it waits for nobody.

        Raises:
            Corrupt: What is there cannot be read.
        """
        ...

    def fill_from(self, path: Path) -> None:
        """Take over what `copy_to` of the same database wrote, by this version of Slipway or an older one.

        Raises:
            Conflict: Something is in it already; nothing of it was changed.
            Corrupt: The file is no such copy.
            BackendError: A newer Slipway wrote it.
        """
        ...

    def close(self) -> None:
        """Release connections; calling it twice is fine."""
        ...
