"""Generated edge cases: requests, events and view rows on which two paths are most likely to differ."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from slipway.features.states import from_us, to_us
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = ["INSTANTS", "Generator", "frame_of", "in_another_zone"]

# Hours around which clocks change in New York and Berlin, some of which exist twice there; a leap day, the turn of a
# year, the epoch.
INSTANTS = tuple(
    datetime(*parts, tzinfo=UTC)
    for parts in (
        (2013, 3, 10, 6, 59),
        (2013, 3, 10, 7, 0),
        (2013, 11, 3, 5, 30),
        (2013, 11, 3, 6, 30),
        (2013, 3, 31, 1, 0),
        (2013, 10, 27, 1, 0),
        (2012, 2, 29, 23, 59),
        (2012, 12, 31, 23, 59),
        (1970, 1, 1, 0, 0),
    )
)
# Where an hour comes twice, one is left out, an offset is no whole hour, and a day is another one.
_ZONES = (
    UTC,
    ZoneInfo("America/New_York"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Asia/Kolkata"),
    timezone(timedelta(hours=-9, minutes=-30)),
)
_POOLS: dict[FieldType, tuple[Any, ...]] = {
    "bool": (True, False),
    "int": (0, 1, -1, 7, 100, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    "float": (0.0, -0.0, 0.1, 1.5, -3.25, 1e-9, 5e-324, 1e12, 1e300, float("nan"), float("inf"), float("-inf")),
    "string": ("A", "|", "", "a|b", "\\", "é", "Ünknown"),
    "category": ("A", "|", "", "a|b", "\\", "é", "Ünknown"),
    "datetime": INSTANTS,
    "date": (date(2013, 3, 10), date(2012, 2, 29), date(1970, 1, 1), date(1900, 1, 1)),
    "duration": (timedelta(0), timedelta(hours=1), timedelta(days=-1, microseconds=1)),
}
_KEYS = 3  # of a pool's values, so that events share keys; the others are kept for single rows on a border
_BESIDE_US = (-1, 0, 1)
_HOUR_US = 3_600_000_000
_TRIES = 20


@dataclass
class _Source:
    """A table that windows read: its columns, and what they are to them."""

    types: dict[str, FieldType] = field(default_factory=dict)
    parts: list[Windows] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    times: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    widths_us: list[int] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)

    def add(self, part: Windows) -> None:
        """Add windows that read it."""
        self.parts.append(part)
        self.types |= dict(zip((*part.event_id, *part.by), (*part.event_id_types, *part.key_types), strict=True))
        self.types |= {a.column: a.type for a in part.aggregates if a.column}
        self.types[part.time] = "datetime"
        self.keys.update(part.by)
        self.times.add(part.time)
        self.ids.update(part.event_id)
        self.widths_us += [aggregate.width_us for aggregate in part.aggregates]
        self.steps |= {a.column: 1 / a.scale for a in part.aggregates if a.column and a.type == "float"}


class Generator:
    """Draws rows from pools of edge cases; the same seed draws the same rows.

    Args:
        seed: Of the draws.

    Attributes:
        random: What draws.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._borders: list[tuple[dict[str, Any], datetime]] = []

    def requests(self, spec: FeatureSetSpec, count: int) -> list[list[Any]]:
        """Rows of the request's fields, each followed by its decision time: nulls and unknown keys among them.

        Some ask for a single row on or beside a border, of the history that was drawn before.
        """
        keys: set[str] = set()
        for part in spec.parts:
            if isinstance(part, Windows | View):
                keys.update(part.by if isinstance(part, Windows) else part.entity)
        rows = []
        for _ in range(count):
            aimed: dict[str, Any] = {}
            at = self.random.choice(INSTANTS)
            if self._borders and self.random.random() < 0.4:
                aimed, at = self.random.choice(self._borders)
            row = [
                aimed[f.name]
                if f.name in aimed
                else self._key(f.type, known=False)
                if f.name in keys
                else self._value(f.type)
                for f in spec.request
            ]
            rows.append([*row, at])
        return rows

    def events(self, spec: FeatureSetSpec, count: int) -> dict[str, pl.DataFrame]:
        """The tables of the windows: borders, ties, nulls, rows that come twice, and one event with two contents."""
        found = {}
        for source, table in _sources(spec).items():
            rows = [
                {name: self._cell(table, name, kind, number) for name, kind in table.types.items()}
                for number in range(count)
            ]
            for part in table.parts:
                borders = self._on_borders(part.by, part.key_types, sorted({a.width_us for a in part.aggregates}))
                rows += [
                    self._border_row(table.types, {**key, part.time: time}, count + len(rows) + place, table.ids)
                    for place, (key, time) in enumerate(borders)
                ]
            rows += [self.random.choice(rows) for _ in range(count // 10)]
            rows += [self._changed(self.random.choice(rows), table) for _ in range(count // 10)]
            self.random.shuffle(rows)
            found[source] = frame_of(rows, table.types)
        return found

    def view_rows(self, spec: FeatureSetSpec, count: int) -> dict[str, pl.DataFrame]:
        """The results of the feature views: rows on and beside their ttl, with ties and nulls."""
        found = {}
        for part in spec.parts:
            if not isinstance(part, View):
                continue
            types = dict(zip(part.entity, part.entity_types, strict=True)) | {f.name: f.type for f in part.fields}
            rows: dict[tuple[Any, ...], dict[str, Any]] = {}
            for number in range(count):
                row: dict[str, Any] = {
                    name: self._key(kind, known=True) if name in part.entity else self._value(kind)
                    for name, kind in types.items()
                }
                if part.time:
                    row[part.time] = self._time([part.ttl_us or _HOUR_US])
                identity: tuple[Any, ...] = (number,) if part.time else tuple(row[name] for name in part.entity)
                rows[identity] = row
            if part.time:
                types[part.time] = "datetime"
                for keys, time in self._on_borders(part.entity, part.entity_types, [part.ttl_us or _HOUR_US]):
                    rows["border", len(rows)] = self._border_row(types, {**keys, part.time: time}, 0, set())
            found[part.name] = frame_of(list(rows.values()), types)
        return found

    def as_sent(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as somebody might push it: instants in any time zone or as text, dates and durations as text."""
        return {name: self._sent(value) for name, value in row.items()}

    def in_any_zone(self, value: Any) -> Any:
        """An instant in some time zone; another value as it is."""
        return value.astimezone(self.random.choice(_ZONES)) if isinstance(value, datetime) else value

    def _sent(self, value: Any) -> Any:
        if isinstance(value, datetime):
            there = self.in_any_zone(value)
            return there.isoformat() if self.random.random() < 0.5 else there
        if isinstance(value, date | timedelta) and self.random.random() < 0.5:
            return msgspec.to_builtins(value)
        return value

    def _value(self, kind: FieldType) -> Any:
        drawn = self.random.random()
        if drawn < 0.12:
            return None
        if drawn < 0.5 and kind == "int":
            return self.random.randrange(-500, 500)
        if drawn < 0.5 and kind == "float":
            return self.random.uniform(-500, 500)
        return self.random.choice(_POOLS[kind])

    def _key(self, kind: FieldType, *, known: bool) -> Any:
        if self.random.random() < 0.08:
            return None
        pool = _POOLS[kind]
        return self.random.choice(pool[:_KEYS] if known or self.random.random() < 0.8 else pool)

    def _time(self, widths_us: Sequence[int]) -> datetime:
        """An instant on, beside or between the borders of windows that end at a decision."""
        at_us = to_us(self.random.choice(INSTANTS))
        width_us = self.random.choice([0, *widths_us])
        offset_us = self.random.choice([0, 0, 1, -1, self.random.randrange(0, width_us + 1)])
        return from_us(at_us - width_us + offset_us)

    def _on_borders(
        self, names: Sequence[str], types: Sequence[FieldType], widths_us: Sequence[int]
    ) -> list[tuple[dict[str, Any], datetime]]:
        """Keys and times of single rows on, just before and just after the borders of look-backs that end at a decision.

        They have keys of their own, so that no newer row hides them.
        """
        found = []
        taken: set[tuple[tuple[Any, ...], datetime]] = set()
        pools = [_POOLS[kind][_KEYS:] or _POOLS[kind] for kind in types]
        for width_us in (0, *widths_us):
            for beside_us in _BESIDE_US * 2:
                for _ in range(_TRIES):
                    cell = (tuple(map(self.random.choice, pools)), self.random.choice(INSTANTS))
                    if cell not in taken:
                        break
                taken.add(cell)
                keys, at = dict(zip(names, cell[0], strict=True)), cell[1]
                self._borders.append((keys, at))
                found.append((keys, from_us(to_us(at) - width_us + beside_us)))
        return found

    def _border_row(
        self, types: Mapping[str, FieldType], known: Mapping[str, Any], number: int, ids: set[str]
    ) -> dict[str, Any]:
        row = {}
        for name, kind in types.items():
            value = known.get(name)
            if value is None and name in ids and kind in ("int", "string"):
                value = number if kind == "int" else str(number)
            while value is None or value != value:
                value = self._value(kind)
            row[name] = value
        return row

    def _cell(self, table: _Source, name: str, kind: FieldType, number: int) -> Any:
        if name in table.times:
            return self._time(table.widths_us) if self.random.random() < 0.95 else None
        if name in table.keys:
            return self._key(kind, known=True)
        if name in table.ids:
            return number if kind == "int" else str(number) if kind == "string" else self._value(kind)
        if name in table.steps and self.random.random() < 0.2:
            return self.random.randrange(-9, 9) * table.steps[name] / 2  # where rules of rounding part
        return self._value(kind)

    def _changed(self, row: Mapping[str, Any], table: _Source) -> dict[str, Any]:
        """The same event with other values: of two the greater one counts, in any order."""
        fixed = table.keys | table.times | table.ids
        return {name: row[name] if name in fixed else self._value(kind) for name, kind in table.types.items()}


def frame_of(rows: Sequence[Mapping[str, Any]], types: Mapping[str, FieldType]) -> pl.DataFrame:
    """Rows as a frame of the types."""
    fields = tuple(Field(name, kind) for name, kind in types.items())
    return pl.DataFrame(rows, schema=polars_schema(fields), orient="row")


def in_another_zone(frame: pl.DataFrame) -> pl.DataFrame:
    """The same instants as a frame may also hold them: in New York's time, in nanoseconds."""
    instants = pl.selectors.datetime(time_zone="*")
    return frame.with_columns(instants.dt.cast_time_unit("ns").dt.convert_time_zone("America/New_York"))


def _sources(spec: FeatureSetSpec) -> dict[str, _Source]:
    """The tables that windows read."""
    found: dict[str, _Source] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            found.setdefault(part.source, _Source()).add(part)
    return found
