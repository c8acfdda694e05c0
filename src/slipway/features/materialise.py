"""Filling an online store from tables: everything known up to a moment, and what becomes known after it, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.features.loading import (
    Loading,
    Mark,
    divided,
    event_rows,
    put_all,
    read_mark,
    replace,
    view_rows_of,
)
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
from slipway.records.features import FeatureSetSpec, StoredView, Stream, View, Windows
from slipway.records.schema import FieldType
from slipway.tables import versions
from slipway.tables.catalog import content_of

__all__ = ["Arrival", "Materialised", "events_between", "materialise"]

_CHUNK_ROWS = 50_000
_INDEX = "__index"
_NEVER = -(2**62)
_SAME_ROWS_FIRST = ("append", "compact")
"""The changes after which a table begins with the rows that it had, in their order."""


@dataclass(frozen=True, slots=True)
class _Load:
    """What a load works with, and the sentences that it gathers."""

    workspace: Workspace
    tables: PinnedTables
    store: OnlineStore
    until_us: int
    notes: list[str]

    @property
    def folder(self) -> Path:
        return self.workspace.root / "aside"


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

    Its memory does not grow with the tables: they are read in parts and put in chunks. It may be killed and run again at
    any time: it goes on after the last chunk, and a chunk that is put twice changes nothing, so requests may be answered
    and rows pushed meanwhile, in any order. Of tables that only grew, the new rows are loaded. A table that was
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
        BackendError: The store failed, or the disk is full.
    """
    loaded: dict[str, int] = {}
    load = _Load(workspace, PinnedTables(workspace), store, to_us(until), [])
    for part in spec.parts:
        if isinstance(part, Windows):
            stream = stream_of(part)
            if stream.name in loaded:
                continue
            store.define([stream], [])
            loaded[stream.name] = _load_events(load, part, stream)
        elif isinstance(part, View):
            stored = stored_view_of(part)
            store.define([], [stored])
            loaded[stored.name] = _load_view(load, part, stored, _view_of(part, views))
    found = Materialised(loaded=loaded, notes=tuple(dict.fromkeys(load.notes)))
    for note in found.notes:
        workspace.say(note)
    workspace.say(f"Online store: {found.rows:,} rows loaded, known up to {until.isoformat()}.")
    return found


def _load_events(load: _Load, windows: Windows, stream: Stream) -> int:
    tables, store = load.tables, load.store
    version = tables.version(windows.source)
    now = {windows.source: content_of(version)}
    mark = read_mark(store, stream.name)
    until_us = max(load.until_us, mark.furthest_us)
    if mark.loading is not None and mark.loading.versions == now:
        until_us = mark.loading.until_us  # what has begun is ended first
    frame = tables.read(windows.source)
    known = microseconds(frame, windows.time, f"table {windows.source!r}")
    wanted = (known <= until_us) | known.is_null()
    is_overwritten = False
    for loaded in (mark.versions, mark.loading.versions if mark.loading else {}):
        is_overwritten |= bool(loaded) and _rows_of(load.workspace, windows.source, loaded, now) is None
    first_new = _rows_of(load.workspace, windows.source, mark.versions, now) if mark.versions else None
    if first_new is not None and not is_overwritten:
        wanted &= (known > mark.until_us) | (pl.col(_INDEX) >= first_new)
    values = dict.fromkeys([*windows.by, windows.time, *windows.event_id, *(column.name for column in stream.columns)])
    source = frame.with_row_index(_INDEX).filter(wanted).select(list(values))
    notes: Notes = Counter()

    def table_of(rows: pl.DataFrame) -> pl.DataFrame:
        prepared = WindowRows(windows, rows)
        notes.update(prepared.notes)
        found, key = prepared.rows, _key_text(windows.by, windows.key_types)
        # By the key's text, as stores keep them: each chunk is then one stretch of the store, not many places of it.
        return found.select(key, EVENT_TIME, *found.columns[len(windows.by) + 1 :]).sort("__key", maintain_order=True)

    def put(chunk: pl.DataFrame) -> None:
        store.push_events(stream.name, event_rows(chunk))

    what = f"the table {windows.source!r}"
    goal = Loading(until_us=until_us, versions=now)
    with divided(source, windows.by, windows.key_types, what, rows=version.rows, folder=load.folder) as rows:
        if is_overwritten:
            last = _last(source, windows.time, what, mark)
            forget = partial(store.push_events, stream.name, [], replacing_until_us=last)
            count = replace(store, stream.name, goal, rows, table_of, put, forget)
        else:
            count = put_all(store, stream.name, mark, goal, rows, table_of, put)
    load.notes.extend(sentences(notes))
    return count + (_load_events(load, windows, stream) if until_us < load.until_us else 0)


def _load_view(load: _Load, view: View, stored: StoredView, declared: FeatureView) -> int:
    tables, store = load.tables, load.store
    now = {source: content_of(tables.version(source)) for source in view.sources}
    mark = read_mark(store, stored.name)
    until_us = max(load.until_us, mark.furthest_us)
    begun = mark.loading
    if begun is not None and begun.versions == now:
        until_us = begun.until_us  # what has begun is ended first
    is_changed = any(loaded and loaded != now for loaded in (mark.versions, begun.versions if begun else {}))
    if begun is None and mark.versions == now and (not view.time or mark.until_us >= until_us):
        return 0
    source, what = query(declared, tables), f"the feature view {view.name!r}"
    if view.time:
        known = microseconds(source, view.time, what)
        since_us = mark.until_us if mark.versions and not is_changed else _NEVER
        source = source.filter(known.is_null() | ((known > since_us) & (known <= until_us)))
    source = source.select([*view.entity, *([view.time] if view.time else []), *(f.name for f in view.fields)])
    notes: Notes = Counter()
    values = [_stored_form(f.name, f.type) for f in view.fields]
    time = pl.col(EVENT_TIME) if view.time else pl.lit(0, dtype=pl.Int64).alias(EVENT_TIME)

    def table_of(rows: pl.DataFrame) -> pl.DataFrame:
        found = view_rows(view, rows, notes).frame
        return found.select(_key_text(view.entity, view.entity_types), time, *values).sort("__key", EVENT_TIME)

    def put(chunk: pl.DataFrame) -> None:
        store.put_rows(stored.name, view_rows_of(chunk))

    goal = Loading(until_us=until_us, versions=now)
    size = sum(tables.version(name).rows for name in view.sources)
    with divided(source, view.entity, view.entity_types, what, rows=size, folder=load.folder) as rows:
        if is_changed:
            last = _last(source, view.time, what, mark) if view.time else 0
            forget = partial(store.put_rows, stored.name, [], replacing_until_us=last)
            count = replace(store, stored.name, goal, rows, table_of, put, forget)
        else:
            count = put_all(store, stored.name, mark, goal, rows, table_of, put)
    load.notes.extend(sentences(notes))
    return count + (_load_view(load, view, stored, declared) if until_us < load.until_us else 0)


def _last(source: pl.LazyFrame, time: str, what: str, mark: Mark) -> int:
    """Up to when tables tell: the new content's last row, or as far as the old content was loaded."""
    greatest = source.select(microseconds(source, time, what).max()).collect(engine="streaming").item()
    return mark.furthest_us if greatest is None else max(int(greatest), mark.furthest_us)


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


def _rows_of(workspace: Workspace, table: str, old: Mapping[str, str], new: Mapping[str, str]) -> int | None:
    """How many rows an older version has of which a newer one is a continuation; None where it is none."""
    owner, _, name = table.rpartition("/")
    by_version = {version.version: version for version in versions.history(workspace, name, project=owner or None)}
    version = by_version.get(new[table].partition("+")[0])
    while version is not None and content_of(version) != old[table]:
        version = by_version.get(version.parent) if version.change in _SAME_ROWS_FIRST else None
    return None if version is None else version.rows


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
