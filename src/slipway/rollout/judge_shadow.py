"""What a shadow shows at one look: is the challenger worse on the very rows that the champion answered?

Quality is judged by labels, both models on the same rows. The verdict holds however often one looks. "Not worse" has to
be shown: nothing bad seen is "undecided".
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.records.rollouts import Look, RolloutVerdict, ShadowSpec
from slipway.rollout.judge_unseen import Unseen, Vetoes, judge_unseen, unseen_words
from slipway.rollout.looks import dated, in_days, is_overdue, plain, side
from slipway.schema.durations import in_words
from slipway.stats.classification import log_losses
from slipway.stats.evidence import MeanBounds, mean_radius, mean_sequence, two_sample_bernoulli

__all__ = ["judge_shadow"]

_MOST_DAYS_MORE = 365
_OF_CLASSES = ("brier", "log_loss")


def judge_shadow(
    spec: ShadowSpec,
    pairs: pl.DataFrame,
    *,
    since: datetime,
    now: datetime,
    label_delay: timedelta = timedelta(0),
    unseen: Unseen | None = None,
    in_simulation: bool = False,
) -> Look:
    """Is the challenger's loss greater than the champion's on the same rows, and by how much at most?

    Blocks are UTC days that are over and whose labels have had their time: a day under way would be a block of its
    mornings, and labels that come early are no sample of all: what is late is known late.

    Args:
        spec: The phase as declared.
        pairs: One row a labelled decision: `at` (decision time), `label` (0 or 1; of a regression any number), `champion` and `challenger` (scores),
            `source` ("live", or "replayed": decided before the shadow began, and scored by both from the log). The
            challenger must not have been trained on any of them. A score that is null or not finite is a failure.
        since: When the shadow began, business time.
        now: Business time.
        label_delay: How long a label may take after its decision.
        unseen: What both models made of the rows since it began, labelled or not.
        in_simulation: Then machine time is not judged.

    Returns:
        A look whose values hold the sums and counts of each day, so that it can be judged again.
    """
    fitting = _fitting(spec, pairs)
    over = fitting.filter(pl.col("at").dt.date() < (now - label_delay).astimezone(UTC).date())
    days, sums, counts = _by_day(over, spec.metric)
    found = mean_sequence(sums, counts, alpha=spec.alpha)
    missing = _missing_in_shadow(spec, found, live := over.filter(pl.col("source") == "live").height, now - since)
    failures, vetoes, against = _against(spec, pairs, unseen, in_simulation)
    verdict: RolloutVerdict = "worse" if found.low > 0 or against else "undecided" if missing else "not worse"
    values: dict[str, Any] = {
        "metric": spec.metric,
        "margin": spec.margin,
        "alpha": spec.alpha,
        "days": days,
        "sums": sums,
        "counts": counts,
        "live": live,
        "replayed": over.height - live,
        "left_out": pairs.height - fitting.height,
        "failed": failures.failed,
        "asked": failures.asked,
        "waiting": fitting.height - over.height,
        "difference": plain(found.value),
        "low": plain(found.low),
        "high": plain(found.high),
        "spread": plain(found.spread),
        "is_overdue": is_overdue(spec, since, now),
        **(vetoes.values if vetoes else {}),
    }
    beside = "" if vetoes is None else unseen_words(values["unseen"], None if in_simulation else values["took"])
    said = (_shadow_words(values), beside, *(against or [_verdict_words(verdict, spec, missing)]))
    sentence = " ".join(part for part in said if part)
    return Look(at=now, phase="shadow", verdict=verdict, sentence=dated(sentence, spec, since, now), values=values)


def _fitting(spec: ShadowSpec, pairs: pl.DataFrame) -> pl.DataFrame:
    """The rows on which losses can be compared."""
    label = pl.col("label").cast(pl.Float64)
    return pairs.filter(
        (label.is_in([0.0, 1.0]) if spec.metric in _OF_CLASSES else label.is_finite())
        & pl.col("champion").is_finite()
        & pl.col("challenger").is_finite()
    )


class _Failures(NamedTuple):
    failed: int
    asked: int
    are_shown: bool

    @property
    def words(self) -> str:
        return f"Worse: it failed on {self.failed:,} of {self.asked:,} rows that the champion could score."


def _against(
    spec: ShadowSpec, pairs: pl.DataFrame, unseen: Unseen | None, in_simulation: bool
) -> tuple[_Failures, Vetoes | None, list[str]]:
    """What speaks against the challenger whatever its losses are."""
    # What failed since the shadow began is judged with all its rows, also those without a label.
    failures = _failures(pairs if unseen is None else pairs.filter(pl.col("source") == "replayed"), spec.alpha)
    vetoes = None if unseen is None else judge_unseen(spec, unseen, in_simulation=in_simulation)
    against = [failures.words] if failures.are_shown else []
    against += vetoes.said if vetoes else []
    return failures, vetoes, against


def _failures(pairs: pl.DataFrame, alpha: float) -> _Failures:
    """On how many of the rows that the champion scored the challenger failed: what it scores may be the easy ones."""
    asked = pairs.filter(pl.col("champion").is_finite())
    failed = ~pl.col("challenger").is_finite().fill_null(value=False)
    days = asked.group_by(pl.col("at").dt.date()).agg(pl.len().alias("rows"), failed.sum().alias("failed")).sort("at")
    counts, failures = days["rows"].to_numpy(), days["failed"].to_numpy()
    none = np.zeros(days.height)
    log_e = float(max([0.0, *two_sample_bernoulli(none, counts, failures, counts)]))
    return _Failures(int(failures.sum()), asked.height, log_e >= math.log(1 / alpha))


def _by_day(pairs: pl.DataFrame, metric: str) -> tuple[list[str], list[float], list[int]]:
    """By UTC day the sum of the differences of losses and the rows; exact sums, so that no order of rows matters."""
    ordered = pairs.with_columns(day=pl.col("at").dt.date()).sort("day")
    truth, champion, challenger = (
        ordered[name].cast(pl.Float64).to_numpy() for name in ("label", "champion", "challenger")
    )
    more = _losses(metric, truth, challenger) - _losses(metric, truth, champion)
    days = ordered["day"].to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1]))) if days.size else np.array([], dtype=int)
    ends = [*starts[1:].tolist(), days.size]
    spans = list(zip(starts.tolist(), ends, strict=False))
    return (
        [str(days[start]) for start, _ in spans],
        [math.fsum(more[start:end].tolist()) for start, end in spans],
        [end - start for start, end in spans],
    )


def _losses(metric: str, truth: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if metric == "log_loss":
        return log_losses(truth, scores)
    return np.abs(scores - truth) if metric == "absolute_error" else np.asarray((scores - truth) ** 2)


def _missing_in_shadow(spec: ShadowSpec, found: MeanBounds, live: int, elapsed: timedelta) -> list[str]:
    """What has still to be shown before the challenger may go on, in words."""
    missing = []
    if found.note:
        missing.append(
            "no day with labelled rows of both is over yet"
            if not found.blocks
            else f"{in_days(found.blocks)} with labels, of at least 7 that are needed"
        )
    elif not found.high < spec.margin:
        missing.append(f"that it is worse by {spec.margin:g} is not excluded yet, {_more_days(found, spec)}")
    if not live:
        missing.append("no row that was decided since the shadow began is among them")
    if elapsed < timedelta(microseconds=spec.min_us):
        left = spec.min_us - elapsed // timedelta(microseconds=1)
        missing.append(f"{in_words(left)} are left of the {in_words(spec.min_us)} that it has to run")
    return missing


def _more_days(found: MeanBounds, spec: ShadowSpec) -> str:
    for more in range(1, _MOST_DAYS_MORE + 1):
        if found.value + found.spread * mean_radius(found.blocks + more, alpha=spec.alpha) < spec.margin:
            return f"about {more:,} more day{'' if more == 1 else 's'} at this difference and spread would do it"
    return "and at this difference and spread a year would not do it"


def _shadow_words(values: dict[str, Any]) -> str:
    if values["difference"] is None:
        return ""
    name = values["metric"].replace("_", " ")
    bounds = "" if values["low"] is None else f" (from {side(values['low'])} to {side(values['high'])})"
    is_equal = abs(values["difference"]) < 1e-9
    beside = "equals the champion's" if is_equal else f"is {side(values['difference'])} than the champion's"
    said = (
        f"The challenger's {name} {beside}{bounds} on "
        f"{sum(values['counts']):,} rows of {in_days(len(values['days']))}: {values['live']:,} live, "
        f"{values['replayed']:,} replayed."
    )
    if values["left_out"]:
        said += (
            f" {values['left_out']:,} rows without a label {_fit(values['metric'])}, or without a score, are left out."
        )
    return said


def _fit(metric: str) -> str:
    return "of 0 or 1" if metric in _OF_CLASSES else "that is a number"


def _verdict_words(verdict: RolloutVerdict, spec: ShadowSpec, missing: list[str]) -> str:
    if verdict == "worse":
        return "Worse: all of that range is on the higher side."
    if verdict == "not worse":
        return f"Not worse: all of that range is below the margin of {spec.margin:g}."
    return f"Undecided: {'; '.join(missing)}."
