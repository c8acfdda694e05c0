"""A contract's monitor: the KPI beside the metric that stands for it; and one figure in evaluation, monitor and roll-out."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import slipway as sw
from slipway.loop.kpi_guard import losses
from slipway.monitoring.judge import Found
from slipway.monitoring.kpi_contract import AGAINST, judge_contract
from slipway.records.models import MetricValue
from slipway.stats.intervals import mean_interval
from slipway.stats.kpi import kpi_values

NOW = datetime(2013, 6, 1, tzinfo=UTC)
REVENUE = sw.MetricContract(
    "revenue", value="price * label if decision else 0", unit="EUR", metric="log_loss", guard=0.5, between=(0, 100)
)


def rows(
    days: int = 28,
    a_day: int = 100,
    *,
    price: float = 40.0,
    seed: int = 1,
    blur: float = 0.0,
    start: int = 1,
    mood: float = 0.0,
) -> pl.DataFrame:
    """Answers of a calibrated model; `blur` makes its scores worse, `price` what each is worth, `mood` what days do to that."""
    random = np.random.default_rng(seed)
    n = days * a_day
    true = random.beta(2, 2, n)
    label = (random.random(n) < true).astype(float)
    score = np.clip((1 - blur) * true + blur * random.random(n), 0.01, 0.99)
    at = [NOW - timedelta(days=start + place // a_day, minutes=place % a_day) for place in range(n)]
    return pl.DataFrame(
        {
            "at": at,
            "score": score,
            "decision": score >= 0.5,
            "label": label,
            "price": np.full(n, price) + random.normal(0, 2, n) + np.repeat(random.normal(0, mood, days), a_day),
        }
    )


def evaluation(frame: pl.DataFrame) -> list[MetricValue]:
    values = kpi_values(frame, REVENUE.terms())
    kpi = mean_interval(values.to_numpy())
    from slipway.stats.metrics import estimate

    loss = estimate("log_loss", frame["label"].to_numpy(), frame["score"].to_numpy())
    return [
        MetricValue(metric=name, value=one.value, low=one.low, high=one.high, n=one.n)
        for name, one in (("revenue", kpi), ("log_loss", loss))
    ]


BEFORE = evaluation(rows(seed=7))


def judged(frame: pl.DataFrame, contract: sw.MetricContract = REVENUE, before: list[MetricValue] = BEFORE) -> Found:
    return judge_contract(frame, contract.terms(), contract.spec(), now=NOW, evaluation=before)


def test_a_kpi_that_falls_while_the_model_stays_good_is_a_cause_of_its_own() -> None:
    found = judged(rows(price=25.0))
    assert found.state == "alert", found.sentence
    (cause,) = found.causes
    assert (cause.kind, cause.about, cause.owner) == (AGAINST, "revenue", "business owner")
    assert cause.high is not None
    assert cause.before is not None
    assert cause.high < cause.before
    assert "look at the threshold, the policy and the product" in found.sentence


def test_a_kpi_that_falls_with_the_model_is_the_model_s() -> None:
    found = judged(rows(blur=0.9))
    assert [cause.kind for cause in found.causes] == ["kpi"], found.sentence
    assert "worse than before" in found.sentence


def test_a_kpi_that_holds_is_no_alarm_also_with_a_worse_model() -> None:
    assert judged(rows()).state == "ok"
    assert judged(rows(price=60.0, blur=0.9)).state == "ok"


def test_without_a_figure_of_before_release_the_window_before_is() -> None:
    both = pl.concat([rows(price=25.0), rows(start=29, seed=3)])
    found = judged(both, before=[])
    assert found.state == "alert"
    assert "in the window before" in found.sentence
    assert judged(rows(), before=[]).state == "note"


def test_within_the_guard_band_nobody_is_alarmed() -> None:
    wide = sw.MetricContract("revenue", value="price * label if decision else 0", guard=20, metric="log_loss")
    assert judged(rows(price=25.0), wide).state == "ok"


def test_a_limit_counts_whatever_was_before() -> None:
    strict = sw.MetricContract("revenue", value="price * label if decision else 0", limit=50, metric="log_loss")
    assert judged(rows(), strict).state == "alert"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (rows().with_columns(price=pl.lit(math.nan)), "no finite"),
        (rows().drop("price"), "no column 'price'"),
        (rows().with_columns(price=pl.lit("x")), "reckons with a text"),
        (rows().with_columns(price=pl.lit(999.0)), "which the contract says that none does"),
        (rows().clear(), "no prediction is old enough"),
        (rows(days=3), "of 4 days: too few to tell; 7 are needed"),
        (rows().with_columns(label=pl.lit(None, pl.Float64)), "0 of 2,800 mature predictions have a known value"),
        (rows(a_day=10), "too few"),
    ],
)
def test_what_cannot_be_told_is_a_sentence_and_no_alarm(frame: pl.DataFrame, why: str) -> None:
    few = sw.MetricContract(
        "revenue", value="price * label if decision else 0", metric="log_loss", min_rows=1000, between=(0, 100)
    )
    found = judged(frame, few)
    assert found.state == "cannot tell"
    assert why in found.sentence


def test_a_division_by_zero_is_told_and_is_no_zero() -> None:
    per_seat = sw.MetricContract("revenue per seat", value="price / seats")
    frame = rows().with_columns(seats=pl.int_range(pl.len()) % 50)
    found = judged(frame, per_seat)
    assert found.state == "cannot tell"
    assert "divides by zero" in found.sentence
    assert "value" not in found.values


@pytest.mark.full
def test_of_three_hundred_windows_in_which_nothing_changed_at_most_one_percent_alarm() -> None:
    strict = sw.MetricContract("revenue", value="price * label if decision else 0", metric="log_loss")
    alarms = sum(
        judged(rows(seed=seed), strict, evaluation(rows(seed=seed + 1000))).state == "alert" for seed in range(300)
    )
    assert alarms <= 3


def test_one_figure_in_evaluation_monitor_and_roll_out() -> None:
    frame = rows(seed=11).with_columns(x=pl.col("score") + 0.1, late=pl.col("label") == 1)
    fitted = LogisticRegression().fit(frame.select("x").to_numpy(), frame["late"].to_numpy())
    model = sw.Model(fitted, sample=frame.select("x").to_numpy(), decision=sw.threshold(0.4))
    asked = frame.rename({"x": "column_0"}) if "column_0" in [f.name for f in model.signature.inputs] else frame
    asked = asked.rename({"x": model.signature.inputs[0].name}) if "x" in asked.columns else asked
    evaluated = sw.evaluate(model, asked.drop("score", "decision", "label"), label="late", contract=REVENUE)
    assert evaluated.evaluation is not None
    told = next(one for one in evaluated.evaluation.metrics if one.metric == "revenue")
    scores = model.predict(asked)
    logged = frame.with_columns(score=pl.Series(scores), decision=pl.Series(scores >= 0.4))
    watched = judged(logged, before=[])
    workspace: Any = None  # no table is named, so that nothing is opened
    lost, _, why = losses(workspace, REVENUE.terms(), logged)
    assert lost is not None, why
    rolled = 100 - 100 * float(lost["loss"].mean())  # type: ignore[arg-type]
    assert told.n == watched.values["labelled"] == lost.height
    assert told.value == pytest.approx(watched.values["value"], rel=1e-12)
    assert told.value == pytest.approx(rolled, rel=1e-12)
    assert told.note == "EUR a prediction"


def test_the_tuned_threshold_earns_most_on_the_rows_it_was_chosen_on() -> None:
    contract = sw.MetricContract("saved", value="(price * label - 15) if decision else 0", unit="EUR")
    frame = rows(seed=5).with_columns(late=pl.col("label") == 1)
    fitted = LogisticRegression().fit(frame.select("score").to_numpy(), frame["late"].to_numpy())
    model = sw.Model(fitted, sample=frame.select("score").to_numpy(), decision=sw.threshold(0.5))
    name = model.signature.inputs[0].name
    asked = frame.select(pl.col("score").alias(name), "price", "late")
    tuned = sw.tuned_threshold(model, asked, contract, label="late")
    assert tuned.decision.threshold is not None
    figures = {}
    for one in (model, tuned):
        found = sw.evaluate(one, asked, label="late", contract=contract).evaluation
        assert found is not None
        figures[one.decision.threshold] = next(each for each in found.metrics if each.metric == "saved").value
    assert figures[tuned.decision.threshold] > figures[0.5]
    assert tuned.decision.unit == "EUR"


def diverging(seed: int, *, price: float = 40.0, blur: float = 0.0) -> Found:
    """Four weeks after four weeks: what a prediction is worth changes from one to the other, or the model does."""
    before = rows(seed=2 * seed, start=29, mood=6.0)
    after = rows(seed=2 * seed + 1, price=price, blur=blur, mood=6.0)
    strict = sw.MetricContract("revenue", value="price * label if decision else 0", metric="log_loss")
    return judged(pl.concat([after, before]), strict, before=[])


def test_a_kpi_that_falls_beside_its_metric_is_found_and_one_that_does_not_raises_no_alarm() -> None:
    """By days that are good or bad as a whole, without a guard band: what chance alone does."""
    alarms = [one for seed in range(60) if (one := diverging(seed)).state == "alert"]
    assert len(alarms) <= 1, [one.sentence for one in alarms]
    found = [diverging(seed, price=25.0) for seed in range(6)]
    assert [one.state for one in found] == ["alert"] * 6
    assert {cause.kind for one in found for cause in one.causes} == {AGAINST}
    with_model = [diverging(seed, blur=0.9) for seed in range(4)]
    assert [cause.kind for one in with_model for cause in one.causes] == ["kpi"] * 4
