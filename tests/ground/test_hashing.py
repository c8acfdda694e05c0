"""Digests of bytes and fingerprints of values."""

import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import blake3
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.hashing import canonical, combine, digest, digest_file, fingerprint


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: int


class Size(NamedTuple):
    width: int
    height: int


class Pair(msgspec.Struct):
    x: int
    y: int


UNLIKE: list[Any] = [
    None, False, True, 0, 1, -1, 0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, "", "1", "N", b"", b"1", 1 + 0j,
    Decimal("1"), Decimal("1.0"), date(2013, 4, 1), datetime(2013, 4, 1), datetime(2013, 4, 1, tzinfo=UTC),
    timedelta(seconds=1), Path("a"), Colour.RED, [], (), {}, set(), [1], (1,), {1}, {1: 1}, {"1": 1}, {1: "1"},
    [[]], [[], []], [1, [2]], [[1], 2], ["ab", "c"], ["a", "bc"], ["abc"], Point(1, 2), Pair(1, 2), Point(2, 1),
]  # fmt: skip

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.dates(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_a_digest_is_blake3_of_the_bytes(tmp_path: Path) -> None:
    data = b"slipway" * 500_000
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest(data) == digest(memoryview(data)) == digest_file(path) == blake3.blake3(data).hexdigest()


def test_unlike_values_have_unlike_fingerprints() -> None:
    for one, other in combinations(UNLIKE, 2):
        assert fingerprint(one) != fingerprint(other), (one, other)


def test_what_means_the_same_has_one_fingerprint() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint(OrderedDict([("b", 2), ("a", 1)]))
    assert fingerprint({3, 1, 2}) == fingerprint(frozenset([2, 3, 1]))
    assert fingerprint(math.nan) == fingerprint(-math.nan)
    assert fingerprint(datetime(2013, 4, 1, tzinfo=UTC)) == fingerprint(datetime(2013, 4, 1, tzinfo=ZoneInfo("UTC")))


def test_one_instant_in_two_zones_is_two_values() -> None:
    noon = datetime(2013, 4, 1, 12, tzinfo=UTC)
    zones = [UTC, timezone(timedelta(hours=2)), ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo")]
    assert len({fingerprint(noon.astimezone(zone)) for zone in zones}) == len(zones)
    hours = [time(12), *(time(12, tzinfo=zone) for zone in zones)]
    assert len({fingerprint(hour) for hour in hours}) == len(hours)
    autumn = datetime(2013, 10, 27, 2, 30)
    assert fingerprint(autumn) != fingerprint(autumn.replace(fold=1))
    berlin = autumn.replace(tzinfo=zones[2])
    assert fingerprint(berlin) != fingerprint(berlin.replace(fold=1))
    assert fingerprint(time(2, 30)) != fingerprint(time(2, 30, fold=1))


def test_named_tuples_and_members_of_enums_carry_what_they_are() -> None:
    made: Any = namedtuple
    one, other = made("Area", "width height"), made("Area", "height width")
    assert len({fingerprint(value) for value in ((1, 2), one(1, 2), other(1, 2), Size(1, 2))}) == 4
    modes: Any = Enum
    assert fingerprint(modes("Mode", {"FAST": 1})["FAST"]) != fingerprint(modes("Mode", {"FAST": 2})["FAST"])
    assert fingerprint(modes("Mode", {"FAST": 1})["FAST"]) == fingerprint(modes("Mode", {"FAST": 1})["FAST"])
    assert fingerprint(modes("Mode", {"FAST": object()})["FAST"])


def test_fingerprints_stay_what_they_are() -> None:
    """Stored keys outlive a release: a change of these needs a migration."""
    value = {"a": [1, 2.5, "x", None, True, b"y"], "b": (datetime(2013, 4, 1, tzinfo=UTC), date(2013, 4, 1))}
    assert fingerprint(value) == "4f84d7438b2fd2b2faf67300ec75953423bbf80cea782a3edb4e444e3a158c71"
    assert combine("ab", "c") != combine("a", "bc")


@given(plain)
@settings(deadline=None)
def test_a_fingerprint_depends_on_the_value_only(value: Any) -> None:
    assert canonical(value) == canonical(_rebuilt(value))


@given(plain, plain)
@settings(deadline=None)
def test_two_values_share_an_encoding_only_when_they_are_one(one: Any, other: Any) -> None:
    if canonical(one) == canonical(other):
        assert repr(_sorted(one)) == repr(_sorted(other))


def test_what_has_no_canonical_form_is_refused() -> None:
    for value in (object(), lambda: 1, [object()], {"a": object()}):
        with pytest.raises(InvalidInput, match="no fingerprint"):
            fingerprint(value)
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InvalidInput, match="contains itself"):
        fingerprint(cycle)
    twice = [1]
    assert fingerprint([twice, twice]) == fingerprint([[1], [1]])


def _rebuilt(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rebuilt(value[key]) for key in reversed(list(value))}
    if isinstance(value, list | tuple):
        return type(value)(_rebuilt(item) for item in value)
    return value


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)(_sorted(item) for item in value)
    if isinstance(value, float) and math.isnan(value):
        return math.nan
    return value
