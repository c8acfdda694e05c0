"""Filling an online store from tables: everything known up to a moment, and what becomes known after it, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import polars as pl

from slipway.errors import InvalidInput, near
from slipway.features.point_in_time import (
    EVENT_TIME,
    Notes,
    WindowRows,
    floats,
    microseconds,
    sentences,
    text_of,
    view_rows,
)
from slipway.features.specs import query
from slipway.features.states import from_us, stored_view_of, stream_of, to_us
from slipway.features.training import PinnedTables
from slipway.features.views import FeatureView
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.features import EventRow, FeatureSetSpec, StoredView, Stream, View, ViewRow, Windows
from slipway.records.schema import FieldType
from slipway.tables import versions

__all__ = ["Arrival", "Materialised", "events_between", "materialise"]

_CHUNK_ROWS = 50_000
_INDEX = "__index"


class _Mark(msgspec.Struct, frozen=True):
    """How far a stream or view was loaded: up to which time, of which versions of its tables."""

    until_us: int
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Materialised:
    """What a load did.

    Args:
        loaded: Rows given to the store, by stream or view.
        notes: What was found and does not count, as sentences.
    """

    loaded: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(self.loaded.values())


class Arrival(NamedTuple):
    """A row that becomes known: when, of which table or view, its columns."""

    at: datetime
    name: str
    row: dict[str, Any]


def materialise(
    workspace: Workspace,
    spec: FeatureSetSpec,
    store: OnlineStore,
    *,
    until: datetime,
    views: Mapping[str, FeatureView] | None = None,
) -> Materialised:
    """Load what was known up to a moment from the current versions of the tables.

    It may be killed and run again at any time: what is loaded already is not loaded twice, and changes nothing where it
    is, so requests may be answered meanwhile. Of tables that only grew, the new rows are loaded. A table that was
    overwritten, and a view any of whose tables changed, replaces in one transaction what was loaded before and what is
    known up to its last row; what was pushed later stays.

    Args:
        workspace: Whose tables.
        spec: The feature set.
        store: Where its streams and views are kept; defined where they do not exist.
        until: Rows known at or before this; where the store was loaded further already, as far as that.
        views: The feature views by name, of a set that has some.

    Raises:
        NotFound: A table has no version yet.
        InvalidInput: `until` has no time zone, a feature view is missing, or a table does not fit the set.
    """
    tables = PinnedTables(workspace)
    loaded: dict[str, int] = {}
    notes: list[str] = []
    until_us = to_us(until)
    for part in spec.parts:
        if isinstance(part, Windows):
            stream = stream_of(part)
            if stream.name in loaded:
                continue
            store.define([stream], [])
            loaded[stream.name] = _load_events(workspace, tables, part, stream, store, until_us, notes)
        elif isinstance(part, View):
            stored = stored_view_of(part)
            store.define([], [stored])
            loaded[stored.name] = _load_view(tables, part, stored, _view_of(part, views), store, until_us, notes)
    found = Materialised(loaded=loaded, notes=tuple(dict.fromkeys(notes)))
    for note in found.notes:
        workspace.say(note)
    workspace.say(f"Online store: {found.rows:,} rows loaded, known up to {until.isoformat()}.")
    return found


def _load_events(
    workspace: Workspace,
    tables: PinnedTables,
    windows: Windows,
    stream: Stream,
    store: OnlineStore,
    until_us: int,
    notes: list[str],
) -> int:
    now = {windows.source: tables.version(windows.source).version}
    mark = _read_mark(store, stream.name)
    until_us = _furthest(until_us, mark)
    frame = tables.read(windows.source)
    known = microseconds(frame, windows.time, f"table {windows.source!r}")
    wanted = (known <= until_us) | known.is_null()
    is_overwritten = False
    if mark is not None:
        first_new = _rows_of(workspace, windows.source, mark.versions[windows.source], now[windows.source])
        is_overwritten = first_new is None
        if first_new is not None:
            wanted &= (known > mark.until_us) | (pl.col(_INDEX) >= first_new)
    values = dict.fromkeys([*windows.by, windows.time, *windows.event_id, *(column.name for column in stream.columns)])
    source = frame.with_row_index(_INDEX).filter(wanted).select(list(values)).collect()
    prepared = WindowRows(windows, source)
    notes += sentences(prepared.notes)
    rows = prepared.rows
    table = rows.select(_key_text(windows.by, windows.key_types), EVENT_TIME, *rows.columns[len(windows.by) + 1 :])
    if is_overwritten:
        store.push_events(stream.name, _events(table), replacing_until_us=_last(table, mark))
    else:
        for chunk in table.iter_slices(_CHUNK_ROWS):
            store.push_events(stream.name, _events(chunk))
    _write_mark(store, stream.name, until_us, now)
    return rows.height


def _load_view(
    tables: PinnedTables,
    view: View,
    stored: StoredView,
    declared: FeatureView,
    store: OnlineStore,
    until_us: int,
    notes: list[str],
) -> int:
    now = {source: tables.version(source).version for source in view.sources}
    mark = _read_mark(store, stored.name)
    until_us = _furthest(until_us, mark)
    is_changed = mark is not None and mark.versions != now
    if mark is not None and not is_changed and (not view.time or mark.until_us >= until_us):
        return 0
    found: Notes = Counter()
    rows = view_rows(view, query(declared, tables).collect(), found).frame
    notes += sentences(found)
    if view.time:
        since_us = mark.until_us if mark is not None and not is_changed else None
        rows = rows.filter(pl.col(EVENT_TIME) <= until_us)
        rows = rows if since_us is None else rows.filter(pl.col(EVENT_TIME) > since_us)
    values = [_stored_form(f.name, f.type) for f in view.fields]
    time = pl.col(EVENT_TIME) if view.time else pl.lit(0, dtype=pl.Int64).alias(EVENT_TIME)
    table = rows.select(_key_text(view.entity, view.entity_types), time, *values)
    if is_changed:
        store.put_rows(stored.name, _view_rows(table), replacing_until_us=_last(table, mark) if view.time else 0)
    else:
        for chunk in table.iter_slices(_CHUNK_ROWS):
            store.put_rows(stored.name, _view_rows(chunk))
    _write_mark(store, stored.name, until_us, now)
    return rows.height


def _events(table: pl.DataFrame) -> Iterator[EventRow]:
    return (EventRow(row[0], row[1], row[2], row[3:]) for row in table.iter_rows())


def _view_rows(table: pl.DataFrame) -> Iterator[ViewRow]:
    return (ViewRow(row[0], row[1], row[2:]) for row in table.iter_rows())


def _last(table: pl.DataFrame, mark: _Mark | None) -> int | None:
    """Up to when tables tell: the new content's last row, or as far as the old content was loaded."""
    greatest = table[EVENT_TIME].max()
    return max((t for t in (greatest, mark and mark.until_us) if isinstance(t, int)), default=None)


def _view_of(part: View, views: Mapping[str, FeatureView] | None) -> FeatureView:
    if views is None or part.name not in views:
        raise InvalidInput(
            f"The feature view {part.name!r} was not given.",
            why=near(part.name, views or (), what="feature views"),
            fix="Pass the feature set's `views`.",
        )
    return views[part.name]


def _key_text(names: Sequence[str], types: Sequence[FieldType]) -> pl.Expr:
    """The text of keys that are prepared already: instants are whole numbers in them."""
    return text_of(names, ["int" if kind == "datetime" else kind for kind in types]).alias("__key")


def _stored_form(name: str, kind: FieldType) -> pl.Expr:
    """`states.plain` for a column."""
    column = pl.col(name)
    if kind == "datetime":
        return column.dt.epoch("us")
    if kind == "duration":
        return column.dt.total_microseconds()
    return column.cast(pl.Int32).cast(pl.Int64) if kind == "date" else column


def _rows_of(workspace: Workspace, table: str, old: str, new: str) -> int | None:
    """How many rows an older version has of which a newer one is a continuation; None where it is none."""
    owner, _, name = table.rpartition("/")
    by_version = {version.version: version for version in versions.history(workspace, name, project=owner or None)}
    version = by_version.get(new)
    while version is not None and version.version != old:
        version = by_version.get(version.parent) if version.change == "append" else None
    return None if version is None else version.rows


def _read_mark(store: OnlineStore, name: str) -> _Mark | None:
    written = store.mark(name)
    return msgspec.json.decode(written, type=_Mark) if written else None


def _furthest(until_us: int, mark: _Mark | None) -> int:
    """Up to when to load: never less far than before, also where business time has stepped back.

    Otherwise new rows between the two times would be left out now, and later pass for loaded.
    """
    return until_us if mark is None else max(until_us, mark.until_us)


def _write_mark(store: OnlineStore, name: str, until_us: int, now: dict[str, str]) -> None:
    store.set_mark(name, msgspec.json.encode(_Mark(until_us, now)).decode())


def events_between(
    workspace: Workspace,
    spec: FeatureSetSpec,
    since: datetime,
    until: datetime,
    *,
    views: Mapping[str, FeatureView] | None = None,
) -> Iterator[Arrival]:
    """What becomes known in (since, until], in the order of time: rows for `online.build_receiver`, or to be pushed.

    Args:
        workspace: Whose tables, in their current versions.
        spec: The feature set.
        since: Rows known after this.
        until: Rows known at or before this.
        views: The feature views by name, of a set that has some. Views without time give no rows.

    Raises:
        NotFound: A table has no version yet.
        InvalidInput: An instant has no time zone.
    """
    tables = PinnedTables(workspace)
    bounds = (to_us(since), to_us(until))
    columns: dict[tuple[str, str], dict[str, None]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            used = [*part.event_id, *part.by, part.time, *(a.column for a in part.aggregates if a.column)]
            columns.setdefault((part.source, part.time), {}).update(dict.fromkeys(used))
    streams = [
        _arrivals(source, tables.read(source).select(list(names)), time, bounds)
        for (source, time), names in columns.items()
    ]
    streams += [
        _arrivals(part.name, query(_view_of(part, views), tables), part.time, bounds)
        for part in spec.parts
        if isinstance(part, View) and part.time
    ]
    return (Arrival(from_us(at_us), name, row) for at_us, name, row in merge(*streams, key=itemgetter(0)))


def _arrivals(
    name: str, frame: pl.LazyFrame, time: str, bounds: tuple[int, int]
) -> Iterable[tuple[int, str, dict[str, Any]]]:
    known = microseconds(frame, time, repr(name))
    # Decimals leave as the floats that features read: JSON would carry their text.
    decimals = [floats(column, kind) for column, kind in frame.collect_schema().items() if isinstance(kind, pl.Decimal)]
    rows = frame.with_columns(known.alias(EVENT_TIME), *decimals).filter(
        (pl.col(EVENT_TIME) > bounds[0]) & (pl.col(EVENT_TIME) <= bounds[1])
    )
    for chunk in rows.sort(EVENT_TIME, maintain_order=True).collect().iter_slices(_CHUNK_ROWS):
        for row in chunk.iter_rows(named=True):
            yield row.pop(EVENT_TIME), name, row
