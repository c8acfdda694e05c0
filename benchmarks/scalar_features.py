"""What a scalar feature costs a request, beside calling its function by hand, and what a vectorised twin saves.

By hand: the ten functions, each called with its arguments out of the request's row. Slipway reads the row by the types
of its fields, applies the rules of nulls and defaults, checks the type of each result and assembles the features in the
set's order. Over the rows of a training set, the functions of three features (by hand: lists of their columns, a call a
row) against their twins, with the comparison of a sample that each batch pays.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from benchmarks.pairs import Compared, compare, row, seconds_of
from slipway.features.offline import assemble
from slipway.features.online import build_resolver
from slipway.features.scalar_columns import proven_twins
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.vectorised import vectorised

PAIRS = 15
CALLS = 2000
REMARK = """\
A request of one row pays the reading of the row once; the rest is a null test, the call and a type test a feature. Over
rows, functions called by Slipway apply the same tests to each row; a ratio below 1 is what a twin saves.
"""

ROWS = 300_000

_PATH = "scalar features"
_START = datetime(2013, 1, 1, tzinfo=UTC)


@feature
def hour(departs: datetime) -> int:
    return departs.hour


@feature
def weekday(departs: datetime) -> int:
    return departs.weekday()


@feature
def is_long(distance: int) -> bool:
    return distance > 1500


@feature
def speed(distance: int, minutes: float) -> float:
    return distance / minutes if minutes else 0.0


@feature
def is_morning(hour: int) -> bool:
    return hour < 12


@feature
def desk(origin: str, carrier: str) -> str:
    return origin + carrier


@feature(default=0.0)
def wait(delay: float) -> float:
    return max(delay, 0.0)


@feature
def seats_known(seats: int | None) -> bool:
    return seats is not None


@feature
def load(seats: int | None, distance: int) -> float | None:
    return None if seats is None else seats * distance / 1000


@feature
def busy(is_long: bool, is_morning: bool) -> bool:
    return is_long and is_morning


@vectorised(hour)
def hour_in_columns(departs: pl.Expr) -> pl.Expr:
    return departs.dt.hour()


@vectorised(is_long)
def is_long_in_columns(distance: pl.Expr) -> pl.Expr:
    return distance > 1500


@vectorised(speed)
def speed_in_columns(distance: pl.Expr, minutes: pl.Expr) -> pl.Expr:
    return pl.when(minutes != 0.0).then(distance / minutes).otherwise(0.0)


_TWINNED = (hour, is_long, speed)
_FEATURES = (hour, weekday, is_long, speed, is_morning, desk, wait, seats_known, load, busy)
_REQUEST: dict[str, Any] = {
    "departs": "datetime",
    "distance": "int",
    "minutes": "float",
    "origin": "string",
    "carrier": "string",
    "delay": "float",
    "seats": "int",
}


def _by_hand(row: Sequence[Any]) -> list[Any]:
    departs, distance, minutes, origin, carrier, delay, seats = row
    at = hour.function(departs)
    long = is_long.function(distance)
    morning = is_morning.function(at)
    return [
        at,
        weekday.function(departs),
        long,
        speed.function(distance, minutes),
        morning,
        desk.function(origin, carrier),
        wait.function(delay),
        seats_known.function(seats),
        load.function(seats, distance),
        busy.function(long, morning),
    ]


def _rows(count: int) -> list[list[Any]]:
    return [
        [_START + n * timedelta(minutes=7), n % 3000, 30.0 + n % 90, "EWR", "UA", float(n % 40 - 9), n % 300]
        for n in range(count)
    ]


def _each_us(work: Callable[[Any], Any], calls: Sequence[Any]) -> float:
    """The median microseconds of a call, a feature."""
    took = []
    for given in calls:
        started = time.perf_counter_ns()
        work(given)
        took.append(time.perf_counter_ns() - started)
    return statistics.median(took) / 1000 / len(_FEATURES)


def _over_rows(count: int, pairs: int) -> list[dict[str, Any]]:
    request = {name: _REQUEST[name] for name in ("departs", "distance", "minutes")}
    spec = build_spec(FeatureSet(*_TWINNED), request, FrameTables({}), lambda function: function.__name__)
    functions = {declared.name: declared.function for declared in _TWINNED}
    twins = proven_twins(spec, functions, _TWINNED)
    asked = pl.DataFrame(
        [given[:3] for given in _rows(count)],
        schema={"departs": pl.Datetime("us", "UTC"), "distance": pl.Int64, "minutes": pl.Float64},
        orient="row",
    )

    def by_hand() -> pl.DataFrame:
        departs, distance, minutes = (asked[name].to_list() for name in asked.columns)
        return pl.DataFrame(
            {
                "hour": list(map(hour.function, departs)),
                "is_long": list(map(is_long.function, distance)),
                "speed": list(map(speed.function, distance, minutes)),
            }
        )

    assert assemble(spec, asked, {}, twins).equals(by_hand())
    made = []
    for what, used in (("called row by row", functions), ("by twins", twins)):
        found = compare(
            partial(seconds_of, by_hand), partial(seconds_of, partial(assemble, spec, asked, {}, used)), pairs
        )
        thousand = count * len(_TWINNED) / 1000
        made.append(
            row(
                _PATH,
                f"{count:,} rows x {len(_TWINNED)} features {what}: ns a value",
                Compared(found.raw / thousand * 1e6, found.slipway / thousand * 1e6, found.ratio),
            )
        )
    return made


def run(calls: int = CALLS, rows: int = ROWS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: microseconds a feature, median over the pairs."""
    spec = build_spec(FeatureSet(*_FEATURES), _REQUEST, FrameTables({}), lambda function: function.__name__)
    functions = {declared.name: declared.function for declared in _FEATURES}
    resolve = build_resolver(spec, functions)
    by_place = [[field.name for field in spec.request].index(name) for name in _REQUEST]
    given = _rows(calls)
    asked = [[[values[by_place.index(place)] for place in range(len(values))]] for values in given]
    assert resolve(asked[0], _START)[0] == _by_hand(given[0])
    one = compare(
        partial(_each_us, _by_hand, given), partial(_each_us, lambda request: resolve(request, _START), asked), pairs
    )
    first = row(_PATH, f"a request of 1 row x {len(_FEATURES)} features: us a feature", one, goal=2.0)
    return [first, *_over_rows(rows, max(1, pairs // 3))]
