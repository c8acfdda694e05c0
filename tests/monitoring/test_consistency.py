"""Served beside offline: what counts as equal, and what is counted as what."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.charts.consistency import sentence
from slipway.errors import InvalidDeclaration
from slipway.monitoring.consistency import as_taken, differs, feature_consistency, found
from slipway.monitoring.declare import Consistency
from slipway.records.consistency import ConsistencyReport, FeatureConsistency

NONE = np.zeros(5, dtype=np.bool_)
NAN = float("nan")


@pytest.mark.parametrize(
    ("served", "offline", "expected"),
    [
        ([1.0, None, NAN, 0.0, 1.5], [1.0, None, NAN, 0.0, 1.5], [0, 0, 0, 0, 0]),
        ([0.0, 1.0, 1.0, None, NAN], [-0.0, math.nextafter(1.0, 2), None, 1.0, 1.0], [1, 1, 1, 1, 1]),
        ([1, 2, None, 2**53 + 1, -1], [1, 3, 1, 2**53, -1], [0, 1, 1, 1, 0]),
        ([True, False, None, True, True], [True, True, True, True, None], [0, 1, 1, 0, 1]),
        (["a", "b", None, "", "é"], ["a", "c", None, None, "é"], [0, 1, 0, 1, 0]),
    ],
)
def test_values_are_equal_when_all_their_bits_are(served: list[Any], offline: list[Any], expected: list[int]) -> None:
    assert differs(pl.Series(served), pl.Series(offline)).astype(int).tolist() == expected


def test_null_is_not_zero_and_a_text_is_no_number() -> None:
    assert differs(pl.Series([0.0]), pl.Series([None], dtype=pl.Float64)).tolist() == [True]
    assert differs(pl.Series(["1"]), pl.Series([1])).tolist() == [True]


def of(served: list[Any], offline: list[Any], **more: Any) -> FeatureConsistency:
    one, other = pl.Series(served), pl.Series(offline)
    options: dict[str, Any] = {"late": NONE, "ahead": NONE, "scale": 1.0, "where": [f"row {i}" for i in range(5)]}
    return feature_consistency("wind", one, other, differs(one, other), **(options | more))


def test_a_feature_is_compared_as_the_model_takes_it() -> None:
    served = pl.Series([1.0, 0.0, None, 0.0])
    assert list(differs(served, as_taken(pl.Series([True, False, None, True]), served.dtype))) == [0, 0, 0, 1]
    assert list(differs(served, as_taken(pl.Series([1, 0, None, 2], dtype=pl.Int32), served.dtype))) == [0, 0, 0, 1]
    assert all(differs(served, as_taken(pl.Series(["1.0", "0.0", "", "x"]), served.dtype)))


def test_each_kind_of_difference_is_counted_as_itself() -> None:
    got = of([1.0, 3.0, None, 2.0, 5.0], [1.0, 1.0, 7.0, None, 5.0])
    assert (got.compared, got.mismatches, got.missing, got.extra, got.defects) == (5, 1, 1, 1, 3)
    assert got.smape == pytest.approx(2 * 2 / 4)
    assert got.greatest == 2.0
    assert got.share == pytest.approx(0.6)
    assert got.first == "3.0 was served, 1.0 is right, for row 1"


def test_late_rows_excuse_what_they_explain_and_no_more() -> None:
    late = np.array([False, True, True, False, False])
    got = of([1.0, 3.0, None, 2.0, 5.0], [1.0, 1.0, 7.0, None, 5.0], late=late)
    assert (got.late, got.defects, got.extra) == (2, 1, 1)


def test_what_nobody_looked_at_counts_as_what_was_looked_at() -> None:
    late = np.array([True, False, False, False, False])
    got = of([1.0] * 5, [2.0] * 5, late=late, scale=5.0)
    assert (got.late, got.defects) == (5, 0)


def report(*features: FeatureConsistency, **more: Any) -> ConsistencyReport:
    return ConsistencyReport(
        id="r", project="p", name="e", created_at=datetime(2013, 4, 1, tzinfo=UTC), parent_id="p/e", model="m 1",
        bundle="b", sampled=1000, features=features, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("defects", "late", "state"), [(0, 0, "ok"), (1, 0, "note"), (2, 0, "alert"), (0, 9, "note"), (2, 9, "alert")]
)
def test_more_than_the_declared_share_alerts(defects: int, late: int, state: str) -> None:
    one = FeatureConsistency(feature="wind", compared=1000, mismatches=defects, late=late)
    assert found(report(one), Consistency(max_share=0.001).spec()).state == state


def test_one_bad_feature_is_not_hidden_by_good_ones() -> None:
    good = [FeatureConsistency(feature=f"f{i}", compared=1000) for i in range(99)]
    bad = FeatureConsistency(
        feature="wind", compared=1000, mismatches=5, first="1.0 was served, 2.0 is right, for row 1"
    )
    got = found(report(*good, bad), Consistency().spec())
    assert got.state == "alert"
    assert got.sentence.endswith("most in wind: 5 (0.5 %)"), "a finding names no request"


def test_nothing_computed_again_cannot_tell() -> None:
    assert found(report(), Consistency().spec()).state == "cannot tell"
    assert sentence(report()) == "no request was computed again"


def test_late_data_is_a_sentence_of_its_own() -> None:
    one = FeatureConsistency(feature="wind", compared=1000, late=7)
    told = sentence(report(one, late_rows=3, late_median_us=90_000_000, late_greatest_us=7_200_000_000))
    assert "none is wrong" in told
    assert "7 differ because 3 rows came late, 1.5 min in the middle and 2 h at most" in told


@pytest.mark.parametrize("share", [-0.1, 1.0, True, "much", NAN])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="is no share"):
        Consistency(max_share=share)
