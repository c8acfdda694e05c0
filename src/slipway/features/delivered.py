"""Offline once more, request by request, on the rows that had been delivered by then: late data told from defects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from slipway.features.offline import History, compute, in_plain_types
from slipway.features.point_in_time import key_columns, microseconds, text_of
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = ["Delivered", "Moments", "compute_as_delivered", "pushed_frames", "types_of_pushes", "with_pushed"]

_REQUEST, _AT, _ROW, _ID, _TIME, _CAME = "__request", "__at", "__place", "__identity", "__known_us", "__came_us"
_ANSWERED, _FILLED, _CONTENT = "__answered_us", "__filled_us", "__content"
_UNTIMED_US = -(2**62)
_PYTHON: dict[FieldType, Any] = {"datetime": datetime, "date": date, "duration": timedelta}


@dataclass(frozen=True, kw_only=True)
class Moments:
    """When each request was asked, answered, and last preceded by a back-fill.

    Args:
        at_us: Decision times (business).
        answered_us: Machine time of the answers.
        filled_us: Business time of the last back-fill before each: what was known by then and never pushed had come.
    """

    at_us: Sequence[int]
    answered_us: Sequence[int]
    filled_us: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """Features on what had been delivered.

    Args:
        frame: One row a request, one column a feature.
        late: For each request whether rows that it looks back on had not come yet.
        lateness_us: For each such row, once, how long after it was known it came; at least so where it never came.
    """

    frame: pl.DataFrame
    late: list[bool]
    lateness_us: list[int] = field(default_factory=list)


def types_of_pushes(spec: FeatureSetSpec) -> dict[str, dict[str, FieldType]]:
    """The columns that features read of pushed rows, by table or view."""
    found: dict[str, dict[str, FieldType]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            types = found.setdefault(part.source, {})
            types |= dict(zip((*part.event_id, *part.by), (*part.event_id_types, *part.key_types), strict=True))
            types |= {a.column: a.type for a in part.aggregates if a.column}
            types[part.time] = "datetime"
        elif isinstance(part, View):
            types = found.setdefault(part.name, {})
            types |= dict(zip(part.entity, part.entity_types, strict=True)) | {f.name: f.type for f in part.fields}
            if part.time:
                types[part.time] = "datetime"
    return found


def pushed_frames(
    spec: FeatureSetSpec, pushed: Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]]
) -> dict[str, pl.DataFrame]:
    """Pushed rows as frames, by table or view, with the machine time at which each came as `__came_us`.

    Args:
        spec: The feature set.
        pushed: By table or view: when each row came, and the row as it was sent.
    """
    frames = {}
    for name, types in types_of_pushes(spec).items():
        rows = pushed.get(name, ())
        columns = [_series(column, kind, [row.get(column) for _, row in rows]) for column, kind in types.items()]
        frames[name] = pl.DataFrame([*columns, pl.Series(_CAME, [came for came, _ in rows], dtype=pl.Int64)])
    return frames


def with_pushed(spec: FeatureSetSpec, history: History, pushed: Mapping[str, pl.DataFrame]) -> History:
    """A history whose views also have the rows that were pushed: without their queries nobody else has these.

    Args:
        spec: The feature set.
        history: The rows that were kept.
        pushed: From `pushed_frames`.
    """
    views: dict[str, pl.DataFrame | pl.LazyFrame] = {}
    for part in spec.parts:
        if isinstance(part, View):
            came = pushed[part.name].sort(_CAME, maintain_order=True).drop(_CAME)
            kept = history.views[part.name].lazy().select(came.columns)
            both = pl.concat([kept, came.lazy()], how="vertical_relaxed")
            if not part.time:  # an entity has one row: the last that came
                both = both.unique(part.entity, keep="last", maintain_order=True)
            views[part.name] = both
    return History(events=history.events, views=views)


def compute_as_delivered(
    spec: FeatureSetSpec,
    asked: pl.DataFrame,
    moments: Moments,
    history: History,
    pushed: Mapping[str, pl.DataFrame],
    functions: Mapping[str, Callable[..., Any]],
) -> Delivered:
    """Compute features of a few requests, each on the rows that it could have seen.

    A row had come by a request when it was pushed before the answer; one that was never pushed, when it was known by the
    last back-fill. Rows that were pushed and are not in the history count too.

    Args:
        spec: The feature set.
        asked: The fields of the requests.
        moments: Parallel to `asked`.
        history: The tables' content.
        pushed: From `pushed_frames`.
        functions: The functions of the scalar features, by name.
    """
    plain = in_plain_types(asked, spec.request)
    requests = plain.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias(_REQUEST),
        pl.Series(_AT, moments.at_us, dtype=pl.Int64),
        pl.Series(_ANSWERED, moments.answered_us, dtype=pl.Int64),
        pl.Series(_FILLED, moments.filled_us, dtype=pl.Int64),
    )
    events: dict[str, pl.DataFrame] = {}
    views: dict[str, pl.DataFrame] = {}
    late: list[pl.DataFrame] = []
    for name, by_time in _by_source_and_time(spec).items():
        found = []
        for time, parts in by_time.items():
            reach = max(a.width_us for part in parts for a in part.aggregates)
            held = _in_reach(history.events[name], time, moments, reach)
            rows = _rows(held, pushed[name], parts[0].event_id, parts[0].event_id_types, time)
            seen = pl.concat([_seen(rows, requests, part.by, part.key_types, reach) for part in parts])
            found.append(_delivered(seen.unique([_REQUEST, _ROW], maintain_order=True), name, late))
        columns = [_REQUEST, *(column for column in pushed[name].columns if column != _CAME)]
        events[name] = pl.concat([frame.select(columns) for frame in found]).unique(maintain_order=True)
    for part in spec.parts:
        if isinstance(part, View):
            held = _in_reach(history.views[part.name], part.time, moments, part.ttl_us)
            rows = _rows(held, pushed[part.name], part.entity, part.entity_types, part.time)
            seen_rows = _seen(rows, requests, part.entity, part.entity_types, part.ttl_us)
            come = _delivered(seen_rows, part.name, late)
            if not part.time:  # of facts without time the one that came last stays; of others compute knows the rule
                come = come.sort(_CAME, maintain_order=True).unique([_REQUEST, _ID], keep="last", maintain_order=True)
            views[part.name] = come
    apart = _one_by_one(spec)
    asked_apart = requests.with_columns(pl.from_epoch(_AT, "us").dt.replace_time_zone("UTC").alias(_AT))
    again = compute(apart, asked_apart, _AT, History(events=events, views=views), functions)
    missed = pl.concat(late) if late else pl.DataFrame(schema={_REQUEST: pl.Int64, "row": pl.String, "late": pl.Int64})
    affected = set(missed[_REQUEST].to_list())
    return Delivered(
        frame=again.frame,
        late=[index in affected for index in range(requests.height)],
        lateness_us=missed.group_by("row", maintain_order=True).agg(pl.col("late").max())["late"].to_list(),
    )


def _by_source_and_time(spec: FeatureSetSpec) -> dict[str, dict[str, list[Windows]]]:
    found: dict[str, dict[str, list[Windows]]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            found.setdefault(part.source, {}).setdefault(part.time, []).append(part)
    return found


def _one_by_one(spec: FeatureSetSpec) -> FeatureSetSpec:
    """The set with the request as a part of every key, so that each looks back on rows of its own."""
    parts: list[Any] = []
    for part in spec.parts:
        if isinstance(part, Windows):
            by, types = (*part.by, _REQUEST), (*part.key_types, "int")
            parts.append(msgspec.structs.replace(part, by=by, key_types=types))
        elif isinstance(part, View):
            by, types = (*part.entity, _REQUEST), (*part.entity_types, "int")
            parts.append(msgspec.structs.replace(part, entity=by, entity_types=types))
        else:
            parts.append(part)
    request = (*spec.request, Field(_REQUEST, "int", nullable=False))
    return msgspec.structs.replace(spec, parts=tuple(parts), request=request)


def _in_reach(table: pl.DataFrame | pl.LazyFrame, time: str, moments: Moments, reach_us: int | None) -> pl.LazyFrame:
    """The rows that some request may look back on; others are not even read."""
    rows = table.lazy()
    if not time:
        return rows
    known = microseconds(rows, time, "the rows")
    rows = rows.filter(known <= max(moments.at_us))
    return rows if reach_us is None else rows.filter(known >= min(moments.at_us) - reach_us)


def _rows(
    table: pl.LazyFrame,
    pushed: pl.DataFrame,
    identity: Sequence[str],
    types: Sequence[FieldType],
    time: str,
) -> pl.DataFrame:
    """All rows that there are, in the table or pushed, with their place, when they were known and when they came.

    `__came_us` is null for a row that was never pushed, `__known_us` the least number without a time.
    """
    columns = [name for name in pushed.columns if name != _CAME]
    held = table.select(columns).collect()
    kinds = pushed.select(columns).schema
    held, sent = _named(held, identity, types, time, kinds), _named(pushed, identity, types, time, kinds)
    # Of one row the table and the pushes may hold several contents: each came, or did not, by itself.
    place = [_ID, _TIME, _CONTENT]
    came = sent.group_by(place).agg(pl.col(_CAME).min() if time else pl.col(_CAME).max())
    held = held.join(came, on=place, how="left", maintain_order="left")
    extra = sent.drop(_CAME).unique(place, maintain_order=True).join(came, on=place, maintain_order="left")
    extra = extra.join(held.select(place), on=place, how="anti", maintain_order="left")
    order = [*columns, _ID, _TIME, _CAME]
    both = pl.concat([held.select(order), extra.select(order)], how="vertical_relaxed")
    return both.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW))


def _named(
    rows: pl.DataFrame,
    identity: Sequence[str],
    types: Sequence[FieldType],
    time: str,
    kinds: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """Rows with their identity, time and content; those without the former two never count."""
    known = microseconds(rows, time, "the rows") if time else pl.lit(_UNTIMED_US, dtype=pl.Int64)
    cells = {name: pl.col(name).cast(kind, strict=False) for name, kind in kinds.items() if name != time}
    content = [cell.fill_nan(None) if kinds[name].is_float() else cell for name, cell in cells.items()]
    named = rows.with_columns(
        text_of(identity, types).alias(_ID), known.alias(_TIME), pl.struct(content).hash().alias(_CONTENT)
    )
    return named.drop_nulls([_ID, _TIME])


def _seen(
    rows: pl.DataFrame,
    requests: pl.DataFrame,
    by: Sequence[str],
    types: Sequence[FieldType],
    reach_us: int | None,
) -> pl.DataFrame:
    """For each request the rows of its key that are known by its time and within reach, each once a request."""
    keys = [f"__key{index}" for index in range(len(by))]
    asked = requests.select(
        *(column.alias(key) for column, key in zip(key_columns(by, types), keys, strict=True)),
        _REQUEST, _AT, _ANSWERED, _FILLED,
    )  # fmt: skip
    held = rows.with_columns(*(column.alias(key) for column, key in zip(key_columns(by, types), keys, strict=True)))
    found = held.join(asked, on=keys, how="inner", maintain_order="left").filter(pl.col(_TIME) <= pl.col(_AT))
    if reach_us is not None:
        found = found.filter(pl.col(_TIME) >= pl.col(_AT) - reach_us)
    return found.drop(keys)


def _delivered(seen: pl.DataFrame, name: str, late: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows that had come by their request; the others are put down in `late`."""
    untimed = pl.col(_TIME) == _UNTIMED_US
    had_come = (
        pl.when(pl.col(_CAME).is_not_null())
        .then(pl.col(_CAME) <= pl.col(_ANSWERED))
        .otherwise(untimed | (pl.col(_TIME) <= pl.col(_FILLED)))
    )
    missed = seen.filter(~had_come)
    since_us = (pl.col(_CAME) - pl.col(_ANSWERED)).fill_null(0)
    late.append(
        missed.select(
            _REQUEST,
            row=pl.concat_str(pl.lit(name), pl.col(_ROW).cast(pl.String), separator=" "),
            late=pl.when(untimed).then(since_us).otherwise(since_us + pl.col(_AT) - pl.col(_TIME)),
        )
    )
    return seen.filter(had_come)


def _series(name: str, kind: FieldType, values: list[Any]) -> pl.Series:
    python = _PYTHON.get(kind)
    if python is not None:  # pushed rows carry instants, dates and durations as text
        values = msgspec.convert(values, list[python | None])  # type: ignore[valid-type]  # chosen at run time
    if kind == "datetime":
        values = [None if value is None else value.astimezone(UTC) for value in values]
    plain = Field(name, "string" if kind == "category" else kind)
    return pl.Series(name, values, dtype=polars_schema((plain,))[name], strict=False)
