"""The offline path: every feature of a set for many rows at once, each as it was known at its row's decision.

Requests and pushed rows come as JSON, which has neither NaN nor infinities: such numbers in fields of the request and in
values of views are null before any feature sees them, here as online. What a feature itself makes is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput, near
from slipway.features.calls import scalar_order
from slipway.features.defaults import defaults_of
from slipway.features.point_in_time import (
    EVENT_TIME,
    Instants,
    Notes,
    ViewRows,
    WindowRows,
    finite,
    floats,
    key_columns,
    known_events,
    latest,
    microseconds,
    sentences,
    take,
    view_rows,
    window_values,
)
from slipway.features.scalar_columns import over_columns
from slipway.records.features import FeatureSetSpec, RequestField, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = [
    "Answer",
    "History",
    "Offline",
    "answer",
    "assemble",
    "compute",
    "decision_times",
    "history_columns",
    "history_frame",
    "in_plain_types",
    "in_reach",
    "key_types_of",
    "keys_of",
    "notes_of",
    "prepare",
    "query_failed",
    "side_by_side",
    "widest",
]

T = TypeVar("T")
R = TypeVar("R")
_NEVER = -(2**62)


@dataclass(frozen=True, kw_only=True)
class History:
    """What was known when: the rows that features look back on.

    Args:
        events: The source tables of windows, by table name.
        views: The results of feature views, by view name.
    """

    events: Mapping[str, pl.DataFrame | pl.LazyFrame] = field(default_factory=dict)
    views: Mapping[str, pl.DataFrame | pl.LazyFrame] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Offline:
    """Features over many rows.

    Args:
        frame: One column a feature, in the spec's order; one row per given row, in order.
        notes: What was found and does not count, as sentences.
        unmatched: For each feature view how many of the rows found no row in it: none of their entity was known by
            then, or the last one was older than the view's `ttl`.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    unmatched: Mapping[str, int] = field(default_factory=dict)


def compute(
    spec: FeatureSetSpec,
    rows: pl.DataFrame,
    at: str,
    history: History,
    functions: Mapping[str, Callable[..., Any]],
) -> Offline:
    """Compute a feature set over rows.

    Args:
        spec: The set.
        rows: The fields of the request and the decision time, one row per decision.
        at: The column of the decision times, aware UTC; where it is null nothing is known.
        history: What windows and views look back on.
        functions: The functions of the scalar features, by name.

    Raises:
        InvalidInput: A field, table or column is missing or of the wrong type.
        StepFailed: A scalar feature raised.
    """
    asked = in_plain_types(rows, spec.request)
    instants = Instants(decision_times(rows, at))
    first, last = (int(instants.at[instants.order[end]]) for end in (0, -1)) if len(instants.at) else (0, 0)
    columns = history_columns(spec)
    history = _read_once(spec, history)

    def answered(part: Windows | View) -> tuple[Answer, Notes]:
        frame = history_frame(history, part, columns)
        if isinstance(part, Windows) and len(instants.at):
            frame = in_reach(part, frame, first, last)
        notes: Notes = Counter()
        keys = asked.select(key_columns(keys_of(part), key_types_of(part)))
        return answer(part, prepare(part, _collected(part, frame), notes), keys, instants), notes

    parts = [part for part in spec.parts if isinstance(part, Windows | View)]
    found: dict[str, pl.Series] = {}
    told: list[str] = []
    unmatched: dict[str, int] = {}
    for part, (values, notes) in zip(parts, side_by_side(answered, parts), strict=True):
        found.update(values.values)
        told += sentences(notes)
        if isinstance(part, View):
            unmatched[part.name] = values.unmatched
    return Offline(frame=assemble(spec, asked, found, functions), notes=tuple(dict.fromkeys(told)), unmatched=unmatched)


def _collected(part: Windows | View, frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect()
    except pl.exceptions.PolarsError as error:
        if isinstance(part, Windows):
            raise
        raise query_failed(part.name, error) from error


def query_failed(view: str, error: Exception) -> InvalidInput:
    """What is said of a feature view whose query fails over the rows that its tables have."""
    return InvalidInput(
        f"The query of the feature view {view!r} fails over its tables' rows: {str(error).splitlines()[0]}.",
        why="Its columns fit, and some row does not.",
        fix="Let it give null there, for example with `.cast(..., strict=False)`.",
    )


def _read_once(spec: FeatureSetSpec, history: History) -> History:
    """The same history, in which a table that several windows look back on is read once."""
    sources = Counter(part.source for part in spec.parts if isinstance(part, Windows))
    columns = history_columns(spec)
    read = {
        name: _selected(history.events, name, columns[name], "table").collect()
        for name, windows in sources.items()
        if windows > 1
    }
    return History(events={**history.events, **read}, views=history.views)


def decision_times(rows: pl.DataFrame, at: str) -> NDArray[np.int64]:
    """The decision times in microseconds; where one is null nothing is known.

    Raises:
        InvalidInput: The column is missing or does not hold aware instants.
    """
    return rows.select(microseconds(rows, at, "the rows").fill_null(_NEVER)).to_series().to_numpy()


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Some at a time: much of a join runs on one core, and the rows of all views at once may be more than fits."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, items))


def keys_of(part: Windows | View) -> tuple[str, ...]:
    """The columns by which a part is looked up."""
    return part.by if isinstance(part, Windows) else part.entity


def key_types_of(part: Windows | View) -> tuple[FieldType, ...]:
    """Their types."""
    return part.key_types if isinstance(part, Windows) else part.entity_types


def history_frame(history: History, part: Windows | View, columns: Mapping[str, list[str]]) -> pl.LazyFrame:
    """The rows that a part looks back on, with no more columns than it reads.

    Args:
        history: All of them.
        part: The part.
        columns: What `history_columns` says of the set.

    Raises:
        InvalidInput: The table, view or a column is missing.
    """
    if isinstance(part, Windows):
        return _selected(history.events, part.source, columns[part.source], "table")
    names = [*part.entity, *([part.time] if part.time else []), *(f.name for f in part.fields)]
    return _selected(history.views, part.name, names, "view")


def in_reach(windows: Windows, source: pl.LazyFrame, first_us: int, last_us: int) -> pl.LazyFrame:
    """Only the events that some window may hold, and those without time, which are reported: states are exact.

    Args:
        windows: The definition.
        source: The events.
        first_us: The least decision time.
        last_us: The greatest.
    """
    known = microseconds(source, windows.time, f"table {windows.source!r}")
    return source.filter(known.is_null() | known.is_between(first_us - widest(windows), last_us))


def widest(windows: Windows) -> int:
    """How far back the widest of the windows looks, microseconds."""
    return max(aggregate.width_us for aggregate in windows.aggregates)


def history_columns(spec: FeatureSetSpec) -> dict[str, list[str]]:
    """The columns that windows read, by table, so that no other is loaded."""
    columns: dict[str, dict[str, None]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            values = (aggregate.column for aggregate in part.aggregates if aggregate.column)
            columns.setdefault(part.source, {}).update(dict.fromkeys([*part.by, part.time, *part.event_id, *values]))
    return {source: list(names) for source, names in columns.items()}


def _selected(
    frames: Mapping[str, pl.DataFrame | pl.LazyFrame], name: str, columns: list[str], what: str
) -> pl.LazyFrame:
    if name not in frames:
        raise InvalidInput(
            f"The history has no {what} {name!r}.",
            why=near(name, frames, what=f"{what}s"),
            fix="Add it to the history.",
        )
    frame = frames[name].lazy()
    known = frame.collect_schema().names()
    for column in columns:
        if column not in known:
            raise InvalidInput(
                f"The {what} {name!r} has no column {column!r}.",
                why=near(column, known, what="columns"),
                fix="Add the column, or correct the feature that reads it.",
                field=column,
            )
    return frame.select(columns)


def in_plain_types(rows: pl.DataFrame, fields: tuple[Field, ...]) -> pl.DataFrame:
    """Columns of a frame in the types that carry fields: 64-bit numbers, finite or null; text; microseconds in UTC.

    Raises:
        InvalidInput: A column is missing, or is of another type.
    """
    types = polars_schema(fields)
    columns = []
    for given in fields:
        if given.name not in rows.columns:
            raise InvalidInput(
                f"The rows have no column {given.name!r}.",
                why=near(given.name, rows.columns, what="columns"),
                fix="Add it: it is a field of the request.",
                field=given.name,
            )
        column = pl.col(given.name)
        kind = rows.schema[given.name]
        if isinstance(kind, pl.Datetime) and given.type == "datetime":
            columns.append(column.dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
        else:
            cast = floats(given.name, kind) if given.type == "float" else column.cast(types[given.name])
            columns.append(finite(cast, given.type))
    try:
        return rows.select(columns)
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(
            f"The rows do not fit the request's fields: {error}.",
            why="Offline and online must see the same types.",
            fix="Convert the column in its table.",
        ) from error


class Answer(NamedTuple):
    """A part's features for some rows, and of a view how many of the rows found none."""

    values: dict[str, pl.Series]
    unmatched: int = 0


def prepare(part: Windows | View, history: pl.DataFrame, notes: Notes) -> WindowRows | ViewRows:
    """What a part looks back on, ready for any number of questions.

    Args:
        part: The part.
        history: Its rows: all of them, or all of some keys.
        notes: Receives what does not count.

    Raises:
        InvalidInput: The rows do not fit.
    """
    if isinstance(part, View):
        return view_rows(part, history, notes)
    rows = WindowRows(part, history)
    notes.update(rows.notes)
    return rows


def notes_of(part: Windows, history: pl.DataFrame) -> Notes:
    """What `prepare` would note of events, without preparing them."""
    notes: Notes = Counter()
    known_events(part, history, notes)
    return notes


def answer(part: Windows | View, history: WindowRows | ViewRows, keys: pl.DataFrame, instants: Instants) -> Answer:
    """A part's features, for each row as they were known at its instant.

    Args:
        part: The part.
        history: What `prepare` made of it.
        keys: The rows' keys in the form of `key_columns`.
        instants: Parallel to them.
    """
    if isinstance(history, WindowRows):
        return Answer({f"{part.name}_{one.name}": one for one in window_values(history, keys, instants)})
    assert isinstance(part, View)
    rows, order = history
    places = latest(keys, instants, rows, part.entity, EVENT_TIME, order=order)
    if part.ttl_us is not None and rows.height:
        age_us = instants.at - rows[EVENT_TIME].to_numpy()[np.maximum(places, 0)]
        places = np.where(age_us <= part.ttl_us, places, -1)
    values = take(rows.select(f.name for f in part.fields), places)
    for f, default in zip(part.fields, defaults_of(part), strict=True):
        if default is not None:
            standing = pl.lit(default, dtype=values.schema[f.name])
            values = values.with_columns(pl.when(pl.Series(places < 0)).then(standing).otherwise(f.name).alias(f.name))
    # Counted here: later, a row whose values are null looks like one that was not found.
    unmatched = int(np.count_nonzero(places < 0))
    return Answer({f"{part.name}_{name}": values[name] for name in values.columns}, unmatched)


def assemble(
    spec: FeatureSetSpec,
    asked: pl.DataFrame,
    found: dict[str, pl.Series],
    functions: Mapping[str, Callable[..., Any]],
) -> pl.DataFrame:
    """All features of some rows, in the spec's order: what was looked up, fields of the request, scalar features.

    Args:
        spec: The set.
        asked: The rows' fields, as `in_plain_types` gives them.
        found: The features of windows and views.
        functions: The functions of the scalar features, by name.

    Raises:
        StepFailed: A scalar feature raised.
    """
    found = found | {part.name: asked[part.name] for part in spec.parts if isinstance(part, RequestField)}
    values: dict[str, list[Any]] = {}
    for scalar in scalar_order(spec):
        names = [argument.name for argument in scalar.arguments]
        columns = {name: found[name] if name in found else asked[name] for name in names}
        found[scalar.name] = over_columns(scalar, functions, columns, values)
    return pl.DataFrame([found[feature.name].alias(feature.name) for feature in spec.features])
