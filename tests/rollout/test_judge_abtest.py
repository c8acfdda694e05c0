"""An A/B test's looks, through the judge that the controller asks, on simulated entities."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.records.abtests import ABArm, ABLook, ABTest, ABTestSpec
from slipway.records.endpoints import Served
from slipway.rollout.judge_abtest import judge_abtest

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_US = 86_400_000_000
SHARES = {"champion": 0.4, "2": 0.3, "3": 0.3}


def a_test(looks: Sequence[ABLook] = (), arms: Sequence[str] = ("2", "3"), **spec: Any) -> ABTest:
    plain: dict[str, Any] = {"window_us": DAY_US, "minimal_effect": 0.3, "deadline_us": 40 * DAY_US, "unit": "EUR"}
    served = [Served(model="m", number=n, bundle=f"{n}" * 64) for n in (1, 2, 3)]
    return ABTest(
        id="t",
        project="p",
        name="e",
        created_at=BEGIN,
        parent_id="p/e",
        control=served[0],
        arms=tuple(ABArm(name=one, served=served[int(one) - 1], fraction=SHARES[one]) for one in arms),
        spec=ABTestSpec(**{**plain, **spec}),
        salt="t",
        looks=tuple(looks),
    )


def some_rows(
    days: int,
    a_day: int = 200,
    *,
    seed: int = 0,
    effects: dict[str, float] | None = None,
    known: dict[str, float] | None = None,
    shares: dict[str, float] | None = None,
) -> pl.DataFrame:
    """Entities with one to four rows each, whose rows share an effect of the entity; the covariate tells of that."""
    random = np.random.default_rng(seed)
    given = shares or SHARES
    n = days * a_day
    arm = random.choice(list(given), n, p=list(given.values()))
    own = random.normal(0, 2, n)
    effect = np.array([(effects or {}).get(one, 0.0) for one in arm])
    times = random.integers(1, 5, n)
    entity = np.repeat(np.arange(n), times)
    value = 10 + (own + effect)[entity] + random.normal(0, 1, entity.size)
    is_known = random.random(n) < np.array([(known or {}).get(one, 1.0) for one in arm])
    at = [
        BEGIN + DAY * float(k) / a_day + timedelta(minutes=float(m))
        for k, m in zip(entity, random.random(entity.size), strict=True)
    ]
    frame = pl.DataFrame(
        {
            "entity": entity.astype(str),
            "arm": arm[entity],
            "at": at,
            "value": np.where(is_known[entity], value, np.nan),
            "covariate": (own + random.normal(0, 1, n))[entity],
            "covered": np.zeros(entity.size, bool),
        }
    ).with_columns(pl.col("value").fill_nan(None))
    labelled = pl.when(pl.col("value").is_not_null()).then(pl.col("at") + timedelta(hours=6))
    return frame.with_columns(labelled_at=labelled)


def a_look(test: ABTest, rows: pl.DataFrame, day: float) -> ABLook:
    found = judge_abtest(test, rows, now=BEGIN + day * DAY)
    assert found is not None
    return found


def verdicts(look: ABLook) -> dict[str, str]:
    return {one.name: one.verdict for one in look.arms[1:]}


@pytest.mark.full
def test_peeking_every_day_calls_identical_arms_different_at_most_as_often_as_alpha() -> None:
    wrong = 0
    for seed in range(40):
        rows = some_rows(8, 80, seed=seed)
        looks = [a_look(a_test(alpha=0.1), rows, day) for day in range(3, 9)]
        assert all(look.verdict != "void" for look in looks)
        wrong += any({"better", "worse"} & set(verdicts(look).values()) for look in looks)
    assert wrong <= 4


def test_an_effect_is_found_valued_and_recommended() -> None:
    found = a_look(a_test(), some_rows(15, effects={"2": 1.0, "3": -1.0}), 15)
    assert (found.verdict, verdicts(found)) == ("decided", {"2": "better", "3": "worse"})
    assert found.sentence.startswith("Promote 2: ")
    assert "EUR a month" in found.sentence
    control, two, _ = found.arms
    assert control.effect is None
    assert two.effect is not None
    assert two.low is not None
    assert two.high is not None
    assert two.low < 1.0 < two.high
    assert two.month == pytest.approx(two.effect * found.rows_a_month)
    assert 200 * 2.5 * 30 * 0.9 < found.rows_a_month < 200 * 2.5 * 30 * 1.1
    sampled = a_look(a_test(), some_rows(15).with_columns(log_share=0.1), 15)
    assert sampled.rows_a_month == pytest.approx(10 * a_look(a_test(), some_rows(15), 15).rows_a_month)


def test_lower_is_better_where_it_is_said() -> None:
    found = a_look(a_test(better="lower"), some_rows(15, effects={"2": 1.0, "3": -1.0}), 15)
    assert verdicts(found) == {"2": "worse", "3": "better"}


def test_arms_that_are_surely_alike_are_said_to_be() -> None:
    found = a_look(a_test(minimal_effect=1.0), some_rows(20, 300), 20)
    assert (found.verdict, set(verdicts(found).values())) == ("decided", {"alike"})
    assert found.sentence.startswith("Keep the champion: ")


def test_a_covariate_narrows_the_interval_and_moves_no_truth() -> None:
    rows = some_rows(15, effects={"2": 0.5})
    plain, adjusted = (a_look(a_test(covariate=name), rows, 15) for name in ("", "prior"))
    widths = []
    for look in (plain, adjusted):
        two = look.arms[1]
        assert two.low is not None
        assert two.high is not None
        assert two.low < 0.5 < two.high
        widths.append(two.high - two.low)
    assert widths[1] < 0.75 * widths[0]
    assert adjusted.narrower > 0.4
    assert plain.narrower == 0.0


def test_undecided_says_how_many_more_entities_and_days_and_they_suffice() -> None:
    rows = some_rows(40, 100)
    found = a_look(a_test(minimal_effect=0.8), rows, 5)
    assert found.verdict == "undecided"
    assert found.more_entities is not None
    assert found.more_days is not None
    assert f"{found.more_entities:,} more entities" in found.sentence
    assert found.more_days == pytest.approx(found.more_entities / 100, rel=0.15)
    later = a_look(a_test(minimal_effect=0.8, deadline_us=100 * DAY_US), rows, 5 + found.more_days * 1.2)
    assert all(one.high - one.low < 2 * 0.85 for one in later.arms[1:] if one.high is not None and one.low is not None)


def test_a_broken_split_voids_and_stays_void() -> None:
    rows = some_rows(10, shares={"champion": 0.5, "2": 0.2, "3": 0.3}, effects={"2": 5.0})
    found = a_look(a_test(), rows, 10)
    assert found.verdict == "void"
    assert "declared shares" in found.sentence
    assert all(one.effect is None for one in found.arms)
    assert a_look(a_test(looks=[found]), some_rows(20), 20).verdict == "void"


def test_labels_of_one_arm_only_void() -> None:
    found = a_look(a_test(), some_rows(10, known={"champion": 1.0, "2": 0.0, "3": 1.0}), 10)
    assert found.verdict == "void"
    assert "labels came for one arm more often" in found.sentence


def test_no_labels_at_all_are_undecided_with_no_figures() -> None:
    found = a_look(a_test(), some_rows(10, known=dict.fromkeys(SHARES, 0.0)), 10)
    assert (found.verdict, found.more_entities) == ("undecided", None)
    assert "no entity's outcome is known yet" in found.sentence


def test_an_entity_in_two_arms_voids() -> None:
    rows = some_rows(10)
    other = "2" if rows["arm"][0] != "2" else "3"
    two = pl.concat([rows, rows.head(1).with_columns(arm=pl.lit(other))])
    found = a_look(a_test(), two, 10)
    assert found.verdict == "void"
    assert "1 entity was seen in more than one arm" in found.sentence


def test_an_outcome_counts_after_its_window_only_and_never_changes() -> None:
    rows = some_rows(4)
    test = a_test()
    assert sum(one.measured for one in a_look(test, rows, 0.9).arms) == 0
    known = sum(one.measured for one in a_look(test, rows, 2).arms)
    assert known == pytest.approx(200, abs=3)
    late = rows.head(50).with_columns(at=pl.col("at") + 2 * DAY, value=pl.lit(1e6), labelled_at=pl.col("at") + 2 * DAY)
    means = [[one.mean for one in a_look(test, frame, 4).arms] for frame in (rows, pl.concat([rows, late]))]
    assert means[0] == means[1]


def test_a_clock_that_jumps_decides_nothing() -> None:
    rows = some_rows(5)
    found = a_look(a_test(), rows, 5)
    assert judge_abtest(a_test(looks=[found]), rows, now=BEGIN + 3 * DAY) is None
    assert judge_abtest(a_test(looks=[found]), rows, now=BEGIN - 30 * DAY) is None
    far = a_look(a_test(looks=[found]), rows, 400)
    assert far.verdict == "undecided"
    assert far.sentence.startswith("Decide yourself: the deadline of 40 days has passed")


def test_planned_looks_are_taken_when_they_are_due_and_are_sharper() -> None:
    rows = some_rows(21, effects={"2": 0.5})
    planned = a_test(looks_us=(7 * DAY_US, 14 * DAY_US, 21 * DAY_US))
    assert judge_abtest(planned, rows, now=BEGIN + 6 * DAY) is None
    first = a_look(planned, rows, 8)
    planned = msgspec.structs.replace(planned, looks=(first,))
    assert judge_abtest(planned, rows, now=BEGIN + 13 * DAY) is None
    last = a_look(planned, rows, 22)  # the second was missed
    planned = msgspec.structs.replace(planned, looks=(first, last))
    assert judge_abtest(planned, rows, now=BEGIN + 30 * DAY) is None
    free = a_look(a_test(), rows, 22)
    widths = [look.arms[1].high - look.arms[1].low for look in (last, free)]  # type: ignore[operator]
    assert widths[0] < widths[1]


def test_a_covered_row_counts_for_its_arm_and_is_told() -> None:
    rows = some_rows(10).with_columns(covered=pl.col("arm") == "3")
    found = a_look(a_test(), rows, 10)
    assert [one.covered > 0 for one in found.arms] == [False, False, True]
    assert any("because that arm's model failed" in one for one in found.unknown)
