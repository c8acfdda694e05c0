"""Five questions a column: what moved is found, what is void is not, what the model hardly uses informs and never counts."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from benchmarks.drift_verdicts import CHANGES, _columns, alarm_shares, rows_of, run

from slipway.stats.binomial import upper_tail
from slipway.stats.drift import FLOORS, _Case, _holm, compare
from slipway.stats.profiles import Profile, profile
from slipway.stats.shares import chance_beyond, lower_difference


def rows(count: int, seed: int, **more: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    kind = random.choice(np.array(["a", "b", "c"]), count, p=[0.5, 0.3, 0.2])
    near = np.where(kind == "a", 1.0, -1.0) + random.normal(size=count)
    base = {"x": x, "y": 0.8 * x + 0.6 * random.normal(size=count), "kind": pl.Series(kind), "near": near}
    return {**base, "score": random.random(count), **more}


def reference(**settings: Any) -> Profile:
    return profile(rows(20_000, 1), predictions=["score"], **settings)


def moved(window: dict[str, Any], known: Profile, **settings: Any) -> set[tuple[str, str]]:
    answers = compare(profile(window, known), known, **settings)
    return {(one.column, one.question) for one in answers if one.verdict == "moved"}


def test_each_question_is_answered_for_its_column() -> None:
    known, random = reference(), np.random.default_rng(2)
    now = rows(2000, 3)
    assert moved(now, known) == set()
    assert moved({**now, "score": 0.15 + 0.7 * now["score"]}, known) == {("score", "prediction")}
    assert moved({**now, "y": random.normal(size=2000)}, known) == {("x", "dependence")}
    shuffled = pl.Series(random.permutation(now["kind"].to_numpy()))
    assert moved({**now, "kind": shuffled}, known) == {("kind", "dependence")}
    far = np.where(random.random(2000) < 0.03, 9.0, now["x"])
    assert moved({**now, "x": far}, known) == {("x", "tails")}
    gone = np.where(random.random(2000) < 0.1, np.nan, now["x"])
    assert moved({**now, "x": gone}, known) == {("x", "missing")}


def test_a_column_that_only_moved_keeps_its_company() -> None:
    known, now = reference(), rows(5000, 4)
    both = {question for _, question in moved({**now, "x": now["x"] + 0.7, "y": now["y"] + 0.56}, known)}
    assert "shape" in both
    assert "dependence" not in both


def test_what_the_model_hardly_uses_informs_and_does_not_count() -> None:
    used = {"x": 0.5, "y": 0.02, "kind": 0.0, "near": 0.48}
    known, now = reference(importance=used), rows(2000, 5)
    changed = {**now, "y": now["y"] + 2, "kind": pl.Series(["new"] * 2000), "score": now["score"] ** 2}
    changed["y"][:400] = np.nan
    answers = compare(profile(changed, known), known)
    counts = {(one.column, one.question): one.counts for one in answers if one.verdict == "moved"}
    assert counts["y", "missing"]
    assert counts["score", "prediction"]
    assert not counts["y", "shape"]
    assert not counts["kind", "unseen"]
    assert answers[0].counts
    other = compare(profile(changed, known), known, importance={"y": 1.0})
    assert {(one.column, one.question): one.counts for one in other}["y", "shape"]


def test_chances_of_shares_are_those_of_the_binomial_also_for_few_rows() -> None:
    for n, limit in ((60, 0.01), (500, 0.005), (500, 0.115), (500, 0.3), (5000, 0.9)):
        for hits in range(n + 1):
            exact = upper_tail(hits, n, limit)
            if 1e-9 < exact < 0.05:
                found = float(chance_beyond(np.array([hits / n]), np.array([limit]), np.array([float(n)]))[0])
                assert exact * 0.999 < found < exact * 1.09
    assert chance_beyond(np.ones(1), np.array([0.9]), np.array([100.0]))[0] == pytest.approx(0.9**100)
    low = lower_difference(np.array([0.2]), np.array([0.1]), np.array([1000.0]), np.array([0.001]))
    assert 0.05 < low[0] < 0.1
    assert chance_beyond(np.array([0.2]), 0.1 + low, np.array([1000.0]))[0] == pytest.approx(0.001, rel=1e-3)


def test_ten_points_more_missing_are_found_in_500_rows_95_times_of_100() -> None:
    random = np.random.default_rng(11)

    def with_holes(rows: int, missing: int) -> dict[str, Any]:
        holes = np.where(np.arange(rows) < missing, np.nan, random.normal(size=rows))
        return _columns({**rows_of(random, rows), "holes": holes})

    known = profile(with_holes(50_000, 5_000), predictions=("score",))
    least = next(missing for missing in range(80, 96) if ("holes", "missing") in moved(with_holes(500, missing), known))
    assert upper_tail(least, 500, 0.1 + 0.1) >= 0.95
    assert upper_tail(least, 500, 0.1 + FLOORS["missing"]) <= 0.01 / len(known.columns), "nor by chance at the floor"


def test_missing_values_have_twice_the_share_of_false_alarms_and_the_sum_is_kept() -> None:
    known = reference()
    cases = [_Case(one, pair=(0.0, 1.0), chance=1.0) for one in compare(profile(rows(2000, 3), known), known)]
    levels = dict(zip([(c.answer.column, c.answer.question) for c in cases], _holm(cases, 0.01), strict=True))
    assert levels["x", "missing"] == pytest.approx(2 * levels["x", "shape"])
    assert levels["kind", "unseen"] == pytest.approx(2 * levels["x", "tails"])
    assert sum(_holm(cases, 0.01)) == pytest.approx(0.01)


@pytest.mark.full
def test_the_simulation_runs_small_and_its_goals_hold() -> None:
    assert alarm_shares(500, 10, 7, reference=20_000)[0] == 0.0
    for name in ("shift", "dependence", "category mix"):
        assert alarm_shares(1000, 2, 7, CHANGES[name], reference=20_000)[0] == 1.0
        assert alarm_shares(1000, 2, 7, CHANGES[name], 0.1, reference=20_000)[0] == 0.0


@pytest.mark.full
def test_the_verdicts_hold_their_goals() -> None:
    found = {row["what"]: row for row in run((500, 5000), 100, 10, 31, 50_000, peers=0) if "what" in row}
    for row in found.values():
        assert row["slipway"] <= row.get("goal", 100.0)
        assert row["slipway"] >= min(row.get("goal_least", 0.0), 90.0)
