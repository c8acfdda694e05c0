"""The offline path: every feature of a set for many rows at once, each as it was known at its row's decision.

Requests and pushed rows come as JSON, which has neither NaN nor infinities: such numbers in fields of the request and in
values of views are null before any feature sees them, here as online. What a feature itself makes is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from slipway.errors import InvalidInput, near
from slipway.features.calls import caller, scalar_order
from slipway.features.defaults import defaults_of
from slipway.features.point_in_time import (
    EVENT_TIME,
    Instants,
    WindowRows,
    finite,
    floats,
    key_columns,
    latest,
    microseconds,
    take,
    view_rows,
    window_values,
)
from slipway.records.features import FeatureSetSpec, RequestField, Scalar, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = ["History", "Offline", "compute", "in_plain_types"]

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
    instants = Instants(rows.select(microseconds(rows, at, "the rows").fill_null(_NEVER)).to_series().to_numpy())
    found: dict[str, pl.Series] = {}
    notes: list[str] = []
    sources = {
        name: _collected(history.events, name, columns, "table") for name, columns in _columns_of_sources(spec).items()
    }
    joined = _views([part for part in spec.parts if isinstance(part, View)], history, asked, instants)
    for part in spec.parts:
        if isinstance(part, Windows):
            prepared = WindowRows(part, _in_reach(part, sources[part.source], instants))
            notes += prepared.notes
            keys = asked.select(key_columns(part.by, part.key_types))
            for series in window_values(prepared, keys, instants):
                found[f"{part.name}_{series.name}"] = series
        elif isinstance(part, View):
            found.update(joined[part.name].values)
            notes += joined[part.name].notes
        elif isinstance(part, RequestField):
            found[part.name] = asked[part.name]
    values: dict[str, list[Any]] = {}
    for scalar in scalar_order(spec):
        for name in (argument.name for argument in scalar.arguments):
            if name not in values:
                values[name] = _python_values(found[name] if name in found else asked[name])
        found[scalar.name] = _scalar(scalar, functions, values)
    frame = pl.DataFrame([found[feature.name].alias(feature.name) for feature in spec.features])
    unmatched = {name: view.unmatched for name, view in joined.items()}
    return Offline(frame=frame, notes=tuple(dict.fromkeys(notes)), unmatched=unmatched)


def _in_reach(windows: Windows, source: pl.DataFrame, instants: Instants) -> pl.DataFrame:
    """Only the events that some window may hold, and those without time, which are reported: states are exact."""
    if not len(instants.at):
        return source
    known = microseconds(source, windows.time, f"table {windows.source!r}")
    widest = max(aggregate.width_us for aggregate in windows.aggregates)
    first, last = int(instants.at[instants.order[0]]) - widest, int(instants.at[instants.order[-1]])
    return source.filter(known.is_null() | known.is_between(first, last))


def _columns_of_sources(spec: FeatureSetSpec) -> dict[str, list[str]]:
    """The columns that windows read, by table, so that no other is loaded."""
    columns: dict[str, dict[str, None]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            values = (aggregate.column for aggregate in part.aggregates if aggregate.column)
            columns.setdefault(part.source, {}).update(dict.fromkeys([*part.by, part.time, *part.event_id, *values]))
    return {source: list(names) for source, names in columns.items()}


def _collected(
    frames: Mapping[str, pl.DataFrame | pl.LazyFrame], name: str, columns: list[str], what: str
) -> pl.DataFrame:
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
    return frame.select(columns).collect()


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


class _Joined(NamedTuple):
    """A view's values for the rows, how many rows found none, and what does not count, as sentences."""

    values: dict[str, pl.Series]
    unmatched: int
    notes: list[str]


def _views(views: Sequence[View], history: History, asked: pl.DataFrame, instants: Instants) -> dict[str, _Joined]:
    def join(view: View) -> _Joined:
        return _view(view, history, asked, instants)

    if len(views) < 2:
        return {view.name: join(view) for view in views}
    # Some at a time: much of a join runs on one core, and the rows of all views at once may be more than fits.
    with ThreadPoolExecutor(4) as pool:
        return {view.name: found for view, found in zip(views, pool.map(join, views), strict=True)}


def _view(view: View, history: History, asked: pl.DataFrame, instants: Instants) -> _Joined:
    notes: list[str] = []
    columns = [*view.entity, *([view.time] if view.time else []), *(f.name for f in view.fields)]
    rows, order = view_rows(view, _collected(history.views, view.name, columns, "view"), notes)
    keys = asked.select(key_columns(view.entity, view.entity_types))
    places = latest(keys, instants, rows, view.entity, EVENT_TIME, order=order)
    if view.ttl_us is not None and rows.height:
        age_us = instants.at - rows[EVENT_TIME].to_numpy()[np.maximum(places, 0)]
        places = np.where(age_us <= view.ttl_us, places, -1)
    values = take(rows.select(f.name for f in view.fields), places)
    for f, default in zip(view.fields, defaults_of(view), strict=True):
        if default is not None:
            standing = pl.lit(default, dtype=values.schema[f.name])
            values = values.with_columns(pl.when(pl.Series(places < 0)).then(standing).otherwise(f.name).alias(f.name))
    # Counted here: later, a row whose values are null looks like one that was not found.
    unmatched = int(np.count_nonzero(places < 0))
    return _Joined({f"{view.name}_{name}": values[name] for name in values.columns}, unmatched, notes)


def _scalar(scalar: Scalar, functions: Mapping[str, Callable[..., Any]], values: Mapping[str, list[Any]]) -> pl.Series:
    results = caller(scalar, functions)([values[argument.name] for argument in scalar.arguments])
    return pl.Series(
        scalar.name, results, dtype=polars_schema((Field(scalar.name, _stored(scalar.returns)),))[scalar.name]
    )


def _stored(kind: FieldType) -> FieldType:
    return "string" if kind == "category" else kind


def _python_values(series: pl.Series) -> list[Any]:
    """A column as the Python values that a request would carry."""
    if isinstance(series.dtype, pl.Datetime):
        naive = series.dt.replace_time_zone(None).to_list()
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    return series.to_list()
