"""What was known at a moment, over whole columns: as-of joins for views, exact window aggregates.

The engine is Polars' as-of join on positions. It cannot check that its sides are sorted when there are groups, and then
answers wrongly without an error; so both sides are sorted here, and the answer is verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import Corrupt, InvalidInput
from slipway.features.sketch_windows import Groups, buckets, folded, registers
from slipway.features.sketches import SKETCHES
from slipway.features.states import place_of, stream_of
from slipway.records.features import Aggregate, Stream, StreamColumn, View, Windows
from slipway.records.schema import FieldType
from slipway.schema.types import polars_schema

__all__ = [
    "EVENT_TIME",
    "Instants",
    "Notes",
    "ViewRows",
    "WindowRows",
    "check_whole",
    "finite",
    "floats",
    "known_events",
    "key_columns",
    "latest",
    "microseconds",
    "sentences",
    "take",
    "text_of",
    "view_rows",
    "window_values",
]

Positions = NDArray[np.int64]
Notes = Counter[str]
"""What was found and does not count: how often, by the words for it. Of parts of the rows, they are added up."""

EVENT_TIME = "__time"
_ROW, _PLACE, _ID = "__row", "__place", "__id"
_NEVER = -(2**62)
_LIMIT = 2.0**63


def sentences(notes: Notes) -> list[str]:
    """Notes as sentences."""
    return [f"{words}: {count:,}." for words, count in notes.items()]


def key_columns(names: Sequence[str], types: Sequence[FieldType]) -> list[pl.Expr]:
    """Key columns in one physical form a type, so that both sides of a join compare equal."""
    forms = {"string": pl.String, "category": pl.String, "int": pl.Int64, "bool": pl.Boolean, "date": pl.Date}
    return [
        pl.col(name).dt.epoch("us") if kind == "datetime" else pl.col(name).cast(forms[kind])
        for name, kind in zip(names, types, strict=True)
    ]


def text_of(names: Sequence[str], types: Sequence[FieldType]) -> pl.Expr:
    """The text of key columns as `states.key_encoder` writes it; null where a part is null."""
    parts = [column.cast(pl.String) for column in key_columns(names, types)]
    if len(parts) == 1:
        return parts[0]
    escaped = [p.str.replace_all("\\", "\\\\", literal=True).str.replace_all("|", "\\|", literal=True) for p in parts]
    return pl.concat_str(escaped, separator="|", ignore_nulls=False)


def microseconds(frame: pl.DataFrame | pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """A column of instants as microseconds since the epoch; null stays null.

    Raises:
        InvalidInput: The column is missing or does not hold aware instants.
    """
    schema = frame.collect_schema()
    kind = schema.get(column)
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InvalidInput(
            f"The column {column!r} of {what} is {'missing' if kind is None else f'of type {kind}'}.",
            why="Knowledge time is an aware UTC instant: `Datetime('us', 'UTC')`.",
            fix="Where it holds UTC without saying so: `pl.col(...).dt.replace_time_zone('UTC')`.",
            field=column,
        )
    return pl.col(column).dt.epoch("us")


class Instants:
    """Decision times in microseconds, and their order: sorted once for every look back from them.

    Args:
        at: One per label.
        order: The positions in the order of time, None to find them.
    """

    def __init__(self, at: Positions, order: Positions | None = None) -> None:
        self.at = at
        self.order = np.argsort(at, kind="stable") if order is None else order

    def earlier(self, us: int) -> Instants:
        """The same instants moved back."""
        return Instants(self.at - us, self.order)


def latest(
    labels: pl.DataFrame,
    instants: Instants,
    rows: pl.DataFrame,
    by: Sequence[str],
    time: str,
    *,
    order: pl.Series | None = None,
) -> Positions:
    """For each label the position of the latest row of its key with time <= at; of ties the later position; -1 for none.

    Args:
        labels: The key columns, one row per label.
        instants: Parallel to `labels`.
        rows: The key columns and `time` in microseconds, neither null.
        by: The key columns.
        time: The rows' time column.
        order: The positions of the rows in the order of time, where they are known; None to sort here, ties kept in
            their order.

    Raises:
        Corrupt: The engine's input is not sorted, or its answer contradicts the input.
    """
    asked = instants.order
    left = labels.select(pl.col(list(by)).gather(pl.Series(asked))).with_columns(pl.Series(time, instants.at[asked]))
    right = rows.select(*by, time, pl.int_range(pl.len(), dtype=pl.Int64).alias(_PLACE))
    right = right.sort(time, maintain_order=True) if order is None else right.select(pl.all().gather(order))
    if not (_is_sorted(left[time]) and _is_sorted(right[time])):
        raise Corrupt("The sides of the point-in-time join are not sorted by time.")
    joined = left.join_asof(right, on=time, by=list(by), strategy="backward", check_sortedness=False)
    if joined.height != labels.height:
        raise Corrupt("The point-in-time join gave another number of rows than it was asked for.")
    places = np.empty(labels.height, dtype=np.int64)
    places[asked] = joined[_PLACE].fill_null(-1).to_numpy()
    found = np.maximum(places, 0)
    known = np.append(rows[time].to_numpy(), 0)[found] if rows.height else np.zeros(len(places), dtype=np.int64)
    if bool(np.any((places >= 0) & (known > instants.at))):
        raise Corrupt("The point-in-time join gave a row that was not known yet.")
    return places


def _is_sorted(times: pl.Series) -> bool:
    # Looked at in full: Polars' own `is_sorted` may trust a flag.
    values = times.to_numpy()
    return bool(np.all(values[1:] >= values[:-1]))


def take(rows: pl.DataFrame, places: Positions) -> pl.DataFrame:
    """The rows at positions; all null where a position is negative."""
    index = pl.Series("index", places).set(pl.Series(places < 0), None)
    return rows.select(pl.all().gather(index))


class ViewRows(NamedTuple):
    """A view's rows without ties, and their positions in the order of time."""

    frame: pl.DataFrame
    order: pl.Series


def view_rows(view: View, result: pl.DataFrame, notes: Notes) -> ViewRows:
    """A view's result, ready for `latest`: keys, values in plain types, time in microseconds as `EVENT_TIME`.

    Args:
        view: The definition.
        result: The query's result.
        notes: Receives what does not count.

    Raises:
        InvalidInput: The time column does not hold aware instants; or a view without time has two rows of an entity.
    """
    types = polars_schema(view.fields)
    what = f"the feature view {view.name!r}"
    check_whole(result, [*view.entity, *types.names()], what)
    time = microseconds(result, view.time, what) if view.time else pl.lit(_NEVER, dtype=pl.Int64)
    values = [_plain(name, types[name], result.schema[name]) for name in types]
    rows = result.select(*key_columns(view.entity, view.entity_types), time.alias(EVENT_TIME), *values)
    missing = rows[EVENT_TIME].null_count()
    if missing:
        notes[f"Rows of {what} without {view.time}, which never count"] += missing
    rows = rows.drop_nulls([*view.entity, EVENT_TIME])
    places = [*view.entity, EVENT_TIME]
    order = rows[EVENT_TIME].arg_sort()
    shared = rows[_shared(rows[EVENT_TIME], order)]
    twice = shared.filter(shared.select(pl.struct(places).is_duplicated()).to_series())
    if not twice.height:
        return ViewRows(rows, order)
    if not view.time:
        example = twice.select(view.entity).row(0)
        raise InvalidInput(
            f"{what[0].upper()}{what[1:]} has several rows of one entity, for example of {example}.",
            why="Without a time column nothing says which of them counts.",
            fix="Keep one row an entity in the query, or name the time column.",
        )
    rows = rows.sort([*places, *types.names()], nulls_last=False).unique(places, keep="last", maintain_order=True)
    return ViewRows(rows, rows[EVENT_TIME].arg_sort())


def finite(values: pl.Expr, kind: FieldType) -> pl.Expr:
    """Values as JSON can carry them, as `states.finite` makes them online: NaN and infinities are null."""
    return pl.when(values.is_finite()).then(values) if kind == "float" else values


def floats(name: str, kind: pl.DataType) -> pl.Expr:
    """A column of numbers as floats; decimals by their digits, as Python and JSON read them."""
    column = pl.col(name)
    return (column.cast(pl.String) if isinstance(kind, pl.Decimal) else column).cast(pl.Float64)


def check_whole(rows: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse whole numbers beyond 64 bits with a sign, which are all that keys, features and stores carry.

    Raises:
        InvalidInput: There is one.
    """
    for name in names:
        if rows.schema[name] in (pl.UInt64, pl.Int128, pl.UInt128):
            column = rows[name]
            beyond = column.filter(column.is_not_null() & column.cast(pl.Int64, strict=False).is_null())
            if len(beyond):
                raise InvalidInput(
                    f"The column {name!r} of {what} has whole numbers beyond 64 bits with a sign, for example {beyond[0]}.",
                    why="Keys and whole features are numbers from -2**63 to 2**63 - 1, offline and online.",
                    fix=f"Keep it as text: pl.col({name!r}).cast(pl.String).",
                    field=name,
                )


def _shared(times: pl.Series, order: pl.Series) -> pl.Series:
    """The positions of the times that occur more than once: mostly few, and only there can be ties."""
    in_order = times.gather(order)
    same = (in_order == in_order.shift(1)).fill_null(value=False)
    return order.filter(same | same.shift(-1).fill_null(value=False))


def _plain(name: str, kind: pl.DataType, given: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if isinstance(kind, pl.Float64):
        number = finite(floats(name, given), "float")
        return pl.when(number == 0.0).then(0.0).otherwise(number).alias(name)  # -0.0 too, as in `states.plain`
    return column.cast(kind)


class WindowRows:
    """The events of one source under one key, sorted, with exact running sums.

    Args:
        windows: The definition.
        source: The source's rows: key, time, event id and value columns.

    Raises:
        InvalidInput: The time column does not hold aware instants.

    Attributes:
        notes: What does not count.
    """

    def __init__(self, windows: Windows, source: pl.DataFrame) -> None:
        self.windows = windows
        self.stream = stream_of(windows)
        self.notes: Notes = Counter()
        self._cells = _cells(self.stream)
        rows = known_events(windows, source, self.notes)
        places = [*windows.by, EVENT_TIME, _ID]
        rows = rows.sort(places)
        same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in places)
        if rows.select(same.any()).item():
            # Of one event with several contents the greatest counts, as in `ports.online_store.precedence`.
            rows = rows.sort([*places, *self._cells], nulls_last=False).unique(places, keep="last", maintain_order=True)
        self.rows = rows
        changed = rows.select(
            pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in windows.by).fill_null(value=True)
        ).to_series()
        index = np.arange(rows.height, dtype=np.int64)
        self._start = np.maximum.accumulate(np.where(changed.to_numpy(), index, 0)) if rows.height else index
        # Stable: of several events at one time the later position counts.
        self._order = pl.Series(np.argsort(rows[EVENT_TIME].to_numpy(), kind="stable"))
        self._sums: dict[tuple[int, str], NDArray[Any]] = {}

    def upto(self, labels: pl.DataFrame, instants: Instants) -> Positions:
        """For each label the position of its key's last event that was known; -1 for none."""
        return latest(labels, instants, self.rows, self.windows.by, EVENT_TIME, order=self._order)

    def before(self, labels: pl.DataFrame, instants: Instants, high: Positions, width_us: int) -> Positions:
        """For each label the position of the last event before its window: the window is (this, high]."""
        low = self.upto(labels, instants.earlier(width_us))
        if self.rows.height:
            low = np.where((low < 0) & (high >= 0), self._start[np.maximum(high, 0)] - 1, low)
        return low

    def sums(self, place: int, what: str, low: Positions, high: Positions) -> NDArray[Any]:
        """Exact sums over (low, high]: of ones ("rows"), of values that count ("n"), of values ("s"), of squares ("q")."""
        key = (place, what)
        if key not in self._sums:
            self._sums[key] = self._running(place, what)
        running = self._sums[key]
        found: NDArray[Any] = running[high + 1] - running[low + 1]
        return found

    def _running(self, place: int, what: str) -> NDArray[Any]:
        if what == "rows":
            return np.arange(self.rows.height + 1, dtype=np.int64)
        cells = self.rows[self._cells[place]]
        if what == "n":
            return _cumulative(cells.is_not_null().to_numpy().astype(np.int64))
        values = cells.fill_null(0).to_numpy()
        greatest = max((abs(int(values.max())), abs(int(values.min()))), default=0) if len(values) else 0
        power = 1 if what == "s" else 2
        if greatest**power * len(values) >= 2**62:
            values = values.astype(object)  # Python's integers: slower, and never too small
        return _cumulative(values * values if power == 2 else values)

    def extremes(self, place: int, low: Positions, high: Positions, *, least: bool) -> NDArray[np.int64]:
        """The least or greatest value over (low, high]; meaningless where none counts."""
        nothing = np.iinfo(np.int64).max if least else np.iinfo(np.int64).min
        values = self.rows[self._cells[place]].fill_null(int(nothing)).to_numpy()
        return _range_extremes(values, low + 1, high, np.minimum if least else np.maximum, nothing)

    def groups(self, place: int) -> Groups:
        """Each event's group in a column, see `records.features.WindowState`, with its value."""
        cells, column = self.rows[self._cells[place]], self.stream.columns[place]
        values = cells.fill_null(0)
        group = values if column.groups == "value" else self.rows[EVENT_TIME] // column.step_us
        return Groups(group.to_list(), values.to_list(), cells.is_not_null().to_list())

    def last(self, place: int, high: Positions) -> NDArray[np.int64]:
        """The last value that counts up to `high`; meaningless where none counts."""
        cells = self.rows[self._cells[place]]
        index = np.where(cells.is_not_null().to_numpy(), np.arange(len(cells)), 0)
        filled = (
            np.append(cells.fill_null(0).to_numpy()[np.maximum.accumulate(index)], 0) if len(cells) else np.zeros(1)
        )
        picked: NDArray[np.int64] = filled[high].astype(np.int64)
        return picked


def known_events(windows: Windows, source: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """The events that count: keys, time, event id and coded values.

    Args:
        windows: The definition.
        source: The source's rows.
        notes: Receives what does not count.

    Raises:
        InvalidInput: The time column does not hold aware instants.
    """
    stream = stream_of(windows)
    cells = _cells(stream)
    check_whole(source, [*windows.by, *windows.event_id], f"the table {windows.source!r}")
    rows = source.select(
        *key_columns(windows.by, windows.key_types),
        microseconds(source, windows.time, f"table {windows.source!r}").alias(EVENT_TIME),
        text_of(windows.event_id, windows.event_id_types).alias(_ID),
        *(_coded(source, column).alias(cell) for cell, column in zip(cells, stream.columns, strict=True)),
    )
    for name, words in ((EVENT_TIME, windows.time), (_ID, "its key")):
        missing = rows[name].null_count()
        if missing:
            notes[f"Rows of {windows.source} without {words}, which never count"] += missing
    for cell, column in zip(cells, stream.columns, strict=True):
        if column.coding == "grid":
            notes.update(_off_grid(windows.source, column, source[column.name], rows[cell]))
    return rows.drop_nulls([*windows.by, EVENT_TIME, _ID])


def _off_grid(source: str, column: StreamColumn, values: pl.Series, cells: pl.Series) -> Notes:
    """The values that a column's grid does not hold: those beyond its end, and those smaller than its step."""
    numbers, name, grid = values.cast(pl.Float64), f"{source}.{column.name}", f"the grid 1/{column.scale}"
    notes: Notes = Counter()
    if beyond := int((numbers.is_finite() & cells.is_null()).sum() or 0):
        notes[f"Values of {name} beyond 64 bits on {grid}, which do not count"] += beyond
    if small := int(((numbers != 0) & (numbers.abs() * float(column.scale) < 1)).sum() or 0):
        notes[
            f"Values of {name} below a step of {grid}, which count as 0 or as a step (a greater scale= keeps them)"
        ] += small
    return notes


def _cells(stream: Stream) -> list[str]:
    return [f"__v{index}" for index in range(len(stream.columns))]


def _coded(source: pl.DataFrame, column: StreamColumn) -> pl.Expr | pl.Series:
    """`states.coder` for a column."""
    if column.coding == "register":
        return registers(source.select(text_of([column.name], [column.type])).to_series(), column.bits)
    if column.coding == "bucket":
        numbers = floats(column.name, source.schema[column.name])
        if column.integer:
            whole = _on_grid(source, column.name, 1, integer=True)
            numbers = pl.when(whole.is_not_null()).then(whole.cast(pl.Float64))
        return buckets(source.select(numbers).to_series(), column.bits)
    return _on_grid(source, column.name, column.scale, column.integer)


def window_values(rows: WindowRows, labels: pl.DataFrame, instants: Instants) -> list[pl.Series]:
    """Each aggregate of the windows for each label, in order; equal bit for bit to `states.finisher`.

    Args:
        rows: The prepared events.
        labels: The key columns, in the form of `key_columns`, one row per label.
        instants: The decision times, parallel to `labels`.
    """
    high = rows.upto(labels, instants)
    lows: dict[int, Positions] = {}
    values = []
    for aggregate in rows.windows.aggregates:
        if aggregate.width_us not in lows:
            lows[aggregate.width_us] = rows.before(labels, instants, high, aggregate.width_us)
        place, low = place_of(rows.stream, aggregate), lows[aggregate.width_us]
        if aggregate.kind in SKETCHES:
            found = folded(aggregate, rows.groups(place), low, high)
        else:
            found = _finish(rows, aggregate, place, low, high)
        values.append(found if aggregate.default is None else found.fill_null(aggregate.default))
    return values


def _finish(rows: WindowRows, aggregate: Aggregate, place: int, low: Positions, high: Positions) -> pl.Series:
    kind, scale = aggregate.kind, float(aggregate.scale)
    if kind == "count":
        return pl.Series(aggregate.name, rows.sums(place, "rows" if place < 0 else "n", low, high), dtype=pl.Int64)
    n = rows.sums(place, "n", low, high)
    enough = n > (1 if kind == "std" else 0)
    if kind in ("min", "max", "last"):
        picked = rows.last(place, high) if kind == "last" else rows.extremes(place, low, high, least=kind == "min")
        values = picked if aggregate.integer else picked.astype(np.float64) / scale
        return _where(aggregate.name, values, enough, pl.Int64 if aggregate.integer else pl.Float64)
    s = rows.sums(place, "s", low, high)
    if kind == "sum":
        return pl.Series(aggregate.name, s.astype(np.float64) / scale)
    if kind == "mean":
        return _where(aggregate.name, s.astype(np.float64) / np.maximum(n, 1).astype(np.float64) / scale, enough)
    q = rows.sums(place, "q", low, high)
    counts, exact = n.astype(object), s.astype(object)
    spread = (counts * q.astype(object) - exact * exact).astype(np.float64)
    pairs = np.maximum(counts * (counts - 1), 1).astype(np.float64)
    return _where(aggregate.name, np.sqrt(spread / pairs) / scale, enough)


def _where(name: str, values: NDArray[Any], mask: NDArray[np.bool_], kind: type[pl.DataType] = pl.Float64) -> pl.Series:
    return pl.Series(name, values, dtype=kind).set(pl.Series(~mask), None)


def _on_grid(source: pl.DataFrame, name: str, scale: int, integer: bool) -> pl.Expr:
    """`states.to_grid` for a column."""
    if integer:
        return pl.col(name).cast(pl.Int64, strict=not source.schema[name].is_integer())
    steps = floats(name, source.schema[name]) * float(scale)
    return pl.when(steps.abs() < _LIMIT).then(steps.round(0, mode="half_to_even")).cast(pl.Int64)


def _cumulative(values: NDArray[Any]) -> NDArray[Any]:
    running = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=running[1:])
    return running


def _range_extremes(
    values: NDArray[np.int64], first: Positions, last: Positions, pick: np.ufunc, nothing: int
) -> NDArray[np.int64]:
    """The extreme of values[first..last] for many ranges, by doubling blocks: n log n comparisons, n memory."""
    out = np.full(len(first), nothing, dtype=np.int64)
    lengths = last - first + 1
    block, length = values, 1
    while len(block) and bool(np.any(lengths >= length)):
        asked = np.flatnonzero((lengths >= length) & (lengths < 2 * length))
        out[asked] = pick(block[first[asked]], block[last[asked] - length + 1])
        block = pick(block[:-length], block[length:])
        length *= 2
    return out
