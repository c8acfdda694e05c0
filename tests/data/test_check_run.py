from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.data.check_run import look
from slipway.data.checks import Check, between, matches, not_null, one_of, unique
from slipway.errors import InvalidDeclaration

AT = datetime(2013, 4, 1, tzinfo=UTC)


def failed(frame: pl.DataFrame, check: Check) -> int:
    (result,) = look(frame.lazy(), [check], table="t").results
    assert result.passed == (result.failed_rows == 0)
    return result.failed_rows


@pytest.mark.parametrize(
    ("values", "make", "count"),
    [
        ([1, 1, 2, None, None], lambda: unique("x"), 4),
        ([1, 2, None], lambda: unique("x"), 0),
        ([1.0, float("nan"), None], lambda: not_null("x"), 1),
        ([0, 5, 10, 11, -1, None], lambda: between("x", 0, 10), 2),
        ([0.0, float("nan"), float("inf"), None], lambda: between("x", 0, 10), 2),
        ([0.0, float("nan"), float("inf"), None], lambda: between("x", 0, None), 1),
        ([float("-inf"), float("nan"), 3.0], lambda: between("x", None, 2), 2),
        ([AT, None], lambda: between("x", AT, None), 0),
        (["AA", "ZZ", None], lambda: one_of("x", ["AA", "UA"]), 1),
        (["N1", "N12", "XN1", "N1\n", None], lambda: matches("x", "N[0-9]|N1[0-9]"), 2),
        ([], lambda: unique("x"), 0),
    ],
)
def test_failing_rows_are_counted(values: list[Any], make: Callable[[], Check], count: int) -> None:
    assert (
        failed(pl.DataFrame({"x": values}, schema_overrides={"x": pl.Int64} if not values else None), make()) == count
    )


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["AA", "ZZ"])])
def test_categories_are_checked_as_text(dtype: Any) -> None:
    frame = pl.DataFrame({"x": ["AA", "ZZ", None]}, schema={"x": dtype})
    assert failed(frame, one_of("x", ["AA", "UA"])) == 1
    assert failed(frame, matches("x", "Z+")) == 1


def test_several_columns_are_unique_together() -> None:
    frame = pl.DataFrame({"a": [1, 1, 2, 2], "b": [1, 2, 1, 1]})
    assert failed(frame, unique("a", "b")) == 2


def test_one_look_finds_nulls_results_and_sample_keys() -> None:
    frame = pl.DataFrame({"id": ["a", "b", None, "d"], "n": [1, 99, -5, None], "m": [None] * 4})
    found = look(frame, [between("n", 0, 10), not_null("n", severity="warn")], table="t", key=("id", "n"))
    assert (found.rows, found.nulls) == (4, {"id": 1, "n": 1, "m": 4})
    first, second = found.results
    assert (first.check, first.severity, first.failed_rows, first.rows) == ("n is between 0 and 10", "block", 2, 3)
    assert first.sample == ("b|99", "null|-5")
    assert first.note == "1 null was passed over."
    assert (second.severity, second.failed_rows, second.rows, second.sample) == ("warn", 1, 4, ("d|null",))
    assert look(frame, [not_null("n")], table="t").results[0].sample == ("row 4",)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (not_null("carier"), "names the column 'carier'.*Did you mean 'carrier'"),
        (between("carrier", 0, 1), "does not fit its column: carrier is String"),
        (matches("distance", "a"), "does not fit its column: distance is Int64"),
        (matches("carrier", "a(?=b)"), "without look-around"),
    ],
)
def test_a_check_that_does_not_fit_is_named(check: Check, sentence: str) -> None:
    frame = pl.DataFrame({"carrier": ["AA"], "distance": [1]})
    with pytest.raises(InvalidDeclaration, match=sentence):
        look(frame, [not_null("distance"), check], table="flights")


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=20), st.floats(-5, 5), st.floats(-5, 5))
def test_the_counts_are_those_of_a_plain_loop(values: list[float | None], one: float, other: float) -> None:
    low, high = sorted((one, other))
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    assert failed(frame, between("x", low, high)) == sum(v is not None and not low <= v <= high for v in values)
    known = ["nan" if v is not None and v != v else v if v is None else v + 0.0 for v in values]
    assert failed(frame, unique("x")) == sum(known.count(v) > 1 for v in known)
