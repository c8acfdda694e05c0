"""What monitors find: drift is a note, a broken feed an alert, quality waits for its labels."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.monitoring.declare import KPI, Quality
from slipway.monitoring.judge import MIN_ROWS, Found, drift, quality
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Decision, MetricValue
from slipway.stats.profiles import Profile, profile

NOW = datetime(2013, 5, 1, tzinfo=UTC)
COSTS = {"true_positive": 10.0, "false_positive": 10.0, "false_negative": 50.0, "true_negative": 0.0}


def inputs(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "wind": random.normal(10, 3, rows),
        "gust": np.where(random.random(rows) < 0.3, np.nan, random.normal(20, 5, rows)),
        "carrier": random.choice(["AA", "UA", "DL"], rows).tolist(),
        "score": random.random(rows),
    }


def reference(**changed: Any) -> Profile:
    return profile({**inputs(5000, 1), **changed})


def log(rows: int = 2000, **changed: Any) -> pl.DataFrame:
    return pl.DataFrame({**inputs(rows, 2), **changed}).with_columns(pl.col("wind", "gust").fill_nan(None))


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


def test_values_that_went_missing_look_like_a_broken_feed() -> None:
    found = drift(log(wind=[None] * 1000 + [10.0] * 1000), reference())
    assert found.state == "alert"
    assert "wind: missing in 50.0% of the rows, 0.0% in training" in found.sentence
    assert "broken feed: mend it before anything is retrained" in found.sentence


def test_a_column_that_is_wholly_missing_is_the_same() -> None:
    nothing = pl.DataFrame(inputs(2000, 2)).with_columns(wind=pl.lit(None, pl.Float64))
    found = drift(nothing, reference())
    assert found.state == "alert"
    assert "missing in 100.0%" in found.sentence


def test_categories_never_seen_look_like_a_broken_feed() -> None:
    found = drift(log(carrier=["9E"] * 500 + ["AA", "UA", "DL"] * 500), reference())
    assert found.state == "alert"
    assert "carrier: 25.0% of values never seen before" in found.sentence
    assert "broken feed" in found.sentence


def test_more_values_than_in_training_are_no_broken_feed() -> None:
    found = drift(log(gust=np.random.default_rng(4).normal(20, 5, 2000)), reference())
    assert found.state == "note"
    assert "gust: missing in 0.0% of the rows, 29.4% in training" in found.sentence


def test_a_few_new_values_are_a_note() -> None:
    found = drift(log(carrier=["9E"] * 100 + ["AA", "UA"] * 950), reference())
    assert found.state == "note"


@pytest.mark.parametrize("rows", [0, 1, MIN_ROWS - 1])
def test_few_predictions_cannot_tell(rows: int) -> None:
    found = drift(log(rows), reference())
    assert found.state == "cannot tell"
    assert str(rows) in found.sentence


def test_a_handful_of_training_rows_cannot_tell_either() -> None:
    found = drift(log(), profile(inputs(5, 1)))
    assert found.state == "cannot tell"
    assert "training kept too few rows" in found.sentence


def test_inputs_with_names_of_the_log_are_compared_with_themselves() -> None:
    own = inputs(5000, 1)
    known = profile({"version": own["wind"], "score": own["gust"]})
    both = Profile(rows=5000, columns=(*known.columns, *profile({"score": own["score"]}).columns))
    now = inputs(2000, 2)
    logged = pl.DataFrame(
        {"version": [3] * 2000, "score": now["score"], "feature.version": now["wind"], "feature.score": now["gust"]}
    )
    assert drift(logged, both).state == "ok"


def answered(
    rows: int, *, wrong: float = 0.2, labelled: float = 1.0, age: timedelta = timedelta(days=3), seed: int = 5
) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    sure = random.random(rows) < 0.5
    truth = np.where(random.random(rows) < wrong, ~sure, sure).astype(float)
    known = random.random(rows) < labelled
    return pl.DataFrame(
        {
            "at": [NOW - age] * rows,
            "score": np.where(sure, 0.8, 0.2),
            "label": pl.Series([t if k else None for t, k in zip(truth, known, strict=True)], dtype=pl.Float64),
        }
    )


def judged(rows: pl.DataFrame, monitor: Any = None, before: float | None = None, decision: Any = None) -> Found:
    spec = (monitor or Quality("log_loss", label_delay="1d")).spec()
    evaluation = [] if before is None else [MetricValue(metric=spec.metric, value=before)]
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
    young = answered(2000, wrong=0.9, age=timedelta(hours=23))
    assert judged(young, before=0.1).state == "cannot tell"
    found = judged(pl.concat([young, answered(1000)]), before=log_loss_of(0.2))
    assert (found.state, found.rows) == ("ok", 1000)


def test_the_age_itself_is_old_enough() -> None:
    found = judged(answered(2000, age=timedelta(days=1)), before=1.0)
    assert found.rows == 2000


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
    assert "USD a prediction; before release 13" in found.sentence
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
    rows = pl.DataFrame({"at": [datetime(2013, 4, 1, tzinfo=UTC)] * 1000, "score": scores, "label": labels})
    monitor = MonitorSpec(kind="quality", name="q", metric="log_loss", limit=5.0)
    found = quality(
        rows, monitor, now=datetime(2013, 5, 1, tzinfo=UTC), evaluation=(), decision=Decision(threshold=0.5)
    )
    assert found.state == "ok"
    assert found.values["misfits"] == 3
    assert "3 labels do not fit" in found.sentence
