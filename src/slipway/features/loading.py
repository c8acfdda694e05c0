"""Loading rows into an online store in constant memory: divided by key, sorted, in chunks that remember how far they are.

What a chunk puts and the mark that it was put become visible together. A load that is killed goes on with the chunk
after the last mark; were a chunk put twice, nothing would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.features.aside import Aside, all_of, aside_folder, partition_of
from slipway.features.point_in_time import check_whole, key_columns
from slipway.ports.online_store import OnlineStore
from slipway.records.features import EventRow, ViewRow
from slipway.records.schema import FieldType

__all__ = [
    "CHUNK_ROWS",
    "Divided",
    "Loading",
    "Mark",
    "divided",
    "event_rows",
    "put_all",
    "read_mark",
    "replace",
    "view_rows_of",
]

CHUNK_ROWS = 50_000
PART_ROWS = 1 << 19
_READ_ROWS = 1 << 17
_MOST_PARTS = 1024
_NEVER = -(2**62)


class Loading(msgspec.Struct, frozen=True, kw_only=True):
    """A load that has begun and not ended.

    Args:
        until_us: Up to which time it goes.
        versions: Of which versions of its tables.
        plan: How its rows are divided; with another plan its places mean nothing.
        part: In which part it is.
        rows: How many rows of that part were put.
    """

    until_us: int
    versions: dict[str, str]
    plan: str = ""
    part: int = 0
    rows: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream or view was loaded.

    Args:
        until_us: Up to which time.
        versions: Of which versions of its tables; none when no load has ended yet.
        loading: What goes on, None for nothing.
    """

    until_us: int = _NEVER
    versions: dict[str, str] = {}
    loading: Loading | None = None

    @property
    def furthest_us(self) -> int:
        """The greatest time up to which rows may have been put."""
        return max(self.until_us, self.loading.until_us if self.loading else _NEVER)


def read_mark(store: OnlineStore, name: str) -> Mark:
    """The mark of a stream or view; an empty one where nothing was loaded."""
    written = store.mark(name)
    return msgspec.json.decode(written, type=Mark) if written else Mark()


def _write(store: OnlineStore, name: str, mark: Mark) -> None:
    store.set_mark(name, msgspec.json.encode(mark).decode())


@dataclass(frozen=True, slots=True)
class Divided:
    """Rows in parts, of which one is in memory at a time.

    Args:
        plan: How they are divided, for the mark.
        parts: How many parts there are.
        read: The rows of a part.
    """

    plan: str
    parts: int
    read: Callable[[int], pl.DataFrame]


@contextmanager
def divided(
    frame: pl.LazyFrame, by: Sequence[str], types: Sequence[FieldType], what: str, *, rows: int, folder: Path
) -> Iterator[Divided]:
    """A frame's rows in parts by the hash of their key; in one part, and in memory, while they are few.

    Args:
        frame: The rows.
        by: The key columns.
        types: Their types.
        what: Names the rows in errors.
        rows: How many there are about; it decides into how many parts.
        folder: Where they are put aside.

    Raises:
        InvalidInput: A key does not fit 64 bits.
        BackendError: The disk is full.
    """
    parts = min(max(-(-rows // PART_ROWS), 2), _MOST_PARTS)
    schema = frame.collect_schema()
    held: list[pl.DataFrame] = []
    count = 0
    aside: Aside | None = None
    with ExitStack() as stack:
        for chunk in frame.collect_batches(chunk_size=_READ_ROWS, maintain_order=False, engine="streaming"):
            held.append(chunk)
            count += chunk.height
            if count > PART_ROWS and aside is None:
                aside = Aside(stack.enter_context(aside_folder(folder)), parts)
            if aside is not None:
                for one in held:
                    check_whole(one, by, what)
                    aside.add(one, partition_of(one.select(key_columns(by, types)), parts))
                held.clear()
        if aside is None:
            whole = all_of(held, schema)
            held.clear()
            yield Divided("1", 1, lambda part: whole)
        else:
            aside.flush()
            kept = aside
            yield Divided(f"{parts} by {pl.__version__}", parts, lambda part: all_of(list(kept.read(part)), schema))


def put_all(
    store: OnlineStore,
    name: str,
    mark: Mark,
    loading: Loading,
    rows: Divided,
    table_of: Callable[[pl.DataFrame], pl.DataFrame],
    put: Callable[[pl.DataFrame], object],
) -> int:
    """Put rows chunk by chunk, each with the mark that says so; then mark the whole as loaded.

    Args:
        store: Where to.
        name: The stream or view.
        mark: How far it was loaded before.
        loading: What is to be loaded; where it began already with the same plan, it goes on.
        rows: The rows in parts.
        table_of: A part's rows as the store takes them, in an order that depends on them alone.
        put: Puts a chunk of that.

    Returns:
        How many rows were put.
    """
    begun = mark.loading
    is_same = begun is not None and (begun.until_us, begun.versions, begun.plan) == (
        loading.until_us,
        loading.versions,
        rows.plan,
    )
    at = begun if begun is not None and is_same else loading
    count = 0
    for part in range(at.part, rows.parts):
        table = table_of(rows.read(part))
        for start in range(at.rows if part == at.part else 0, table.height, CHUNK_ROWS):
            chunk = table.slice(start, CHUNK_ROWS)
            done = Loading(
                until_us=loading.until_us,
                versions=loading.versions,
                plan=rows.plan,
                part=part,
                rows=start + chunk.height,
            )
            with store.writing():
                put(chunk)
                _write(store, name, msgspec.structs.replace(mark, loading=done))
            count += chunk.height
    _write(store, name, Mark(until_us=loading.until_us, versions=loading.versions))
    return count


def replace(
    store: OnlineStore,
    name: str,
    loading: Loading,
    rows: Divided,
    table_of: Callable[[pl.DataFrame], pl.DataFrame],
    put: Callable[[pl.DataFrame], object],
    forget: Callable[[], object],
) -> int:
    """Forget what was loaded and put rows in its place, all in one transaction.

    Args:
        store: Where to.
        name: The stream or view.
        loading: What is to be loaded.
        rows: The rows in parts.
        table_of: As for `put_all`.
        put: As for `put_all`.
        forget: Forgets.

    Returns:
        How many rows were put.
    """
    count = 0
    with store.writing():
        forget()
        for part in range(rows.parts):
            table = table_of(rows.read(part))
            for chunk in table.iter_slices(CHUNK_ROWS):
                put(chunk)
            count += table.height
        _write(store, name, Mark(until_us=loading.until_us, versions=loading.versions))
    return count


def event_rows(table: pl.DataFrame) -> list[EventRow]:
    """A table of key, time, id and values as rows for a store."""
    keys, times, ids, *values = (column.to_list() for column in table.iter_columns())
    return _made(EventRow, keys, times, ids, _cells(values))


def view_rows_of(table: pl.DataFrame) -> list[ViewRow]:
    """A table of key, time and values as rows for a store."""
    keys, times, *values = (column.to_list() for column in table.iter_columns())
    return _made(ViewRow, keys, times, _cells(values))


def _cells(values: list[list[Any]]) -> Any:
    return zip(*values, strict=True) if values else repeat(())


def _made(kind: Any, *columns: Any) -> list[Any]:
    # Without a call of Python's for each row: there are millions.
    return list(map(partial(tuple.__new__, kind), zip(*columns, strict=False)))
