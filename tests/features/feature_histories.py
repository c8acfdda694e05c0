"""Generated events and decisions, and the plainest possible reading of what windows mean."""

import math
import statistics
import struct
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
from hypothesis import strategies as st

import slipway.features.windows as w
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec

START = datetime(2013, 3, 10, 6, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
WIDTHS = {"1h": HOUR, "6h": 6 * HOUR}
KINDS = {"mean": w.mean, "sum": w.sum_, "min": w.min_, "max": w.max_, "last": w.last, "std": w.std}
SCALE = 2**20

EVENT_SCHEMA = {
    "id": pl.Int64,
    "known_at": pl.Datetime("us", "UTC"),
    "origin": pl.String,
    "carrier": pl.String,
    "delay": pl.Float64,
    "seats": pl.Int64,
    "late": pl.Boolean,
}
LABEL_SCHEMA = {
    "key": pl.Int64,
    "at": pl.Datetime("us", "UTC"),
    "origin": pl.String,
    "carrier": pl.String,
    "distance": pl.Int64,
}

# Few distinct instants, an hour apart, so that ties and borders of windows are common.
instants = st.integers(-2, 14).map(lambda n: START + n * timedelta(minutes=30))
origins = st.sampled_from(["EWR", "JFK", "a|b", "", None])
carriers = st.sampled_from(["UA", "b|", "\\", None])
floats = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-500, 500),
    st.sampled_from([0.0, -0.0, 1e15, -8.7e12, 2**43 - 0.5, 2.0**-21, 3 * 2.0**-21]),
)
integers = st.one_of(st.none(), st.integers(-300, 300), st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1]))


@st.composite
def events(draw: st.DrawFn, most: int = 25) -> pl.DataFrame:
    """Events in any order, with ties, nulls and repeated rows."""
    count = draw(st.integers(0, most))
    rows = [
        {
            "id": draw(st.one_of(st.just(number), st.integers(0, 5))),
            "known_at": draw(st.one_of(instants, instants, instants, st.none())),
            "origin": draw(origins),
            "carrier": draw(carriers),
            "delay": draw(floats),
            "seats": draw(integers),
            "late": draw(st.sampled_from([True, False, None])),
        }
        for number in range(count)
    ]
    rows += [draw(st.sampled_from(rows)) for _ in range(draw(st.integers(0, 4)))] if rows else []
    return pl.DataFrame(draw(st.permutations(rows)), schema=EVENT_SCHEMA, orient="row")


@st.composite
def labels(draw: st.DrawFn, most: int = 10) -> pl.DataFrame:
    rows = [
        {
            "key": number,
            "at": draw(instants),
            "origin": draw(origins),
            "carrier": draw(carriers),
            "distance": draw(integers),
        }
        for number in range(draw(st.integers(0, most)))
    ]
    return pl.DataFrame(rows, schema=LABEL_SCHEMA, orient="row")


def all_windows() -> w.DeclaredWindows:
    """Every aggregate of every type of column over two widths, by two key sets."""
    made = {
        f"{kind}_{column}_{width}": make(column, width)
        for kind, make in KINDS.items()
        for column in ("delay", "seats", "late")
        for width in WIDTHS
    }
    made |= {f"count_{width}": w.count(width) for width in WIDTHS}
    return w.windows("events", time="known_at", by={"origin": "origin", "both": ["origin", "carrier"]}, **made)


@feature
def is_far(distance: int | None) -> bool:
    return distance is not None and distance > 100


@feature
def busy(origin_count_1h: int, is_far: bool) -> float:
    return origin_count_1h / 3 if is_far else 0.1


def a_set(*more: object) -> FeatureSet:
    return FeatureSet("distance", all_windows(), busy, is_far, *more)  # type: ignore[arg-type]


def tables(frame: pl.DataFrame) -> FrameTables:
    return FrameTables({"events": frame}, {"events": ("id",)})


REQUEST = {"origin": "string", "carrier": "string", "distance": "int"}
SPEC = build_spec(a_set(), REQUEST, tables(pl.DataFrame(schema=EVENT_SCHEMA)), lambda function: function.__name__)


def bits(value: object) -> object:
    """A value so that equal means equal to the last bit and of one type."""
    return ("float", struct.pack(">d", value)) if isinstance(value, float) else (type(value).__name__, value)


def all_bits(rows: list[list[object]]) -> list[list[object]]:
    return [[bits(value) for value in row] for row in rows]


def _counts(value: float | int | bool | None) -> Fraction | None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float):
        steps = round(Fraction(value) * SCALE)
        return Fraction(steps, SCALE) if abs(steps) < 2**63 else None
    return Fraction(int(value))


def oracle(events: pl.DataFrame, label: dict[str, object], by: list[str], kind: str, column: str, width: str) -> object:
    """One aggregate for one label, by looking at every event."""
    if any(label[name] is None for name in by):
        return 0 if kind == "count" else 0.0 if kind == "sum" else None
    at = label["at"]
    assert isinstance(at, datetime)
    inside: dict[object, dict[str, object]] = {}
    for event in events.to_dicts():
        known = event["known_at"]
        if known is None or any(event[name] != label[name] for name in by):
            continue
        if at - WIDTHS[width] < known <= at:
            place = (known, str(event["id"]))
            if place not in inside or _greatness(event) > _greatness(inside[place]):
                inside[place] = event
    if kind == "count":
        return len(inside)
    values = [found for place in sorted(inside) if (found := _counts(inside[place][column])) is not None]  # type: ignore[arg-type, type-var]
    if kind == "sum":
        return float(sum(values, Fraction(0)))
    if len(values) < (2 if kind == "std" else 1):
        return None
    exact = {
        "mean": lambda: sum(values, Fraction(0)) / len(values),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "last": lambda: values[-1],
        "std": lambda: statistics.stdev(values),
    }[kind]()
    return int(exact) if column != "delay" and kind in ("min", "max", "last") else float(exact)


def _greatness(event: dict[str, object]) -> list[tuple[int, Fraction]]:
    found = [_counts(event[column]) for column in ("delay", "late", "seats")]  # type: ignore[arg-type]
    return [(0, Fraction(0)) if value is None else (1, value) for value in found]
