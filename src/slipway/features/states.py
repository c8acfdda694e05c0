"""The exact states that offline and online share: keys as text, values on grids, finished aggregates.

Everything here is plain Python and is the definition; `point_in_time` computes the same numbers over whole columns.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import structs

from slipway.errors import InvalidInput
from slipway.features.sketches import (
    DECAY_STEPS,
    SKETCHES,
    bucket_bits,
    bucket_of,
    folder,
    register_bits,
    register_of,
)
from slipway.hashing import fingerprint
from slipway.records.features import Aggregate, StoredView, Stream, StreamColumn, View, Windows, WindowState
from slipway.records.schema import FieldType

__all__ = [
    "FLOAT_SCALE",
    "KEY_TYPES",
    "bits",
    "coder",
    "empty_state",
    "finite",
    "finisher",
    "from_us",
    "key_encoder",
    "place_of",
    "plain",
    "restore",
    "stored_view_of",
    "stream_of",
    "to_grid",
    "to_us",
]

FLOAT_SCALE = 2**20
"""The default grid of float columns: steps of about 1e-6, magnitudes below 2**43 (8.8e12)."""

KEY_TYPES: frozenset[FieldType] = frozenset({"string", "category", "int", "bool", "date", "datetime"})
"""What may identify an entity or event. Floats may not: two that look alike differ."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LIMIT = 2.0**63


def to_us(at: datetime) -> int:
    """Microseconds since the epoch.

    Raises:
        InvalidInput: The instant has no time zone.
    """
    if at.tzinfo is None:
        raise InvalidInput(
            f"The instant {at.isoformat()} has no time zone.",
            why="Instants are aware UTC, so that they mean the same everywhere.",
            fix="Add one: `at.replace(tzinfo=UTC)`.",
        )
    return (at - _EPOCH) // _MICROSECOND


def from_us(at_us: int) -> datetime:
    """The aware UTC instant of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=at_us)


def key_encoder(types: Sequence[FieldType]) -> Callable[[Sequence[Any]], str | None]:
    """How the values of key columns become one text.

    Several are joined by "|", with a backslash before each "|" and backslash inside. A null part means that there is no
    key: None.
    """
    if len(types) == 1 and types[0] in ("string", "category"):
        return _only_text
    parts = [_part(kind) for kind in types]
    if len(parts) == 1:
        (only,) = parts
        return lambda values: None if values[0] is None else only(values[0])

    def encode(values: Sequence[Any]) -> str | None:
        if None in values:
            return None
        return "|".join([_escaped(part(value)) for part, value in zip(parts, values, strict=True)])

    return encode


def _only_text(values: Sequence[Any]) -> str | None:
    value: str | None = values[0]
    return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text or "\\" in text else text


def _part(kind: FieldType) -> Callable[[Any], str]:
    if kind in ("string", "category"):
        return str
    if kind == "bool":
        return lambda value: "true" if value else "false"
    if kind == "datetime":
        return lambda value: str(to_us(value))
    if kind == "date":
        return date.isoformat
    return lambda value: str(int(value))


def to_grid(value: Any, scale: int, *, integer: bool) -> int | None:
    """A value as an integer number of steps of 1/scale, half to even; integers as they are; None for what does not count.

    What does not count: null, NaN, infinities, and what needs more than 64 bits.
    """
    if value is None:
        return None
    if integer:
        whole = int(value)
        return whole if -(2**63) <= whole < 2**63 else None
    steps = float(value) * float(scale)
    return round(steps) if -_LIMIT < steps < _LIMIT else None


def empty_state(stream: Stream) -> WindowState:
    """The state of a window that holds nothing."""
    return WindowState(0, ((0, 0, 0, None, None, None, ()),) * len(stream.columns))


def coder(column: StreamColumn) -> Callable[[Any], int | None]:
    """How a value of a stream's column becomes the integer that is kept; None for what does not count."""
    if column.coding == "register":
        text, width = _part(column.type), column.bits
        return lambda value: None if value is None else register_of(text(value), width)
    if column.coding == "bucket":
        return _bucketed(column)
    return lambda value: to_grid(value, column.scale, integer=column.integer)


def _bucketed(column: StreamColumn) -> Callable[[Any], int | None]:
    width, integer = column.bits, column.integer

    def code(value: Any) -> int | None:
        if value is None or (integer and not -(2**63) <= int(value) < 2**63):
            return None
        return bucket_of(float(value), width)

    return code


def finisher(
    windows: Windows, stream: Stream, widths_us: Sequence[int]
) -> Callable[[Sequence[WindowState]], list[Any]]:
    """How the values of the windows' aggregates, in order, come from the states of one key.

    Where nothing counts (for std: fewer than two values) mean, min, max, last, std, quantile and decayed mean are their
    default, None where they have none; counts and sums are 0.

    Args:
        windows: The definition.
        stream: What `stream_of` makes of it.
        widths_us: The width of each state, in the order in which the states come.
    """
    plan = [
        (
            _sketched(aggregate) if aggregate.kind in SKETCHES else _FINISH[aggregate.kind],
            aggregate,
            place_of(stream, aggregate),
            list(widths_us).index(aggregate.width_us),
        )
        for aggregate in windows.aggregates
    ]

    def values(states: Sequence[WindowState]) -> list[Any]:
        return [step(states[width], place, aggregate) for step, aggregate, place, width in plan]

    if all(aggregate.default is None for aggregate in windows.aggregates):
        return values
    defaults = [aggregate.default for aggregate in windows.aggregates]
    return lambda states: [
        default if value is None else value for value, default in zip(values(states), defaults, strict=True)
    ]


def _sketched(aggregate: Aggregate) -> Callable[[WindowState, int, Aggregate], float | int | None]:
    fold = folder(aggregate)
    return lambda state, place, _: fold(state.columns[place][6])


def _count(state: WindowState, place: int, aggregate: Aggregate) -> int:
    return state.rows if place < 0 else state.columns[place][0]


def _sum(state: WindowState, place: int, aggregate: Aggregate) -> float:
    return float(state.columns[place][1]) / float(aggregate.scale)


def _mean(state: WindowState, place: int, aggregate: Aggregate) -> float | None:
    n, s = state.columns[place][:2]
    return float(s) / float(n) / float(aggregate.scale) if n else None


def _std(state: WindowState, place: int, aggregate: Aggregate) -> float | None:
    """The sample's, with n - 1: sqrt((n q - s s) / (n (n - 1))) / scale, exact up to the divisions."""
    n, s, q = state.columns[place][:3]
    return math.sqrt(float(n * q - s * s) / float(n * (n - 1))) / float(aggregate.scale) if n > 1 else None


def _smallest(state: WindowState, place: int, aggregate: Aggregate) -> float | int | None:
    return _off_grid(state.columns[place][3], aggregate)


def _largest(state: WindowState, place: int, aggregate: Aggregate) -> float | int | None:
    return _off_grid(state.columns[place][4], aggregate)


def _last(state: WindowState, place: int, aggregate: Aggregate) -> float | int | None:
    return _off_grid(state.columns[place][5], aggregate)


def _off_grid(value: int | None, aggregate: Aggregate) -> float | int | None:
    return value if value is None or aggregate.integer else float(value) / float(aggregate.scale)


_FINISH: dict[str, Callable[[WindowState, int, Aggregate], Any]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "std": _std,
    "min": _smallest,
    "max": _largest,
    "last": _last,
}


def _column_of(aggregate: Aggregate) -> StreamColumn:
    """What a stream keeps of its source's column for one aggregate."""
    name, kind = aggregate.column, aggregate.kind
    if kind == "approx_distinct":
        return StreamColumn(
            name=name, coding="register", bits=register_bits(aggregate.tolerance), type=aggregate.type, groups="value"
        )
    if kind == "quantile":
        return StreamColumn(
            name=name, coding="bucket", bits=bucket_bits(aggregate.tolerance), integer=aggregate.integer, groups="value"
        )
    decays = kind == "decayed_mean"
    return StreamColumn(
        name=name,
        scale=aggregate.scale,
        integer=aggregate.integer,
        squares=kind == "std",
        extremes=kind in ("min", "max"),
        last=kind == "last",
        groups="time" if decays else "",
        step_us=aggregate.half_life_us // DECAY_STEPS if decays else 0,
    )


def _identity(column: StreamColumn) -> tuple[Any, ...]:
    """Columns that share it are kept once."""
    return (column.name, column.scale, column.integer, column.coding, column.bits, column.type, column.step_us)


def place_of(stream: Stream, aggregate: Aggregate) -> int:
    """The place of an aggregate's column in its stream, -1 for a count of rows."""
    if not aggregate.column:
        return -1
    return [_identity(column) for column in stream.columns].index(_identity(_column_of(aggregate)))


def stream_of(windows: Windows) -> Stream:
    """What an online store keeps for windows; equal for windows that differ in names, widths and defaults only."""
    kept: dict[tuple[Any, ...], list[StreamColumn]] = {}
    for aggregate in windows.aggregates:
        if aggregate.column:
            column = _column_of(aggregate)
            kept.setdefault(_identity(column), []).append(column)
    columns = tuple(
        structs.replace(
            same[0],
            squares=any(column.squares for column in same),
            extremes=any(column.extremes for column in same),
            last=any(column.last for column in same),
        )
        for _, same in sorted(kept.items())
    )
    identity = fingerprint(
        (
            windows.source,
            windows.time,
            windows.by,
            windows.key_types,
            windows.event_id,
            windows.event_id_types,
            [repr(column) for column in columns],
        )
    )
    return Stream(name=_stored_name(f"{windows.source}_by_{'_'.join(windows.by)}", identity), columns=columns)


def stored_view_of(view: View) -> StoredView:
    """What an online store keeps for a view."""
    identity = fingerprint(
        (view.name, view.entity, view.entity_types, view.time, [repr(f) for f in view.fields], view.definition)
    )
    return StoredView(name=_stored_name(view.name, identity), timed=bool(view.time))


def _stored_name(words: str, identity: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', words)[:80]}_{identity[:12]}"


def bits(value: Any) -> object:
    """What two values must share to be equal to the last bit; all NaN are one."""
    if isinstance(value, float):
        return "nan" if value != value else struct.pack(">d", value)
    return (type(value).__name__, value)


def finite(value: Any) -> float | None:
    """A number as JSON can carry it: NaN and infinities are null."""
    number = float(value)
    return number if math.isfinite(number) else None


def plain(value: Any) -> Any:
    """A value as a store keeps it: instants and durations as microseconds, dates as days since the epoch."""
    if isinstance(value, datetime):
        return to_us(value)
    if isinstance(value, date):
        return value.toordinal() - _EPOCH.toordinal()
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    return value + 0.0 if isinstance(value, float) else value  # -0.0 and 0.0 are one value: order decides nothing


def restore(kind: FieldType) -> Callable[[Any], Any] | None:
    """The reverse of `plain` for a type, or None where nothing is to be done. It is never called with None."""
    if kind == "datetime":
        return from_us
    if kind == "date":
        return lambda days: date.fromordinal(days + _EPOCH.toordinal())
    if kind == "duration":
        return lambda us: timedelta(microseconds=us)
    return None
