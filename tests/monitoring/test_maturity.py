"""Cohorts by day: absorbed labels equal a recount, maturity is learnt, and early labels of one class do not mislead."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.monitoring.cohorts import Cohorts, Task
from slipway.monitoring.maturity import cohort_rows
from slipway.records.cohorts import CohortRow
from slipway.stats.classification import auc, log_loss
from slipway.stats.exact_sums import parts_of, total
from slipway.stats.metrics import estimate
from slipway.tables.prediction_log import labels_frame

DAY_US = 86_400_000_000
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
START_US = int(START.timestamp() * 1e6)
UTC_US = pl.Datetime("us", "UTC")


def answers(at: Any, score: Any, *, prefix: str = "p", key: str = "", answered: int = 0) -> pl.DataFrame:
    moment = pl.Series(np.asarray(at, dtype=np.int64)).cast(UTC_US)
    ids = [f"{prefix}{i}" for i in range(len(score))]
    frame = pl.DataFrame(
        {"id": ids, "at": moment, "answered_at": moment + timedelta(microseconds=answered), "score": score}
    )
    return frame.with_columns(
        key=pl.lit(key), bundle=pl.lit("a" * 16), arm=pl.lit("champion"), decision=pl.col("score") >= 0.5
    )


def labels(ids: list[str], value: Any, came: Any, **more: Any) -> pl.DataFrame:
    moment = pl.Series(np.asarray(came, dtype=np.int64)).cast(UTC_US)
    empty = labels_frame([], [])
    told = {"key": "", "revisions": 1, "revision": 0, "since_at": None, "until_at": None, "contradictions": 0, **more}
    frame = pl.DataFrame(
        {"prediction": ids, "value": value, "observed_at": moment, "received_at": moment, "came_at": moment}
    )
    found = frame.with_columns(pl.lit(one).alias(name) for name, one in told.items())
    return found.select(empty.columns).cast(empty.schema)  # type: ignore[arg-type]


def month(
    seed: int, *, days: int = 30, each: int = 400, true_days: float = 3.0, false_days: float = 3.0
) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Answers of a month, and a label for each, which takes longer or shorter by its class."""
    random = np.random.default_rng(seed)
    at = START_US + random.integers(0, days * DAY_US, days * each)
    score = random.beta(2, 3, at.size)
    value = (random.random(at.size) < score).astype(float)
    wait = np.where(value == 1, random.exponential(true_days, at.size), random.exponential(false_days, at.size))
    came = at + np.minimum(wait, 13.0) * DAY_US
    asked = answers(at, score)
    return asked, labels(asked["id"].to_list(), value, came), value


def rows_at(cohorts: Cohorts, now: datetime, **more: Any) -> dict[str, CohortRow]:
    given: dict[str, Any] = {"task": "classification", "metric": "accuracy", "delay_us": 14 * DAY_US, **more}
    return {str(row.day): row for row in cohort_rows(cohorts.states(), now=now, **given)}


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)])
def test_absorbing_in_any_order_ends_where_a_recount_ends(seed: int, task: Task) -> None:
    random = np.random.default_rng(seed)
    n = 300
    at = START_US + random.integers(0, 5 * DAY_US, n)
    asked = answers(at, random.random(n))
    which = random.integers(0, n + 30, 500)  # some belong to nothing
    told = labels(
        [f"p{i}" for i in which], random.integers(0, 2, 500), at[which % n] + random.integers(-5, 9, 500) * DAY_US
    )
    keyed = answers(
        START_US + random.integers(0, 20, 60) * DAY_US // 10, random.random(60), prefix="k", key="m", answered=seed
    )
    again = answers(keyed["at"].dt.epoch("us").to_numpy(), random.random(60), prefix="again", key="m", answered=50)
    span = {"key": "m", "since_at": START - timedelta(days=1), "until_at": START + timedelta(days=1)}
    timed = labels(["", ""], [1.0, 0.0], [START_US, START_US], **span)
    parts: list[tuple[str, pl.DataFrame]] = [("answers", part) for part in asked.iter_slices(90)]
    parts += [("labels", part) for part in told.iter_slices(70)]
    parts += [("answers", keyed), ("answers", again), ("labels", timed), ("labels", told[:50])]
    found = []
    for order in (range(len(parts)), random.permutation(len(parts)), random.permutation(len(parts))):
        cohorts = Cohorts(task, absent_negative=task == "classification")
        for place in order:
            kind, part = parts[place]
            cohorts.add_answers(part) if kind == "answers" else cohorts.add_labels(part)
        found.append((cohorts.states(), cohorts.told()))
    assert all(states.equals(found[0][0]) and told == found[0][1] for states, told in found)
    assert found[0][1]["unknown"] > 0
    assert found[0][1]["contradictions"] >= 1
    assert found[0][1]["duplicates"] >= 50


def test_exact_sums_are_those_of_whole_numbers() -> None:
    values = np.random.default_rng(1).normal(0, 1, 1000) * 10.0 ** np.random.default_rng(2).integers(-9, 9, 1000)
    both = np.concatenate([values, -values[::-1], [0.1]])
    power, high, low = parts_of(both)
    assert total(zip(power.tolist(), high.tolist(), low.tolist(), strict=True)) == 0.1
    assert total([]) == 0.0


def test_figures_of_a_cohort_are_those_of_its_rows() -> None:
    asked, told, value = month(1, days=1, each=3000)
    cohorts = Cohorts("classification")
    cohorts.add_answers(asked)
    cohorts.add_labels(told)
    now, score = START + timedelta(days=30), asked["score"].to_numpy()
    found = {
        m: rows_at(cohorts, now, metric=m)["2026-01-05"] for m in ("log_loss", "auc", "accuracy", "precision", "f1")
    }
    assert found["log_loss"].value == pytest.approx(log_loss(value, score), rel=1e-12)
    assert found["auc"].value == pytest.approx(auc(value, score), abs=1e-4)
    yes = score >= 0.5
    assert found["accuracy"].value == pytest.approx((yes == value).mean())
    assert found["precision"].value == pytest.approx(value[yes].mean())
    hits = float((yes & (value == 1)).sum())
    assert found["f1"].value == pytest.approx(2 * hits / (yes.sum() + value.sum()))
    assert all(row.low is not None and row.high is not None and row.low < row.high for row in found.values())


def test_accuracy_of_a_day_is_at_one_half_whatever_was_decided() -> None:
    asked, told, value = month(4, days=1, each=2000)
    score = asked["score"].to_numpy().copy()
    score[:400] = 0.5
    score[400:800] = np.nextafter(0.5, 0.0)
    cohorts = Cohorts("classification", absent_negative=True)
    cohorts.add_answers(asked.with_columns(score=pl.Series(score), decision=pl.Series(score >= 0.1)))
    cohorts.add_labels(told)
    row = rows_at(cohorts, START + timedelta(days=30))["2026-01-05"]
    assert row.value == estimate("accuracy", value, score).value
    recall = rows_at(cohorts, START + timedelta(days=30), metric="recall")["2026-01-05"]
    assert recall.value == pytest.approx((score >= 0.1)[value == 1].mean())


def test_maturity_is_told_against_what_is_usual_at_that_age() -> None:
    asked, told, _ = month(2)
    now = START + timedelta(days=30)
    cohorts = Cohorts("classification")
    cohorts.add_answers(asked)
    in_time = pl.col("came_at") <= now
    stopped = pl.col("prediction").is_in(
        asked.filter(pl.col("at").dt.date() == datetime(2026, 2, 1).date())["id"].implode()
    )
    cohorts.add_labels(told.filter(in_time & ~stopped))
    rows = rows_at(cohorts, now)
    old, young, late = rows["2026-01-12"], rows["2026-01-31"], rows["2026-02-01"]
    assert old.state == "mature"
    assert old.sentence.startswith("Mon 2026-01-12: 100% of ")
    assert young.state == "provisional"
    assert young.usual == pytest.approx(young.share, abs=0.06)
    assert "is usual at this age; accuracy 0." in young.sentence
    assert "so far" in young.sentence
    assert (late.state, late.labels) == ("late", 0)
    cohorts.add_labels(told.filter(in_time & stopped))  # filled in later: only that day changes
    again = rows_at(cohorts, now)
    assert {day for day in rows if (rows[day].labels, rows[day].value) != (again[day].labels, again[day].value)} == {
        "2026-02-01"
    }


def test_labels_that_are_sent_again_have_not_come_late() -> None:
    asked, told, _ = month(3)
    now = START + timedelta(days=30)
    told = told.filter(pl.col("came_at") <= now)
    once, again = Cohorts("classification"), Cohorts("classification")
    for cohorts in (once, again):
        cohorts.add_answers(asked)
        cohorts.add_labels(told)
    again.add_labels(told.with_columns(pl.lit(now, UTC_US).alias("came_at"), observed_at=now))
    assert again.states().equals(once.states())
    assert again.told()["duplicates"] == told.height
    young = rows_at(again, now)["2026-01-31"]
    assert young.usual is not None
    assert young.usual == pytest.approx(young.share, abs=0.1)


@pytest.mark.full
@pytest.mark.parametrize(("true_days", "false_days"), [(1.0, 6.0), (6.0, 1.0)])
def test_early_labels_of_one_class_mislead_at_most_a_third_as_much(true_days: float, false_days: float) -> None:
    naive, adjusted, widths = [], [], []
    for seed in range(6):
        asked, told, value = month(seed, true_days=true_days, false_days=false_days, each=800)
        now = START + timedelta(days=30)
        cohorts = Cohorts("classification")
        cohorts.add_answers(asked)
        cohorts.add_labels(told.filter(pl.col("came_at") <= now))
        right = pl.Series(value == 1.0) == asked["decision"]
        truth = (
            asked.with_columns(right=right).group_by(pl.col("at").dt.date().cast(pl.String)).agg(pl.col("right").mean())
        )
        by_day = dict(truth.iter_rows())
        for day, row in rows_at(cohorts, now).items():
            if row.state == "provisional" and row.value is not None and row.adjusted is not None:
                naive.append(row.value - by_day[day])
                adjusted.append(row.adjusted - by_day[day])
                widths.append(row.adjusted_low <= by_day[day] <= row.adjusted_high)  # type: ignore[operator]
    assert len(naive) > 40
    assert abs(np.mean(naive)) > 0.02
    assert abs(np.mean(adjusted)) < abs(np.mean(naive)) / 3
    assert np.mean(widths) > 0.9


def test_absent_means_negative_only_after_the_delay() -> None:
    random = np.random.default_rng(5)
    at = START_US + random.integers(0, 20 * DAY_US, 4000)
    score = random.beta(1, 4, at.size)
    value = (random.random(at.size) < score).astype(float)
    asked = answers(at, score)
    known = pl.Series(value == 1.0)
    told = labels(asked["id"].to_list(), value, at + 2 * DAY_US).filter(known)
    cohorts = Cohorts("classification", absent_negative=True)
    now = START + timedelta(days=20)
    cohorts.add_answers(asked)
    cohorts.add_labels(told.filter(pl.col("came_at") <= now))
    rows = rows_at(cohorts, now, delay_us=5 * DAY_US, absent="negative", metric="log_loss")
    day, young = rows["2026-01-06"], rows["2026-01-23"]
    inside = (at // DAY_US) == (START_US // DAY_US + 1)
    assert day.value == pytest.approx(log_loss(value[inside], score[inside]))
    assert (day.state, day.absent) == ("mature", int((value[inside] == 0).sum()))
    assert "no label by 5 days means negative" in day.sentence
    assert young.value is None
    assert "no label by 5 days means negative (it does not count yet)" in young.sentence


def test_labels_that_fit_nothing_or_whose_clock_is_wrong_are_told() -> None:
    asked = answers([START_US + i for i in range(60)], np.linspace(0.1, 0.9, 60))
    cohorts = Cohorts("classification")
    assert cohort_rows(cohorts.states(), task="classification", metric="auc", delay_us=DAY_US, now=START) == ()
    cohorts.add_answers(asked)
    now = START + timedelta(days=9)
    assert rows_at(cohorts, now, delay_us=DAY_US)["2026-01-05"].state == "waiting"
    cohorts.add_labels(labels([f"p{i}" for i in range(60)], [0.5] * 5 + [1.0] * 55, [START_US - DAY_US] * 60))
    row = rows_at(cohorts, now, delay_us=DAY_US)["2026-01-05"]
    assert (row.labels, row.misfits, row.early) == (55, 5, 55)
    assert "5 labels do not fit the task; 55 labels say they were observed before their decision" in row.sentence
    assert "not kept" in rows_at(cohorts, now, metric="ndcg@10", delay_us=DAY_US)["2026-01-05"].sentence
