"""What monitors find: drift is a note, a broken feed an alert, quality waits for its labels and for days enough."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.monitoring.declare import KPI, Drift, Quality
from slipway.monitoring.judge import Found, drift, inputs, quality
from slipway.monitoring.labels_known import MIN_DAYS, MIN_ROWS
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Decision, MetricValue
from slipway.stats.profiles import Profile, profile

NOW = datetime(2013, 5, 1, tzinfo=UTC)
COSTS = {"true_positive": 10.0, "false_positive": 10.0, "false_negative": 50.0, "true_negative": 0.0}


def inputs_of(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "wind": random.normal(10, 3, rows),
        "gust": np.where(random.random(rows) < 0.3, np.nan, random.normal(20, 5, rows)),
        "carrier": random.choice(["AA", "UA", "DL"], rows).tolist(),
        "score": random.random(rows),
    }


def reference(**changed: Any) -> Profile:
    return profile({**inputs_of(5000, 1), **changed})


def log(rows: int = 2000, **changed: Any) -> pl.DataFrame:
    return pl.DataFrame({**inputs_of(rows, 2), **changed}).with_columns(pl.col("wind", "gust").fill_nan(None))


def test_an_unchanged_window_is_well() -> None:
    found = drift(log(), reference())
    assert (found.state, found.rows) == ("ok", 2000)
    assert "none of 4 columns moved" in found.sentence


def test_a_moved_input_is_a_note_and_never_more() -> None:
    found = drift(log(wind=np.random.default_rng(3).normal(16, 3, 2000)), reference())
    assert found.state == "note"
    assert found.sentence.startswith("1 of 4 columns moved: wind")
    assert "not acted on" in found.sentence
    assert {column for column, *_ in found.values["moved"]} == {"wind"}


def test_what_the_model_uses_most_is_told_first() -> None:
    moved = log(wind=np.random.default_rng(3).normal(30, 3, 2000), score=[0.9] * 2000)
    told = [drift(moved, reference(), {name: 1.0}).values["moved"][0][0] for name in ("score", "wind")]
    assert told == ["score", "wind"]


def test_what_went_missing_or_is_new_is_a_note_of_drift_too() -> None:
    found = drift(log(wind=[None] * 1000 + [10.0] * 1000), reference())
    assert found.state == "note"
    assert "wind: missing in 50.0% of the rows, 0.0% in training" in found.sentence
    found = drift(log(carrier=["9E"] * 500 + ["AA", "UA", "DL"] * 500), reference())
    assert "carrier: 25.0% of values never seen before" in found.sentence


def test_a_column_that_is_wholly_missing_is_the_same() -> None:
    nothing = pl.DataFrame(inputs_of(2000, 2)).with_columns(wind=pl.lit(None, pl.Float64))
    assert "missing in 100.0%" in drift(nothing, reference()).sentence


def test_more_values_than_in_training_are_no_broken_feed() -> None:
    found = drift(log(gust=np.random.default_rng(4).normal(20, 5, 2000)), reference())
    assert found.state == "note"
    assert "gust: missing in 0.0% of the rows, 29.4% in training" in found.sentence


@pytest.mark.parametrize("rows", [0, 1, MIN_ROWS - 1])
def test_few_predictions_cannot_tell(rows: int) -> None:
    found = drift(log(rows), reference())
    assert found.state == "cannot tell"
    assert str(rows) in found.sentence


def test_a_handful_of_training_rows_cannot_tell_either() -> None:
    found = drift(log(), profile(inputs_of(5, 1)))
    assert found.state == "cannot tell"
    assert "training kept too few rows" in found.sentence


def test_inputs_with_names_of_the_log_are_compared_with_themselves() -> None:
    own = inputs_of(5000, 1)
    known = profile({"version": own["wind"], "score": own["gust"]})
    both = Profile(rows=5000, columns=(*known.columns, *profile({"score": own["score"]}).columns))
    now = inputs_of(2000, 2)
    logged = pl.DataFrame(
        {"version": [3] * 2000, "score": now["score"], "feature.version": now["wind"], "feature.score": now["gust"]}
    )
    assert drift(logged, both).state == "ok"


def month(rows: int = 3000, **changed: Any) -> pl.DataFrame:
    """Thirty days up to now, evenly."""
    ages = [timedelta(days=30) * (rows - row - 1) / rows for row in range(rows)]
    return log(rows, **changed).with_columns(at=pl.Series([NOW - age for age in ages]), bundle=pl.lit("this"))


def watched(rows: pl.DataFrame, **more: Any) -> Found:
    return inputs(rows, Drift().spec(), reference(), now=NOW, **more)


def test_a_season_is_a_note_and_a_broken_feed_an_alert() -> None:
    warm = np.linspace(10, 30, 3000) + np.random.default_rng(3).normal(0, 3, 3000)
    season = month(wind=warm)
    assert (watched(season).state, watched(month()).state) == ("note", "ok")
    is_last = pl.col("at") > NOW - timedelta(days=1)
    found = watched(season.with_columns(wind=pl.when(is_last).then(pl.col("wind") * 9).otherwise("wind")))
    assert found.state == "alert"
    assert found.sentence.startswith("request, since 2013-04-30 00:")
    assert "wind far outside all that was seen" in found.sentence
    assert found.sentence.endswith("mend the feed; do not retrain on it.")
    ((_, question, share),) = found.values["feeds"][0]["signs"]
    assert (question, share) == ("far", 1.0)
    assert found.first == NOW - timedelta(days=28) + timedelta(minutes=14, seconds=24)
    assert found.last == NOW


def test_drift_is_judged_by_the_models_own_rows_and_feeds_by_all() -> None:
    mixed = month().with_columns(bundle=pl.Series(["other"] * 2950 + ["this"] * 50))
    assert watched(mixed, bundle="this").state == "cannot tell"
    nothing = mixed.with_columns(carrier=pl.lit("ZZ"))
    found = watched(nothing, bundle="this")
    assert (found.state, found.rows) == ("alert", 50)


def test_a_silent_day_does_not_say_that_a_feed_is_mended() -> None:
    silent = month().filter(pl.col("at") < NOW - timedelta(days=1))
    assert watched(silent).state == "ok"
    still = [(NOW - timedelta(days=2), None)]
    found = watched(silent, faulty=still)
    assert found.state == "cannot tell"
    assert found.sentence.startswith("0 predictions of the last day are too few")
    assert watched(silent, faulty=[(NOW - timedelta(days=5), NOW - timedelta(days=3))]).state == "ok"


def answered(
    rows: int,
    *,
    wrong: float = 0.2,
    labelled: float = 1.0,
    age: timedelta = timedelta(days=1),
    days: int = 20,
    seed: int = 5,
) -> pl.DataFrame:
    """Rows of equally many a day, one age the youngest day; `wrong` of the labels are not what the score says."""
    random = np.random.default_rng(seed)
    sure = random.random(rows) < 0.5
    truth = np.where(random.random(rows) < wrong, ~sure, sure).astype(float)
    known = random.random(rows) < labelled
    return pl.DataFrame(
        {
            "at": pl.Series(
                [NOW - age - timedelta(days=row % days) for row in range(rows)], dtype=pl.Datetime("us", "UTC")
            ),
            "score": np.where(sure, 0.8, 0.2),
            "label": pl.Series([t if k else None for t, k in zip(truth, known, strict=True)], dtype=pl.Float64),
        }
    )


def before_release(metric: str, value: float, half: float = math.nan) -> MetricValue:
    return MetricValue(metric=metric, value=value, low=value - half, high=value + half)


def judged(rows: pl.DataFrame, monitor: Any = None, before: float | None = None, decision: Any = None) -> Found:
    spec = (monitor or Quality("log_loss", label_delay="1d")).spec()
    evaluation = [] if before is None else [before_release(spec.metric, before)]
    return quality(rows, spec, now=NOW, evaluation=evaluation, decision=decision or Decision())


def log_loss_of(wrong: float) -> float:
    return -(1 - wrong) * math.log(0.8) - wrong * math.log(0.2)


def test_quality_as_before_release_is_well() -> None:
    found = judged(answered(2000), before=log_loss_of(0.2))
    assert (found.state, found.rows) == ("ok", 2000)
    assert "before release" in found.sentence
    assert "100% of 2,000 mature" in found.sentence


def test_quality_alerts_when_the_whole_interval_is_worse() -> None:
    rows = answered(2000, wrong=0.3)
    figures = judged(rows, before=0.0).values
    assert judged(rows, before=figures["low"] - 1e-6).state == "alert"
    assert judged(rows, before=figures["low"] + 1e-6).state == "ok"
    assert judged(rows, before=figures["value"] * 2).state == "ok"


def test_where_higher_is_better_a_lower_figure_alerts() -> None:
    rows = answered(2000, wrong=0.3)
    auc = Quality("auc", label_delay="1d")
    figures = judged(rows, auc, before=0.5).values
    assert judged(rows, auc, before=figures["high"] + 1e-6).state == "alert"
    assert judged(rows, auc, before=figures["high"] - 1e-6).state == "ok"


def test_a_declared_limit_counts_before_the_evaluation() -> None:
    rows = answered(2000)
    found = judged(rows, Quality("log_loss", limit=0.1), before=10.0)
    assert found.state == "alert"
    assert "limit 0.1" in found.sentence


def test_a_figure_with_nothing_to_compare_is_a_note() -> None:
    found = judged(answered(2000))
    assert found.state == "note"
    assert "no figure to compare it with" in found.sentence


def test_an_evaluation_by_slice_only_is_nothing_to_compare() -> None:
    spec = Quality("log_loss").spec()
    sliced = [MetricValue(metric="log_loss", value=0.1, slice="carrier=AA")]
    assert quality(answered(2000), spec, now=NOW, evaluation=sliced, decision=Decision()).state == "note"


def test_young_predictions_are_not_judged() -> None:
    young = answered(2000, wrong=0.9, age=timedelta(hours=23), days=1)
    assert judged(young, before=0.1).state == "cannot tell"
    found = judged(pl.concat([young, answered(1000)]), before=log_loss_of(0.2))
    assert (found.state, found.rows) == ("ok", 1000)
    assert found.last == NOW - timedelta(days=1), "the delay itself is old enough"


def test_what_was_decided_before_the_window_is_not_judged() -> None:
    old = answered(4000, wrong=0.9, age=timedelta(days=15), days=20)
    found = judged(
        pl.concat([answered(1400, days=14), old]), Quality("log_loss", window="14d"), before=log_loss_of(0.2)
    )
    assert (found.state, found.rows) == ("ok", 1400)
    assert found.values["days"] == 14


def test_an_alert_needs_the_whole_interval_beyond_the_whole_interval_before_release() -> None:
    rows, spec = answered(2000, wrong=0.3), Quality("log_loss").spec()

    def states(half: float) -> Found:
        evaluation = [before_release("log_loss", log_loss_of(0.2), half)]
        return quality(rows, spec, now=NOW, evaluation=evaluation, decision=Decision())

    assert states(0.01).state == "alert"
    found = states(0.15)
    assert found.state == "ok"
    assert found.values["limit"] >= log_loss_of(0.2) + 0.15
    assert f"not wholly beyond {found.values['limit']:.4g}" in found.sentence


def test_the_interval_before_release_is_widened_as_days_widen_the_windows() -> None:
    rows, spec = answered(2000), Quality("log_loss").spec()
    bad = pl.col("at").dt.day() % 4 == 0
    uneven = rows.with_columns(label=pl.when(bad).then(1 - pl.col("label")).otherwise("label"))

    def bound(of: pl.DataFrame) -> float:
        evaluation = [before_release("log_loss", 0.5, 0.01)]
        limit = quality(of, spec, now=NOW, evaluation=evaluation, decision=Decision()).values["limit"]
        return float(limit)

    assert 0.51 <= bound(rows) < 0.52
    assert bound(uneven) > 0.53


@pytest.mark.parametrize(("shift", "state"), [(0.0, "ok"), (0.08, "ok"), (0.2, "alert"), (-0.2, "alert")])
def test_calibration_alerts_either_way(shift: float, state: str) -> None:
    rows = answered(2000).with_columns(score=pl.col("score") + shift)
    found = judged(rows, Quality("calibration", limit=0.1))
    assert found.state == state
    assert found.values["value"] == pytest.approx(shift, abs=0.02)
    if state == "alert":
        assert ("over-forecast" if shift > 0 else "under-forecast") in found.sentence
    assert judged(rows, Quality("calibration")).values["limit"] == 0.05


def test_rates_are_told_because_losses_follow_them() -> None:
    evaluation = [before_release("log_loss", 0.5), before_release("positive_rate", 0.25)]
    found = quality(answered(2000), Quality("log_loss").spec(), now=NOW, evaluation=evaluation, decision=Decision())
    assert "of them are true, 25% before release" in found.sentence


@pytest.mark.parametrize("days", [1, MIN_DAYS - 1])
def test_labels_of_few_days_cannot_tell_however_many_they_are(days: int) -> None:
    found = judged(answered(3000, wrong=0.9, days=days), before=0.1)
    assert found.state == "cannot tell"
    assert f"of {days} days: too few" in found.sentence


def test_a_window_whose_labels_are_still_coming_is_provisional() -> None:
    rows = answered(2000, wrong=0.9)

    def without(days: int) -> Found:
        late = pl.col("at") > NOW - timedelta(days=days, hours=1)
        return judged(rows.with_columns(label=pl.when(late).then(None).otherwise("label")), before=0.1)

    assert without(1).state == "alert"
    found = without(4)
    assert found.state == "cannot tell"
    assert "80% where 100% is usual: provisional" in found.sentence
    # where labels never come for all, that is the usual
    assert judged(answered(2000, wrong=0.9, labelled=0.7), before=0.1).state == "alert"


@pytest.mark.parametrize(("rows", "share"), [(2000, 0.4), (MIN_ROWS - 1, 1.0), (10_000, 0.001)])
def test_too_few_labels_cannot_tell(rows: int, share: float) -> None:
    found = judged(answered(rows, wrong=0.9, labelled=share), before=0.1)
    assert found.state == "cannot tell"
    assert f"of {rows:,} mature predictions have a label" in found.sentence


def test_no_predictions_cannot_tell() -> None:
    assert judged(answered(0), before=0.1).state == "cannot tell"


def test_one_class_only_cannot_tell_an_auc() -> None:
    rows = answered(500).with_columns(label=pl.lit(1.0))
    found = judged(rows, Quality("auc"), before=0.8)
    assert found.state == "cannot tell"
    assert "nan" not in found.sentence
    assert "class" in found.sentence


def test_costs_are_told_in_the_decisions_unit() -> None:
    decision = Decision(threshold=0.5, costs=COSTS, unit="USD")
    found = judged(answered(4000, wrong=0.2), KPI(), before=13.0, decision=decision)
    assert found.state == "ok"
    assert "USD a prediction over 20 days; before release 13" in found.sentence
    # of half the rows decided yes each costs 10; of the other half a fifth cost 50
    assert found.values["value"] == pytest.approx(10.0, abs=0.6)
    assert judged(answered(4000, wrong=0.4), KPI(), before=10.0, decision=decision).state == "alert"


@pytest.mark.parametrize("decision", [Decision(), Decision(threshold=0.5), Decision(costs=COSTS)])
def test_without_a_threshold_and_costs_nobody_can_tell_the_cost(decision: Decision) -> None:
    found = judged(answered(500), KPI("what errors cost"), before=1.0, decision=decision)
    assert found.state == "cannot tell"
    assert "what errors cost cannot be told: the model states no threshold and no costs" in found.sentence


def test_labels_that_nobody_can_mean_are_left_out_and_counted() -> None:
    random = np.random.default_rng(1)
    scores = random.uniform(0.05, 0.95, 1000)
    labels = (random.random(1000) < scores).astype(float)
    labels[:3] = [7.0, -1e308, 0.5]
    rows = pl.DataFrame({"at": answered(1000)["at"], "score": scores, "label": labels})
    monitor = MonitorSpec(kind="quality", name="q", metric="log_loss", limit=5.0)
    found = quality(rows, monitor, now=NOW, evaluation=(), decision=Decision(threshold=0.5))
    assert found.state == "ok"
    assert found.values["misfits"] == 3
    assert "3 labels do not fit" in found.sentence


def silent(*, days: int = 8, labelled_until: float = 6.0, share: float = 1.0) -> Found:
    """An hour's ten predictions, over days, of which a share has labels until a day."""
    random, first = np.random.default_rng(5), NOW - timedelta(days=days + 1)
    hours = np.repeat(np.arange(days * 24), 10)
    truth = (random.random(hours.size) < 0.4).astype(float)
    has = (hours < labelled_until * 24) & (random.random(hours.size) < share)
    rows = pl.DataFrame(
        {
            "at": [first + timedelta(hours=int(one)) for one in hours],
            "score": random.random(hours.size),
            "label": np.where(has, truth, np.nan),
        }
    ).with_columns(pl.col("label").fill_nan(None))
    monitor = Quality("log_loss", label_delay="1d", window=f"{days}d").spec()
    return quality(rows, monitor, now=NOW, evaluation=(), decision=Decision())


def test_labels_that_stop_are_a_cause_of_not_telling() -> None:
    found = silent(labelled_until=5.0)
    assert found.state == "cannot tell"
    (cause,) = found.causes
    assert (cause.kind, cause.about, cause.rows, cause.value, cause.before) == ("labels", "", 480, 0.0, pytest.approx(5 / 6, abs=0.01))  # fmt: skip
    assert cause.since == NOW - timedelta(days=4, hours=1)
    assert "No labels come any more: none of 480 predictions" in found.sentence


@pytest.mark.parametrize("more", [{"labelled_until": 6.5}, {"share": 0.3}, {"labelled_until": 0.0}, {"days": 7, "labelled_until": 1.0}])  # fmt: skip
def test_labels_that_are_slow_or_few_or_never_came_are_none(more: dict[str, float]) -> None:
    found = silent(**more)  # type: ignore[arg-type]
    assert (found.state, found.causes) == ("cannot tell", ())
