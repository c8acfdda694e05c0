"""What a scalar feature costs a request, beside calling its function by hand, and what a vectorised twin saves.

By hand: the ten functions, each called with its arguments out of the request's row. Slipway reads the row by the types
of its fields, applies the rules of nulls and defaults, checks the type of each result and assembles the features in the
set's order. Over rows: the same function called for each row of columns, in Polars' own `map_elements`' place a list.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from benchmarks.pairs import compare, row
from slipway.features.online import build_resolver
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec

PAIRS = 15
CALLS = 2000
REMARK = """\
A request of one row pays the reading of the row once; the rest is a null test, the call and a type test a feature.
"""

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


def run(calls: int = CALLS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: microseconds a feature, median over the pairs."""
    spec = build_spec(FeatureSet(*_FEATURES), _REQUEST, FrameTables({}), lambda function: function.__name__)
    functions = {declared.name: declared.function for declared in _FEATURES}
    resolve = build_resolver(spec, functions)
    by_place = [[field.name for field in spec.request].index(name) for name in _REQUEST]
    rows = _rows(calls)
    asked = [[[given[by_place.index(place)] for place in range(len(given))]] for given in rows]
    at = _START
    assert resolve(asked[0], at)[0] == _by_hand(rows[0])
    one = compare(
        partial(_each_us, _by_hand, rows), partial(_each_us, lambda request: resolve(request, at), asked), pairs
    )
    return [row(_PATH, f"a request of 1 row x {len(_FEATURES)} features: us a feature", one, goal=2.0)]
