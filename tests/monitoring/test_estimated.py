"""Estimated quality as a monitor: it alerts on a loss only, says on what it rests, and when it cannot tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.errors import InvalidDeclaration
from slipway.monitoring.declare import EstimatedQuality
from slipway.monitoring.estimated import Labelled, estimate_of, estimated
from slipway.monitoring.judge import Found, profile_columns
from slipway.records.models import Decision, MetricValue
from slipway.stats.profiles import profile

NOW = datetime(2013, 5, 1, tzinfo=UTC)


def draw(seed: int, rows: int, sd: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    size = random.normal(0, sd, rows)
    chance = 1 / (1 + np.exp(-size))
    return size, chance, (random.random(rows) < chance).astype(float)


SIZE, SCORES, LABELS = draw(1, 20_000)
HELD_OUT = Labelled(labels=LABELS, scores=SCORES, inputs={"size": SIZE}, source="evaluation")
REFERENCE = profile({"size": SIZE})
BEFORE = (
    MetricValue(metric="auc", value=0.8, low=0.79, high=0.81),
    MetricValue(metric="mae", value=0.35, low=0.34, high=0.36),
)


def judged(sd: float, metric: str = "auc", *, beyond: float = 0.0, rows: int = 5_000, **more: Any) -> Found:
    size, scores, _ = draw(2, rows, sd)
    size[: int(beyond * rows)] = 99.0
    answered = pl.DataFrame({"score": scores, "at": [NOW - timedelta(minutes=place) for place in range(rows)]})
    answered = answered.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    given = {"labelled": HELD_OUT, "reference": REFERENCE, "evaluation": BEFORE, **more}
    spec = EstimatedQuality(metric).spec()
    answered = answered.with_columns(size=pl.Series(size))
    return estimated(
        answered,
        profile_columns(answered, REFERENCE),
        spec,
        given.pop("labelled"),
        given.pop("reference"),
        decision=Decision(),
        **given,
    )


def test_a_harder_mix_is_an_alert_with_its_cause() -> None:
    found = judged(0.7)
    assert found.state == "alert"
    assert found.sentence.startswith("estimated auc 0.6")
    assert "before release 0.8 (0.79 to 0.81): worse, the whole interval is beyond 0.79" in found.sentence
    assert "a changed relation of inputs and labels does not show in it" in found.sentence
    (cause,) = found.causes
    assert (cause.kind, cause.about, cause.rows, cause.before) == ("estimated quality", "auc", 5_000, 0.79)
    assert cause.low is not None
    assert cause.value is not None
    assert cause.low < cause.value < 0.79


@pytest.mark.parametrize("sd", [1.5, 2.5])
def test_what_is_as_good_or_better_is_no_alert_and_no_reassurance(sd: float) -> None:
    found = judged(sd if sd == 1.5 else 1.7)
    assert found.state == "ok"
    assert "if what was learnt still holds" in found.sentence
    assert not found.causes


def test_it_cannot_tell_outside_what_was_learnt_from_or_without_rows() -> None:
    found = judged(0.7, beyond=0.06)
    assert found.state == "cannot tell"
    assert "6% of 5,000 predictions lie outside what it learnt from, and 5% is the most" in found.sentence
    assert judged(0.7, beyond=0.04).state == "alert"
    assert judged(0.7, rows=150).state == "cannot tell"
    assert judged(0.7, labelled=None).state == "cannot tell"
    assert judged(0.7, reference=None).state == "cannot tell"
    few = Labelled(labels=LABELS[:100], scores=SCORES[:100], source="")
    assert "100 labelled rows are too few to calibrate by" in judged(0.7, labelled=few).sentence
    some = Labelled(labels=LABELS[:1_000], scores=SCORES[:1_000], inputs={"size": SIZE[:1_000]}, source="")
    assert judged(0.7, labelled=some).state != "cannot tell"
    assert "would tell as much, had they the scores of these; 200 are needed" in judged(0.02, labelled=some).sentence


def test_without_a_figure_to_compare_with_it_is_a_note() -> None:
    assert judged(0.7, evaluation=()).state == "note"


def test_a_regression_is_estimated_by_its_error() -> None:
    truth = SCORES + np.random.default_rng(5).normal(size=SCORES.size) * np.exp(SCORES) / 4
    found = judged(1.5, "mae", labelled=Labelled(labels=truth, scores=SCORES, inputs={"size": SIZE}, source=""))
    assert found.state == "ok"
    assert found.values["value"] == pytest.approx(np.abs(truth - SCORES).mean(), abs=0.02)


@pytest.mark.parametrize("metric", ["mae", "auc"])
def test_inputs_that_moved_are_in_the_estimate(metric: str) -> None:
    """The model is as wrong as an input is great; its scores say nothing of that."""
    random = np.random.default_rng(6)
    size, odds = random.normal(size=5_000), random.normal(size=5_000)
    chances = 1 / (1 + np.exp(-odds * (1 - 0.3 * size)))
    truth = (
        (random.random(5_000) < chances) if metric == "auc" else odds + random.normal(size=5_000) * np.exp(0.4 * size)
    )
    scores = 1 / (1 + np.exp(-odds)) if metric == "auc" else odds
    known = Labelled(labels=truth.astype(float), scores=scores, inputs={"size": size}, source="")
    reference = profile({"size": np.append(size, 9.0)})
    rows = pl.DataFrame({"score": scores, "size": size + 1.0, "at": [NOW] * 5_000})
    found = [
        estimate_of(rows, columns, EstimatedQuality(metric).spec(), known, reference, decision=Decision())[0]
        for columns in (profile_columns(rows, reference), {})
    ]
    loss = (found[0].value - found[1].value) * (1 if metric == "mae" else -1)
    assert loss > 0.04
    assert found[0].high - found[0].low > found[1].high - found[1].low


def test_declarations_refuse_what_cannot_be_estimated() -> None:
    assert EstimatedQuality("auc").spec().name == "estimated auc"
    with pytest.raises(InvalidDeclaration, match="'r2' cannot be estimated without labels"):
        EstimatedQuality("r2")
    with pytest.raises(InvalidDeclaration):
        EstimatedQuality("auc", window="soon")
