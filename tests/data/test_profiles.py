from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.data.profiles import key_of, profile_of
from slipway.errors import Corrupt, InvalidInput
from slipway.stats.column_profiles import (
    BINS,
    ColumnProfile,
    distinct_count,
    from_bytes,
    mean,
    merge,
    to_bytes,
)

COLUMNS: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "x": (pl.Float64(), st.floats()),
    "n": (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pl.Int32(), st.integers(0, 600)),
    "text": (pl.String(), st.text(max_size=80) | st.sampled_from(["AA", "UA"])),
    "at": (
        pl.Datetime("us", "UTC"),
        st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
    ),
    "took": (pl.Duration("us"), st.timedeltas(timedelta(-999), timedelta(999))),
    "flag": (pl.Boolean(), st.booleans()),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | made for name, (_, made) in COLUMNS.items()}), max_size=40)
SCHEMA = {name: dtype for name, (dtype, _) in COLUMNS.items()}


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def column(values: list[Any], dtype: Any = None) -> ColumnProfile:
    return profile_of(pl.DataFrame({"v": values}, schema_overrides={"v": dtype} if dtype else None)).columns[0]


@settings(deadline=None, max_examples=60)
@given(ROWS, ROWS, st.randoms())
def test_profiles_merge_exactly_in_any_order(one: list[Any], other: list[Any], random: Any) -> None:
    whole = to_bytes(profile_of(frame(one + other)))
    first, second = profile_of(frame(one)), profile_of(frame(other))
    assert to_bytes(merge(first, second)) == to_bytes(merge(second, first)) == whole
    shuffled = one + other
    random.shuffle(shuffled)
    assert to_bytes(profile_of(frame(shuffled))) == whole


@pytest.mark.parametrize("cut", [1, 131_072, 199_999])
def test_many_rows_merge_exactly(cut: int) -> None:
    rows = pl.select(
        pl.int_range(200_000).alias("n"),
        (pl.int_range(200_000).hash() % 1000 / 7).alias("x"),
        pl.format("v{}", pl.int_range(200_000) % 700).alias("many"),
        (pl.int_range(200_000) % 3).cast(pl.String).cast(pl.Categorical).alias("few"),
    )
    whole = profile_of(rows)
    assert merge(profile_of(rows[:cut]), profile_of(rows[cut:])) == whole
    assert profile_of(rows.lazy()) == whole
    assert [found.values is None for found in whole.columns] == [False, False, True, False]
    assert len(whole.columns[0].histogram.bins) <= BINS
    assert sum(whole.columns[0].histogram.counts) == 200_000
    for found, true in zip(whole.columns, (200_000, 1000, 700, 3), strict=True):
        count, exact = distinct_count(found)
        assert abs(count / true - 1) < 0.15
        assert not exact or count == true


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=30))
def test_the_mean_is_that_of_exact_arithmetic(values: list[float]) -> None:
    true = sum(map(Fraction, values), Fraction()) / len(values)
    scale = max(map(abs, values))
    assert mean(column(values)) == pytest.approx(float(true), rel=1e-8, abs=scale * 1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30))
def test_the_mean_of_integers_is_exact(values: list[int]) -> None:
    assert mean(column(values, pl.Int64)) == float(Fraction(sum(values), len(values)))


def test_what_is_no_number_is_counted_and_left_out() -> None:
    found = column([1.0, float("nan"), None, 3.0])
    assert (found.rows, found.nulls, found.nans, found.infinite, found.low, found.high) == (4, 1, 1, 0, 1.0, 3.0)
    assert mean(found) == 2.0
    assert mean(column([1.0, float("inf")])) is None
    assert mean(column([None], pl.Float64)) is None
    assert mean(column([True, False, True, True])) == 0.75
    assert mean(column(["a"])) is None


@pytest.mark.parametrize(("values", "count"), [([1, 1, 2], 2), (["a", None], 1), ([0.0, -0.0], 1), ([True], 1)])
def test_few_different_values_are_counted_exactly(values: list[Any], count: int) -> None:
    assert distinct_count(column(values)) == (count, True)


def test_values_are_listed_while_they_are_few_and_short() -> None:
    assert column(["b", "a", "b", None]).values == (("a", 1), ("b", 2))
    assert column(["x" * 65]).values is None
    assert column([False, None]).values == (("false", 1),)


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2))
def test_keys_are_ordered_as_values_are(pair: list[float]) -> None:
    one, other = pair
    assert (key_of(one, "number") < key_of(other, "number")) == (one < other)


def test_profiles_of_other_columns_do_not_merge() -> None:
    with pytest.raises(InvalidInput, match="different columns"):
        merge(profile_of(pl.DataFrame({"a": [1]})), profile_of(pl.DataFrame({"a": ["1"]})))
    with pytest.raises(Corrupt, match="stored profile"):
        from_bytes(b"nothing")


def test_types_that_have_no_order_are_counted_only() -> None:
    found = profile_of(pl.DataFrame({"list": [[1], None], "bytes": [b"a", b"b"]}))
    assert [(c.kind, c.rows, c.nulls) for c in found.columns] == [("other", 2, 1), ("other", 2, 0)]


def test_there_are_never_more_different_values_than_values() -> None:
    estimates = [distinct_count(column(list(range(start, start + 2000)), pl.Int64)) for start in range(0, 20_000, 2000)]
    assert all(count <= 2000 and not exact for count, exact in estimates)
    assert any(count == 2000 for count, _ in estimates)  # about half of the estimates were above it
