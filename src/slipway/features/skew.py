"""The skew certificate: one feature set's offline and online paths over generated edge cases, compared bit for bit."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from slipway.errors import StepFailed
from slipway.features.calls import caller
from slipway.features.offline import History, compute
from slipway.features.online import Resolver, build_receiver, build_resolver
from slipway.features.states import from_us, to_us
from slipway.ports.online_store import OnlineStore
from slipway.records.features import FeatureSetSpec, Scalar, SkewCertificate, View, Windows
from slipway.records.schema import Field, FieldType
from slipway.schema.types import polars_schema

__all__ = ["certify"]

_BATCHES = (1, 2, 1000)
_SHOWN = 5
_AT = "__at"

# Hours around which clocks change in New York and Berlin, a leap day, the turn of a year, the epoch.
_INSTANTS = tuple(
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
_POOLS: dict[FieldType, tuple[Any, ...]] = {
    "bool": (True, False),
    "int": (0, 1, -1, 7, 100, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    "float": (0.0, -0.0, 0.1, 1.5, -3.25, 1e-9, 5e-324, 1e12, 1e300, float("nan"), float("inf"), float("-inf")),
    "string": ("A", "B", "a|b", "\\", "", "é", "Ünknown"),
    "category": ("A", "B", "a|b", "\\", "", "é", "Ünknown"),
    "datetime": _INSTANTS,
    "date": (date(2013, 3, 10), date(2012, 2, 29), date(1970, 1, 1), date(1900, 1, 1)),
    "duration": (timedelta(0), timedelta(hours=1), timedelta(days=-1, microseconds=1)),
}
_KEYS = 3  # of a pool's values, so that events share keys


class _Generator:
    """Draws rows from pools of edge cases; the same seed draws the same rows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, kind: FieldType) -> Any:
        drawn = self.random.random()
        if drawn < 0.12:
            return None
        if drawn < 0.5 and kind == "int":
            return self.random.randrange(-500, 500)
        if drawn < 0.5 and kind == "float":
            return self.random.uniform(-500, 500)
        return self.random.choice(_POOLS[kind])

    def key(self, kind: FieldType, *, known: bool) -> Any:
        if self.random.random() < 0.08:
            return None
        pool = _POOLS[kind]
        return self.random.choice(pool[:_KEYS] if known or self.random.random() < 0.8 else pool)

    def time(self, widths_us: Sequence[int]) -> datetime:
        """An instant on, beside or between the borders of windows that end at a decision."""
        at_us = to_us(self.random.choice(_INSTANTS))
        width_us = self.random.choice([0, *widths_us])
        offset_us = self.random.choice([0, 0, 1, -1, self.random.randrange(0, width_us + 1)])
        return from_us(at_us - width_us + offset_us)


def certify(
    spec: FeatureSetSpec,
    functions: Mapping[str, Callable[..., Any]],
    store: OnlineStore,
    *,
    serving: Mapping[str, Callable[..., Any]] | None = None,
    seed: int = 0,
    rows: int = 1000,
) -> SkewCertificate:
    """Run both paths of a feature set over generated rows and compare every value.

    The rows hold nulls, NaN, infinities, extreme integers, unknown keys, events on and beside the borders of windows,
    at one time, twice, late and shuffled, and instants around changes of the clock. The online path answers each row
    alone, in pairs and in large batches, in order and shuffled. A scalar function that raises must do so on both paths.

    Args:
        spec: The set.
        functions: The functions of the scalar features, by name.
        store: An empty online store, which the generated history is pushed into.
        serving: The functions that will serve, by name: the bundle's own, loaded from its code. The online path calls
            them; None where they are the same.
        seed: Of the generator.
        rows: How many request rows.

    Returns:
        The certificate; `equal` says whether the paths agreed everywhere.
    """
    made = _Generator(seed)
    asked = _requests(spec, made, rows)
    events, views = _events(spec, made, max(50, rows // 4)), _view_rows(spec, made, max(50, rows // 4))
    raised: dict[str, None] = {}
    scalars = [part for part in spec.parts if isinstance(part, Scalar)]
    trained = {scalar.name: _guarded(scalar, functions, raised) for scalar in scalars}
    served = {scalar.name: _guarded(scalar, functions if serving is None else serving, raised) for scalar in scalars}
    frame = pl.DataFrame(
        asked, schema=polars_schema((*spec.request, Field(_AT, "datetime"))), orient="row", infer_schema_length=None
    )
    offline = [
        list(row) for row in compute(spec, frame, _AT, History(events=events, views=views), trained).frame.rows()
    ]
    offline_raised = set(raised)
    raised.clear()
    receive = build_receiver(spec, store)
    for name, source in {**events, **views}.items():
        _push(receive, name, source.to_dicts(), made)
    compared, mismatches = _compared(spec, asked, offline, build_resolver(spec, served, store), made)
    mismatches += [f"raised on one path only: {words}" for words in sorted(offline_raised ^ set(raised))]
    return SkewCertificate(
        definition=spec.definition,
        rows=len(asked),
        features=len(spec.features),
        compared=compared,
        mismatches=len(mismatches),
        first=tuple(mismatches[:_SHOWN]),
        raised=len(raised),
        raised_first=tuple(list(raised)[:_SHOWN]),
        seed=seed,
    )


def _compared(
    spec: FeatureSetSpec, asked: list[list[Any]], offline: list[list[Any]], resolve: Resolver, made: _Generator
) -> tuple[int, list[str]]:
    """How many values were compared, and those that differ, in words: alone, in pairs and many at once, any order."""
    compared = 0
    mismatches: list[str] = []
    for at in _INSTANTS:
        places = [index for index, row in enumerate(asked) if row[-1] == at]
        for size in _BATCHES:
            for start in range(0, len(places), size):
                batch = places[start : start + size]
                answers = resolve([asked[index][:-1] for index in batch], at)
                compared += len(batch) * len(spec.features)
                for index, answer in zip(batch, answers, strict=True):
                    mismatches += _differences(spec, asked[index], offline[index], answer, size)
            made.random.shuffle(places)
    return compared, mismatches


def _requests(spec: FeatureSetSpec, made: _Generator, count: int) -> list[list[Any]]:
    keys: set[str] = set()
    for part in spec.parts:
        if isinstance(part, Windows | View):
            keys.update(part.by if isinstance(part, Windows) else part.entity)
    return [
        [
            *(made.key(f.type, known=False) if f.name in keys else made.value(f.type) for f in spec.request),
            made.random.choice(_INSTANTS),
        ]
        for _ in range(count)
    ]


def _events(spec: FeatureSetSpec, made: _Generator, count: int) -> dict[str, pl.DataFrame]:
    """The sources of the windows: rows with borders, ties, nulls and duplicates."""
    columns: dict[str, dict[str, FieldType]] = {}
    roles: dict[str, tuple[set[str], set[str], set[str], list[int]]] = {}
    for part in spec.parts:
        if not isinstance(part, Windows):
            continue
        known = columns.setdefault(part.source, {})
        keys, times, ids, widths = roles.setdefault(part.source, (set(), set(), set(), []))
        known |= dict(zip((*part.event_id, *part.by), (*part.event_id_types, *part.key_types), strict=True))
        known |= {a.column: a.type for a in part.aggregates if a.column}
        known[part.time] = "datetime"
        keys.update(part.by)
        times.add(part.time)
        ids.update(part.event_id)
        widths += [aggregate.width_us for aggregate in part.aggregates]
    found = {}
    for source, types in columns.items():
        keys, times, ids, widths = roles[source]
        rows = []
        for number in range(count):
            row: dict[str, Any] = {}
            for name, kind in types.items():
                if name in times:
                    row[name] = made.time(widths) if made.random.random() < 0.95 else None
                elif name in keys:
                    row[name] = made.key(kind, known=True)
                elif name in ids:
                    row[name] = number if kind == "int" else str(number) if kind == "string" else made.value(kind)
                else:
                    row[name] = made.value(kind)
            rows.append(row)
        rows += [made.random.choice(rows) for _ in range(count // 10)]
        made.random.shuffle(rows)
        found[source] = pl.DataFrame(rows, schema=_schema(types), orient="row")
    return found


def _view_rows(spec: FeatureSetSpec, made: _Generator, count: int) -> dict[str, pl.DataFrame]:
    """The results of the feature views: rows around their ttl, with ties and nulls."""
    found = {}
    for part in spec.parts:
        if not isinstance(part, View):
            continue
        types = dict(zip(part.entity, part.entity_types, strict=True)) | {f.name: f.type for f in part.fields}
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for number in range(count):
            row: dict[str, Any] = {
                name: made.key(kind, known=True) if name in part.entity else made.value(kind)
                for name, kind in types.items()
            }
            if part.time:
                row[part.time] = made.time([part.ttl_us or 3_600_000_000])
            identity: tuple[Any, ...] = (number,) if part.time else tuple(row[name] for name in part.entity)
            rows[identity] = row
        if part.time:
            types[part.time] = "datetime"
        found[part.name] = pl.DataFrame(list(rows.values()), schema=_schema(types), orient="row")
    return found


def _schema(types: Mapping[str, FieldType]) -> pl.Schema:
    return polars_schema(tuple(Field(name, kind) for name, kind in types.items()))


def _push(
    receive: Callable[[str, Sequence[Mapping[str, Any]]], object],
    name: str,
    rows: list[dict[str, Any]],
    made: _Generator,
) -> None:
    """Push rows in batches of any size, out of order, some of them twice."""
    rows = rows + made.random.sample(rows, len(rows) // 10)
    made.random.shuffle(rows)
    start = 0
    while start < len(rows):
        size = made.random.choice([1, 3, 40])
        receive(name, rows[start : start + size])
        start += size


def _guarded(
    scalar: Scalar, functions: Mapping[str, Callable[..., Any]], raised: dict[str, None]
) -> Callable[..., Any]:
    """The function, which gives None where it raises and says so."""
    call = caller(scalar, functions)

    def guarded(*arguments: Any) -> Any:
        try:
            return call([[argument] for argument in arguments])[0]
        except StepFailed as error:
            raised[error.what.replace(" on row 0", "")] = None
            return None

    return guarded


def _differences(
    spec: FeatureSetSpec, asked: Sequence[Any], offline: Sequence[Any], online: Sequence[Any], size: int
) -> list[str]:
    found = []
    for feature, one, other in zip(spec.features, offline, online, strict=True):
        if _bits(one) != _bits(other):
            request = {f.name: value for f, value in zip(spec.request, asked, strict=False)}
            found.append(
                f"{feature.name} is {one!r} offline and {other!r} online (batches of {size}) "
                f"for {request} at {asked[-1].isoformat()}"
            )
    return found


def _bits(value: Any) -> object:
    """What two values must share to be equal to the last bit; all NaN are one."""
    if isinstance(value, float):
        return "nan" if value != value else struct.pack(">d", value)
    return (type(value).__name__, value)
