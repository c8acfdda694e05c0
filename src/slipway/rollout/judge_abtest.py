"""What an A/B test shows at one look: is an arm worth more than the control, by entities whose outcome is known?

An entity's rows are not independent, so its mean is one value. Its outcome is that of its first answers within the window,
by the labels that came in it, and counts when the window is over: it never changes afterwards. An entity stays in its arm
also where that arm's model failed and the champion answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import NormalDist

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.records.abtests import ABLook, ABTest, ABTestSpec, ABVerdict, ArmResult, ArmVerdict
from slipway.rollout.abtest_words import recommendation, split_told, unknown
from slipway.rollout.looks import plain
from slipway.stats.evidence import (
    FEWEST_UNITS,
    DifferenceBounds,
    difference_sequence,
    mean_radius,
    planned_boundaries,
    sample_ratio,
)

__all__ = ["CONTROL", "judge_abtest"]

CONTROL = "champion"
_BROKEN = math.log(1 / 0.001)
_MONTH = timedelta(days=30)
_TUNED_FOR, _MOST = 1_000, 1e9


def judge_abtest(test: ABTest, rows: pl.DataFrame, *, now: datetime) -> ABLook | None:
    """Look at an A/B test.

    Args:
        test: Under way.
        rows: What was answered under it: `entity`, `arm`, `at` (decision time), `value` (of the metric, null without a
            label), `labelled_at`, `covariate` (null where there is none), `covered` (whether the champion answered because
            the arm's model failed), `log_share` (how likely such a row was to be logged; 1 where there is no such
            column).
        now: Business time.

    Returns:
        None where the clock stands before the last look, or before the next planned one: nothing is judged then.
    """
    spec = test.spec
    if (test.looks and now < test.looks[-1].at) or not _is_due(test, now):
        return None  # a clock that was put back tells nothing new
    if test.looks and test.looks[-1].verdict == "void":  # what was broken once stays broken
        return msgspec.structs.replace(test.looks[-1], at=now)
    names = [CONTROL, *(arm.name for arm in test.arms)]
    rows = rows.filter((pl.col("at") >= test.created_at) & (pl.col("at") <= now))
    units = _units(rows, spec, now)
    measured = units.filter(pl.col("is_over") & pl.col("value").is_not_null())
    known = {name: measured.filter(pl.col("arm") == name) for name in names}
    arms = [
        ArmResult(name=name, assigned=units.filter(pl.col("arm") == name).height, measured=known[name].height)
        for name in names
    ]
    broken = _broken(test, rows, units, arms)
    if broken:
        return ABLook(at=now, verdict="void", sentence=broken, arms=tuple(arms))
    days = max((now - test.created_at) / timedelta(days=1), 1 / 24)
    month = _answered(rows) / days * (_MONTH / timedelta(days=1))
    covered = dict(rows.filter("covered").group_by("arm").len().iter_rows())
    found = {arm.name: _against(test, known[CONTROL], known[arm.name], now) for arm in test.arms}
    results = [msgspec.structs.replace(arms[0], mean=_mean(known[CONTROL]))]
    for arm in arms[1:]:
        one = msgspec.structs.replace(arm, mean=_mean(known[arm.name]), covered=int(covered.get(arm.name, 0)))
        results.append(_result(one, found[arm.name], spec, month))
    more, in_days = _more(test, found, results, units.height / days)
    verdicts = {one.verdict for one in results[1:]}
    verdict: ABVerdict = "decided" if "better" in verdicts or "undecided" not in verdicts else "undecided"
    over = now - test.created_at >= timedelta(microseconds=spec.deadline_us)
    return ABLook(
        at=now,
        verdict=verdict,
        sentence=recommendation(spec, results, verdict, more, in_days, is_overdue=over),
        arms=tuple(results),
        more_entities=more,
        more_days=in_days,
        unknown=unknown(spec, results, {name: one.note for name, one in found.items()}, labelled=_labelled(units)),
        rows_a_month=month,
        narrower=max((one.saved for one in found.values()), default=0.0),
    )


def _answered(rows: pl.DataFrame) -> float:
    """How many rows were answered, of which a share may be logged."""
    return float((1 / rows["log_share"]).sum()) if "log_share" in rows.columns else float(rows.height)


def _is_due(test: ABTest, now: datetime) -> bool:
    """Whether a look may be taken: at any time, or once after each planned time."""
    planned = test.spec.looks_us
    passed = [at for at in planned if now - test.created_at >= timedelta(microseconds=at)]
    if not planned:
        return True
    return bool(passed) and not (
        test.looks and test.looks[-1].at - test.created_at >= timedelta(microseconds=passed[-1])
    )


def _broken(test: ABTest, rows: pl.DataFrame, units: pl.DataFrame, arms: Sequence[ArmResult]) -> str:
    """Why the split is not what was declared, "" where it is."""
    fractions = [arm.fraction for arm in test.arms]
    shares = [1 - sum(fractions), *fractions]
    return split_told(
        arms,
        shares,
        two=units.filter(pl.col("arms") > 1).height,
        strangers=rows.filter(~pl.col("arm").is_in([arm.name for arm in arms])).height,
        assigned_broken=_is_broken([arm.assigned for arm in arms], shares),
        measured_broken=_is_broken([arm.measured for arm in arms], shares),
    )


def _is_broken(counts: Sequence[int], shares: Sequence[float]) -> bool:
    return bool(sample_ratio([counts], shares)[-1] >= _BROKEN)


def _units(rows: pl.DataFrame, spec: ABTestSpec, now: datetime) -> pl.DataFrame:
    """One row an entity: `arm`, `arms` (how many it was seen in), `is_over`, `value` and `covariate`."""
    window = pl.duration(microseconds=spec.window_us)
    first = rows.group_by("entity").agg(begun=pl.col("at").min(), arms=pl.col("arm").n_unique())
    joined = rows.join(first, on="entity", how="left").sort("at", maintain_order=True)
    ends = pl.col("begun") + window
    in_time = (pl.col("at") < ends) & (pl.col("labelled_at") <= ends)
    return joined.group_by("entity", maintain_order=True).agg(
        arm=pl.col("arm").first(),
        arms=pl.col("arms").first(),
        is_over=(pl.col("begun").first() + window) <= pl.lit(now),
        value=pl.col("value").filter(in_time).mean(),
        covariate=pl.col("covariate").first(),
    )


def _labelled(units: pl.DataFrame) -> float:
    """The share of the entities whose window is over that have a label."""
    over = units.filter("is_over")
    return 1 - over["value"].null_count() / over.height if over.height else math.nan


def _side_alpha(test: ABTest) -> float:
    """Of one bound of one arm: the arms share alpha, and each arm's two bounds its part."""
    return test.spec.alpha / len(test.arms) / 2


def _against(test: ABTest, control: pl.DataFrame, arm: pl.DataFrame, now: datetime) -> DifferenceBounds:
    values = [one["value"].cast(pl.Float64).to_numpy() for one in (control, arm)]
    covariates = _covariates(control, arm) if test.spec.covariate else [None, None]
    found = difference_sequence(
        *values, alpha=_side_alpha(test), covariates_a=covariates[0], covariates_b=covariates[1]
    )
    if not test.spec.looks_us or not math.isfinite(found.low):
        return found
    half = _boundary(test, now) * found.error
    return msgspec.structs.replace(found, low=found.value - half, high=found.value + half)


def _boundary(test: ABTest, now: datetime) -> float:
    """The z-value of this planned look; one that nobody took spends nothing."""
    last = test.spec.looks_us[-1]
    taken = [*(look.at for look in test.looks), now]
    at = [
        max(one for one in test.spec.looks_us if instant - test.created_at >= timedelta(microseconds=one))
        for instant in taken
    ]
    window = test.spec.window_us  # what is known of units begins one window after the test
    fractions = [(one - window) / (last - window) for one in at]
    return float(planned_boundaries(fractions, alpha=_side_alpha(test), spending="obrien_fleming")[-1])


def _covariates(control: pl.DataFrame, arm: pl.DataFrame) -> list[NDArray[np.float64] | None]:
    """Of each side; a missing one is the mean of both sides, and a second column says that it was missing."""
    sides = [one["covariate"].cast(pl.Float64).fill_nan(None) for one in (control, arm)]
    usual = pl.concat(sides).mean()
    if not isinstance(usual, float):
        return [None, None]
    return [
        np.column_stack([one.fill_null(usual).to_numpy(), one.is_null().cast(pl.Float64).to_numpy()]) for one in sides
    ]


def _mean(units: pl.DataFrame) -> float | None:
    mean = units["value"].cast(pl.Float64).mean()
    return float(mean) if isinstance(mean, float) else None


def _result(arm: ArmResult, found: DifferenceBounds, spec: ABTestSpec, month: float) -> ArmResult:
    return msgspec.structs.replace(
        arm,
        effect=plain(found.value),
        low=plain(found.low),
        high=plain(found.high),
        verdict=_verdict(found, spec),
        month=plain(found.value * month),
        month_low=plain(found.low * month),
        month_high=plain(found.high * month),
    )


def _verdict(found: DifferenceBounds, spec: ABTestSpec) -> ArmVerdict:
    is_above, is_below = found.low > 0, found.high < 0
    if is_above or is_below:
        return "better" if is_above == (spec.better == "higher") else "worse"
    return "alike" if max(-found.low, found.high) < spec.minimal_effect else "undecided"


def _more(
    test: ABTest, found: Mapping[str, DifferenceBounds], results: Sequence[ArmResult], a_day: float
) -> tuple[int | None, float | None]:
    """How many more entities of all arms would show the least difference that matters, and in how many days."""
    still_open = [found[one.name] for one in results[1:] if one.verdict == "undecided"]
    factor = max((_factor(test, one) for one in still_open), default=0.0)
    if not math.isfinite(factor):
        return None, None
    more = math.ceil(sum(one.measured for one in results) * max(factor - 1, 0.0))
    more = max(more, 1) if still_open else 0
    return more, more / a_day if a_day else None


def _factor(test: ABTest, found: DifferenceBounds) -> float:
    """How many times as many entities would bring the bounds to within the least effect; infinity where nobody knows."""
    effect, alpha = test.spec.minimal_effect, _side_alpha(test)
    if not math.isfinite(found.error) or min(found.units_a, found.units_b) < FEWEST_UNITS:
        return math.inf
    if test.spec.looks_us:
        return (NormalDist().inv_cdf(1 - alpha) * found.error / effect) ** 2
    clock = 2 * found.units_a * found.units_b / (found.units_a + found.units_b)  # as if units of both sides vary alike
    spread, wanted = found.error * math.sqrt(clock), clock
    while spread * mean_radius(round(wanted), alpha=alpha, tuned_for=_TUNED_FOR) > effect:
        wanted *= 1.02
        if wanted > _MOST:
            return math.inf
    return wanted / clock
