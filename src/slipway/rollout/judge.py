"""What the evidence shows at one look: pure functions of frames and the declared phase.

Quality is judged in shadow, by labels, both models on the same rows; failures are judged in the canary, each arm beside
the other. Both verdicts hold however often one looks. "Not worse" has to be shown: nothing bad seen is "undecided".
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.records.rollouts import CanarySpec, Look, RolloutVerdict, ShadowSpec
from slipway.schema.durations import in_words
from slipway.stats.classification import log_losses
from slipway.stats.evidence import (
    MeanBounds,
    difference_bound,
    mean_radius,
    mean_sequence,
    rows_factor,
    two_sample_bernoulli,
)

__all__ = ["is_overdue", "judge_canary", "judge_shadow"]

_MOST_DAYS_MORE = 365
_ARMS = ("champion_failures", "champion_rows", "challenger_failures", "challenger_rows")


def judge_shadow(
    spec: ShadowSpec, pairs: pl.DataFrame, *, since: datetime, now: datetime, label_delay: timedelta = timedelta(0)
) -> Look:
    """Is the challenger's loss greater than the champion's on the same rows, and by how much at most?

    Blocks are UTC days that are over and whose labels have had their time: a day under way would be a block of its
    mornings, and labels that come early are no sample of all: what is late is known late.

    Args:
        spec: The phase as declared.
        pairs: One row a labelled decision: `at` (decision time), `label` (0 or 1), `champion` and `challenger` (scores),
            `source` ("live", or "replayed": decided before the shadow began, and scored by both from the log). The
            challenger must not have been trained on any of them. A score that is null or not finite is a failure.
        since: When the shadow began, business time.
        now: Business time.
        label_delay: How long a label may take after its decision.

    Returns:
        A look whose values hold the sums and counts of each day, so that it can be judged again.
    """
    fitting = pairs.filter(
        pl.col("label").cast(pl.Float64).is_in([0.0, 1.0])
        & pl.col("champion").is_finite()
        & pl.col("challenger").is_finite()
    )
    over = fitting.filter(pl.col("at").dt.date() < (now - label_delay).astimezone(UTC).date())
    days, sums, counts = _by_day(over, spec.metric)
    found = mean_sequence(sums, counts, alpha=spec.alpha)
    live = over.filter(pl.col("source") == "live").height
    missing = _missing_in_shadow(spec, found, live, now - since)
    failures = _failures(pairs, spec.alpha)
    verdict: RolloutVerdict = (
        "worse" if found.low > 0 or failures.are_shown else "undecided" if missing else "not worse"
    )
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
        "difference": _plain(found.value),
        "low": _plain(found.low),
        "high": _plain(found.high),
        "spread": _plain(found.spread),
        "is_overdue": is_overdue(spec, since, now),
    }
    told = failures.words if failures.are_shown else _verdict_words(verdict, spec, missing)
    sentence = " ".join(part for part in (_shadow_words(values), told) if part)
    return Look(at=now, phase="shadow", verdict=verdict, sentence=_dated(sentence, spec, since, now), values=values)


def judge_canary(
    spec: CanarySpec,
    counts: pl.DataFrame,
    *,
    step: int,
    since: datetime,
    now: datetime,
    took_ms: tuple[float, float] | None = None,
    in_simulation: bool = False,
) -> Look:
    """Does the challenger fail more often than the champion beside it, and by how much more at most?

    Args:
        spec: The phase as declared.
        counts: One row a block of time, in order, of the whole canary, earlier steps included: `at` (its beginning),
            `champion_rows`, `champion_failures`, `challenger_rows`, `challenger_failures`. A block should be short
            enough that both arms saw the same troubles in it.
        step: The present step, counted from 0.
        since: When the step began, business time.
        now: Business time.
        took_ms: Median time of an answer, champion's and challenger's, where it was measured; told and not judged.
        in_simulation: Whether business time is simulated: then the measured times are not those of the traffic.

    Returns:
        A look whose values hold the counts of each block, so that it can be judged again.
    """
    blocks = [counts[name].to_numpy() for name in _ARMS]
    evidence = float(max([0.0, *two_sample_bernoulli(*blocks)]))
    bound = difference_bound(*blocks, alpha=spec.alpha)
    rows_since = int(counts.filter(pl.col("at") >= since)["challenger_rows"].sum())
    missing = _missing_in_canary(spec, blocks, bound, rows_since, step)
    is_worse = evidence >= math.log(1 / spec.alpha)
    verdict: RolloutVerdict = "worse" if is_worse else "undecided" if missing else "not worse"
    values: dict[str, Any] = {
        "percent": spec.steps[step],
        "margin": spec.margin,
        "alpha": spec.alpha,
        "at": [at.isoformat() for at in counts["at"]],
        **{name: counts[name].to_list() for name in _ARMS},
        "log_e": evidence,
        "bound": bound,
        "rows_since": rows_since,
        "took_ms": [_plain(each) for each in took_ms] if took_ms else None,
        "is_overdue": is_overdue(spec, since, now),
    }
    told = [_canary_words(spec.steps[step], blocks)]
    if is_worse:
        odds = "more than a million" if evidence > math.log(1e6) else f"{math.exp(evidence):,.0f}"
        told.append(
            f"Worse: the evidence that it fails more often is {odds} to 1; {1 / spec.alpha:,.0f} to 1 stops it."
        )
    elif missing:
        told.append(f"Undecided: {'; '.join(missing)}.")
    else:
        told.append(
            f"Not worse: its share is at most {_points(bound)} greater, less than the margin of {_points(spec.margin)}."
        )
    told.append(_latency_words(took_ms, in_simulation))
    sentence = _dated(" ".join(part for part in told if part), spec, since, now)
    return Look(at=now, phase="canary", step=step, verdict=verdict, sentence=sentence, values=values)


def is_overdue(spec: ShadowSpec | CanarySpec, since: datetime, now: datetime) -> bool:
    """Whether a phase, or a canary's step, has had all the time that was declared for it.

    Args:
        spec: The phase.
        since: When it, or its present step, began.
        now: Business time.
    """
    return now - since >= timedelta(microseconds=spec.deadline_us)


class _Failures(NamedTuple):
    failed: int
    asked: int
    are_shown: bool

    @property
    def words(self) -> str:
        return f"Worse: it failed on {self.failed:,} of {self.asked:,} rows that the champion could score."


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
    return log_losses(truth, scores) if metric == "log_loss" else np.asarray((scores - truth) ** 2)


def _missing_in_shadow(spec: ShadowSpec, found: MeanBounds, live: int, elapsed: timedelta) -> list[str]:
    """What has still to be shown before the challenger may go on, in words."""
    missing = []
    if found.note:
        missing.append(
            "no day with labelled rows of both is over yet"
            if not found.blocks
            else f"{_days(found.blocks)} with labels, of at least 7 that are needed"
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
    bounds = "" if values["low"] is None else f" (from {_side(values['low'])} to {_side(values['high'])})"
    is_equal = abs(values["difference"]) < 1e-9
    beside = "equals the champion's" if is_equal else f"is {_side(values['difference'])} than the champion's"
    said = (
        f"The challenger's {name} {beside}{bounds} on "
        f"{sum(values['counts']):,} rows of {_days(len(values['days']))}: {values['live']:,} live, "
        f"{values['replayed']:,} replayed."
    )
    if values["left_out"]:
        said += f" {values['left_out']:,} rows without a label of 0 or 1, or without a score, are left out."
    return said


def _verdict_words(verdict: RolloutVerdict, spec: ShadowSpec, missing: list[str]) -> str:
    if verdict == "worse":
        return "Worse: all of that range is on the higher side."
    if verdict == "not worse":
        return f"Not worse: all of that range is below the margin of {spec.margin:g}."
    return f"Undecided: {'; '.join(missing)}."


def _missing_in_canary(
    spec: CanarySpec, blocks: list[NDArray[np.float64]], bound: float, rows_since: int, step: int
) -> list[str]:
    missing = []
    rows = int(blocks[3].sum())
    if not rows:
        beside = (100 - spec.steps[step]) / spec.steps[step]
        least = math.ceil(rows_factor(0, beside, 0, 1, margin=spec.margin, alpha=spec.alpha))
        return [f"it has answered no row yet; at the least about {least:,} rows without a failure are needed"]
    if not bound < spec.margin:
        factor = rows_factor(*blocks, margin=spec.margin, alpha=spec.alpha)
        more = (
            "and at these shares no number of rows will exclude it"
            if math.isinf(factor)
            else f"about {max(1, math.ceil((factor - 1) * rows)):,} more rows of the challenger at these shares would do it"
        )
        missing.append(f"its share may be up to {_points(bound)} greater, the margin is {_points(spec.margin)}, {more}")
    if not rows_since:
        missing.append(f"it has answered no row since the step of {spec.steps[step]}% began")
    return missing


def _canary_words(percent: int, blocks: list[NDArray[np.float64]]) -> str:
    champion_failures, champion_rows, failures, rows = (int(each.sum()) for each in blocks)
    if not rows:
        return ""
    said = f"At {percent}%: the challenger failed on {failures:,} of {rows:,} rows ({failures / rows:.1%})"
    if not champion_rows:
        return f"{said}; the champion answered none to compare with."
    beside = f"{champion_failures:,} of {champion_rows:,} ({champion_failures / champion_rows:.1%})"
    return f"{said}, the champion on {beside}, since the canary began."


def _latency_words(took_ms: tuple[float, float] | None, in_simulation: bool) -> str:
    if not took_ms or not all(math.isfinite(each) for each in took_ms):
        return ""
    if in_simulation:  # what machine time says must not differ between two runs of one seed
        return "Latency is measured, not judged in simulation."
    champion, challenger = took_ms
    return f"An answer took {challenger:.3g} ms, the champion's {champion:.3g} ms (medians, measured, not judged yet)."


def _dated(sentence: str, spec: ShadowSpec | CanarySpec, since: datetime, now: datetime) -> str:
    if not is_overdue(spec, since, now):
        return sentence
    return f"{sentence} The deadline of {in_words(spec.deadline_us)} has passed."


def _side(difference: float) -> str:
    return f"{abs(difference):.3g} {'lower' if difference < 0 else 'higher'}"


def _points(share: float) -> str:
    return f"{100 * share:.3g} percentage points"


def _days(number: int) -> str:
    return f"{number:,} day{'' if number == 1 else 's'}"


def _plain(value: float) -> float | None:
    # The ledger keeps JSON, which has no NaN and no infinity.
    return float(value) if math.isfinite(value) else None
