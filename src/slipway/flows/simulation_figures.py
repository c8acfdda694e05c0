"""The figures of a simulation: the same rows scored by three policies, month by month and promotion by promotion.

Pure: frames and scores in, records out. A day (in UTC) is one trial wherever an interval is given, for the rows of one
day share its weather.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.records.models import Decision
from slipway.records.rollouts import Rollout
from slipway.records.simulations import SLIPWAY, Figures, Month, Promotion, Worth
from slipway.stats.blocks import mean_by_blocks
from slipway.stats.classification import auc, log_losses
from slipway.stats.estimate import Estimate
from slipway.stats.metrics import CostMatrix, costs

__all__ = ["ALL", "Reign", "cost_of", "hindsight", "months", "reigns", "worth"]

ALL = "all"
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """The time from one promotion to the next.

    Args:
        version: The promoted model version.
        replaced: The version before it.
        at: When it took over.
        until: When the next one did, or the period ended.
    """

    version: int
    replaced: int
    at: datetime
    until: datetime


def months(answered: pl.DataFrame, scores: Mapping[str, Scores], decision: Decision) -> tuple[tuple[Month, ...], Month]:
    """The figures of each month (of UTC), and of the whole period.

    Args:
        answered: All rows that were asked, with `at`, `score` (what was really answered), `version` and `label` (null
            where none has come).
        scores: By policy, what it would have given to the same rows from the same inputs, parallel to `answered`; what
            it says of rows without a label counts for nothing. Slipway's own scores are those answered.
        decision: What is done with a score: its threshold and its costs.
    """
    names = answered["at"].dt.strftime("%Y-%m").to_numpy()
    every = {**scores, SLIPWAY: answered["score"].to_numpy()}
    found = [
        _month(str(name), answered, names == name, every, decision)
        for name in answered["at"].dt.strftime("%Y-%m").unique().sort()
    ]
    return tuple(found), _month(ALL, answered, np.ones(answered.height, dtype=np.bool_), every, decision)


def _month(
    name: str, answered: pl.DataFrame, inside: NDArray[np.bool_], scores: Mapping[str, Scores], decision: Decision
) -> Month:
    labels = _labels(answered)
    judged = inside & np.isfinite(labels)
    truth = labels[judged]
    versions = answered.filter(pl.Series(inside)).sort("at", maintain_order=True)["version"]
    return Month(
        name=name,
        asked=int(inside.sum()),
        labelled=truth.size,
        rate=_mean(truth),
        figures={policy: _figures(truth, values[judged], decision) for policy, values in scores.items()},
        versions=tuple(versions.unique(maintain_order=True).to_list()),
    )


def _figures(labels: Scores, scores: Scores, decision: Decision) -> Figures:
    price = cost_of(labels, scores, decision)
    return Figures(
        log_loss=_mean(log_losses(labels, scores)),
        calibration=_mean(scores - labels),
        auc=auc(labels, scores),
        cost=math.nan if price is None or not labels.size else float(price.sum()),
    )


def cost_of(labels: Scores, scores: Scores, decision: Decision) -> Scores | None:
    """What the decision upon each row's score costs, None where threshold or costs are not stated."""
    if decision.threshold is None or not decision.costs:
        return None
    return costs(labels, scores, decision.threshold, CostMatrix(**decision.costs))


def worth(answered: pl.DataFrame, scores: Mapping[str, Scores], decision: Decision) -> tuple[Worth, ...]:
    """What Slipway's answers were worth against each other policy's on the same labelled rows; see `months`."""
    labels = _labels(answered)
    judged = np.isfinite(labels)
    truth, own, days = labels[judged], answered["score"].to_numpy()[judged], _days(answered)[judged]
    return tuple(_worth(name, truth, own, values[judged], days, decision) for name, values in scores.items())


def _worth(
    other: str, labels: Scores, own: Scores, others: Scores, days: NDArray[np.int64], decision: Decision
) -> Worth:
    loss = mean_by_blocks(log_losses(labels, own) - log_losses(labels, others), days)
    price, dearer = cost_of(labels, own, decision), cost_of(labels, others, decision)
    money = Estimate(value=math.nan) if price is None or dearer is None else mean_by_blocks(price - dearer, days)
    return Worth(
        other=other,
        log_loss=loss.value,
        log_loss_low=loss.low,
        log_loss_high=loss.high,
        cost=money.value * labels.size,
        cost_low=money.low * labels.size,
        cost_high=money.high * labels.size,
    )


def reigns(rollouts: Sequence[Rollout], until: datetime) -> tuple[Reign, ...]:
    """The reigns of the models that roll-outs promoted, in order.

    Args:
        rollouts: All roll-outs of an endpoint, in any order.
        until: When the period ends.
    """
    promoted = ((one.ended_at, one) for one in rollouts if one.state == "promoted")
    taken = sorted(((at, one) for at, one in promoted if at is not None and at < until), key=lambda pair: pair[0])
    ends = [*(at for at, _ in taken[1:]), until]
    return tuple(
        Reign(version=one.challenger.number, replaced=one.champion.number, at=at, until=end)
        for (at, one), end in zip(taken, ends, strict=False)
    )


def hindsight(answered: pl.DataFrame, reign: Reign, promoted: Scores, replaced: Scores) -> Promotion:
    """A promoted model against the one that it replaced, on the labelled rows of its reign.

    Args:
        answered: The rows of the reign, with `at` and `label`.
        reign: Whose rows these are.
        promoted: The scores of the promoted model, parallel to `answered`.
        replaced: The scores of the model before it, from the same inputs.
    """
    labels = _labels(answered)
    judged = np.isfinite(labels)
    truth = labels[judged]
    found = mean_by_blocks(
        log_losses(truth, promoted[judged]) - log_losses(truth, replaced[judged]), _days(answered)[judged]
    )
    return Promotion(
        version=reign.version,
        replaced=reign.replaced,
        at=reign.at,
        until=reign.until,
        rows=truth.size,
        log_loss=found.value,
        low=found.low,
        high=found.high,
        verdict=_verdict(found),
    )


def _verdict(found: Estimate) -> Literal["better", "worse", "cannot tell"]:
    if found.high < 0:
        return "better"
    return "worse" if found.low > 0 else "cannot tell"


def _labels(answered: pl.DataFrame) -> Scores:
    """The labels, NaN where none has come."""
    return np.asarray(answered["label"].cast(pl.Float64).to_numpy(), dtype=np.float64)


def _days(answered: pl.DataFrame) -> NDArray[np.int64]:
    return np.asarray(answered["at"].dt.epoch("d").to_numpy(), dtype=np.int64)


def _mean(values: Scores) -> float:
    return float(values.mean()) if values.size else math.nan
