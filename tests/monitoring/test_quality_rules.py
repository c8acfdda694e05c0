"""Quality by rule and by slice: no label means negative after its delay only, and a slice alerts beyond chance only."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.errors import InvalidDeclaration
from slipway.monitoring.declare import Quality
from slipway.monitoring.judge import Found, quality
from slipway.records.models import Decision, MetricValue

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CARRIERS = ["AA", "B6", "DL", "EV", "MQ", "UA"]


def answered(seed: int = 1, *, rows: int = 6000, worse: str = "", absent: bool = False) -> pl.DataFrame:
    """Forty days of calibrated answers; those of one carrier know nothing."""
    random = np.random.default_rng(seed)
    score = random.beta(2, 3, rows)
    carrier = random.choice(CARRIERS, rows)
    chance = np.where(carrier == worse, 0.4, score)
    label = (random.random(rows) < chance).astype(float)
    ages = [timedelta(days=40) * float(share) for share in random.random(rows)]
    frame = pl.DataFrame({"at": [NOW - age for age in ages], "score": score, "label": label, "carrier": carrier})
    if absent:
        frame = frame.with_columns(label=pl.when(pl.col("label") == 1.0).then(1.0))
    return frame.with_columns(query=(pl.Series(np.arange(rows)) // 6).cast(pl.String))


def before(metric: str = "log_loss", *, sliced: bool = True) -> list[MetricValue]:
    random = np.random.default_rng(99)
    score = random.beta(2, 3, 20_000)
    label = (random.random(score.size) < score).astype(float)
    from slipway.stats.metrics import estimate

    found = estimate(metric, label, score)
    names = ["", *(f"carrier={one}" for one in CARRIERS)] if sliced else [""]
    return [
        MetricValue(metric=metric, value=found.value, low=found.low, high=found.high, n=9, slice=one) for one in names
    ]


def judged(rows: pl.DataFrame, metric: str = "log_loss", *, threshold: float | None = None, **more: Any) -> Found:
    sliced = more.pop("sliced", True)
    monitor = Quality(metric, **{"label_delay": "2d", **more}).spec()
    evaluation = [] if metric.startswith("ndcg") else before(metric, sliced=sliced)
    return quality(rows, monitor, now=NOW, evaluation=evaluation, decision=Decision(threshold=threshold))


def test_absent_labels_are_negative_and_every_sentence_says_so() -> None:
    rows = answered(absent=True)
    assert judged(rows).state == "cannot tell"  # without the rule only the true ones have a label
    found = judged(rows, absent="negative")
    assert found.state == "ok"
    assert found.values["labelled"] == found.values["mature"]
    assert (
        found.values["absent"]
        == rows.filter((pl.col("at") > NOW - timedelta(days=30)) & (pl.col("at") <= NOW - timedelta(days=2)))[
            "label"
        ].null_count()
    )
    young = rows.filter(pl.col("at") > NOW - timedelta(days=1))
    few = judged(pl.concat([rows.head(20), young]), absent="negative")
    assert few.state == "cannot tell"
    for one in (found, few):
        assert "No label by 2 days means negative, as declared:" in one.sentence


def test_labels_that_never_come_are_no_negatives() -> None:
    found = judged(answered().with_columns(label=pl.lit(None, pl.Float64)), absent="negative")
    assert found.state == "cannot tell"
    assert "or no labels come any more" in found.sentence
    assert judged(answered().clear(), absent="negative").state == "cannot tell"


def test_a_bad_slice_is_named_as_the_cause_while_the_whole_is_well() -> None:
    found = judged(answered(worse="EV", rows=12_000), slices=["carrier"])
    assert found.state == "alert"
    assert "carrier=EV" in {cause.about for cause in found.causes}
    assert {cause.about for cause in found.causes} <= {"", "carrier=EV"}
    (cause,) = (one for one in found.causes if one.about)
    assert (cause.kind, cause.unit) == ("quality", "log_loss")
    assert (cause.before or 0.0) < (cause.low or 0.0) < (cause.value or 0.0)
    assert "Of 6 slices 1 is worse (carrier=EV: log loss" in found.sentence
    rows = {row["slice"]: row for row in found.values["slices"]}
    assert rows["carrier=EV"]["state"] == "alert"
    assert rows["carrier=AA"]["state"] == "ok"


def test_small_slices_and_slices_without_a_figure_before_do_not_alert() -> None:
    rows = answered(worse="EV").with_columns(
        carrier=pl.when(pl.int_range(pl.len()) < 30).then(pl.lit("ZZ")).otherwise("carrier")
    )
    found = judged(rows, slices=["carrier", "planet"], sliced=False)
    states = {row["slice"]: row["state"] for row in found.values["slices"]}
    assert states["carrier=ZZ"] == "cannot tell"
    assert states["carrier=EV"] == "note"
    assert "1 cannot tell, 6 had no figure before release to compare with." in found.sentence
    assert "no column 'planet' to slice by" in found.sentence
    assert judged(rows, slices=["carrier"], limit=0.66).state == "alert"


@pytest.mark.full
def test_unchanged_slices_rarely_alert() -> None:
    alerts = [judged(answered(seed), slices=["carrier"]).state == "alert" for seed in range(60)]
    assert sum(alerts) <= 2


def test_the_decision_and_the_request_are_used() -> None:
    found = judged(answered(), "precision", threshold=0.3)
    other = judged(answered(), "precision@0.3")
    assert found.values["value"] == pytest.approx(other.values["value"])
    assert judged(answered(), "precision").values["value"] > found.values["value"]
    ranked = judged(answered(), "ndcg@5", group="query")
    assert 0.5 < ranked.values["value"] < 1.0
    assert "no column 'nothing'" in judged(answered(), "ndcg@5", group="nothing").sentence


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metric": "mae", "absent": "negative"}, "says nothing of 'mae'"),
        ({"metric": "auc", "absent": "positive"}, "says nothing of 'auc'"),
        ({"metric": "auc", "slices": "carrier"}, "are no slices"),
        ({"metric": "auc", "slices": ["a", "a"]}, "are no slices"),
        ({"metric": "ndcg@5"}, "judged by request"),
        ({"metric": "pinball@2"}, "no number for the metric 'pinball'"),
        ({"metric": "auc@2"}, "Write 'auc'"),
        ({"metric": "bias"}, "no limit of a bias"),
    ],
)
def test_what_means_nothing_is_refused_where_it_is_written(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words):
        Quality(**given)
