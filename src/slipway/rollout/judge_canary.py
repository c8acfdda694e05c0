"""What a canary shows at one look: does the challenger fail more often than the champion beside it?

The verdict holds however often one looks. "Not worse" has to be shown: nothing bad seen is "undecided".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.records.rollouts import CanarySpec, Look, RolloutVerdict
from slipway.rollout.guardrails import (
    COUNTS,
    GUARDRAILS,
    SHIFT_FLOOR,
    SLOW_FLOOR,
    Guarded,
    Seen,
    blocks_of,
    guarded,
    shifted,
    split_evidence,
)
from slipway.rollout.looks import dated, is_overdue, plain, points
from slipway.stats.evidence import difference_bound, log_e_not_worse_by, rows_factor

__all__ = ["judge_canary", "judge_guards", "left_out_words"]

_NOTHING_ELSE = Seen()


def judge_canary(
    spec: CanarySpec,
    counts: pl.DataFrame,
    *,
    step: int,
    since: datetime,
    now: datetime,
    rows_since: int | None = None,
    seen: Seen = _NOTHING_ELSE,
    is_quality_shown: bool = False,
    took_ms: tuple[float, float] | None = None,
    in_simulation: bool = False,
) -> Look:
    """Does anything go wrong more often with the challenger than with the champion beside it, and by how much at most?

    It is worse as soon as one guardrail shows it, each at alpha over their number; a slow answer's share must be greater
    by the margin too. Where answers are timed, no step is taken before they have shown that the share of slow ones is
    not greater by ten points, or by the margin where that is more. A split that is not the declared one voids the
    verdict. A prediction shift leaves it undecided; where labels have shown the quality it is told alone.

    Args:
        spec: As declared.
        counts: One row a block of time, in order, of the whole canary, earlier steps included: `at` (its beginning),
            and those of `COUNTS`, whose "rows" are requests; where there are, `challenger_alone` and `log_share` of
            `units.arm_counts`. A block should be short enough that both arms saw the same troubles in it.
        step: The present step, counted from 0.
        since: When the step began, business time, as `now` is.
        now: The present.
        rows_since: How many rows came to the challenger since then; None for those of the blocks that begin after it.
        seen: What else is guarded.
        is_quality_shown: Whether a shadow has shown by labels that the challenger is not worse.
        took_ms: Median time of an answer, champion's and challenger's, where it was measured.
        in_simulation: Whether business time is simulated: then the measured times are not those of the traffic.

    Returns:
        A look whose values hold the counts of each block, so that it can be judged again.
    """
    blocks = [counts[name].to_numpy() for name in COUNTS]
    found = judge_guards(spec, counts, seen)
    bound = difference_bound(*blocks, alpha=spec.alpha)
    if rows_since is None:
        rows_since = int(counts.filter(pl.col("at") >= since)["challenger_rows"].sum())
    missing = _missing_in_canary(spec, blocks, bound, rows_since, step) + _missing_labels(spec, seen)
    missing += _missing_times(spec, seen) + ([found.shift_words] if found.is_shifted and not is_quality_shown else [])
    is_open = found.is_void or (bool(missing) and not found.worse)
    verdict: RolloutVerdict = "undecided" if is_open else "worse" if found.worse else "not worse"
    values = _counted(spec, counts, step) | {
        "log_e": found.failures.log_e,
        "bound": bound,
        "rows_since": rows_since,
        "guards": found.values,
        "without_decision": dict(seen.without_decision),
        "is_void": found.is_void,
        "took_ms": [plain(each) for each in took_ms] if took_ms else None,
        "is_overdue": is_overdue(spec, since, now),
    }
    told = [_canary_words(spec.steps[step], counts), *_verdict_words(spec, found, missing, bound)]
    told += [left_out_words(seen.without_decision), _latency_words(took_ms, in_simulation)]
    said = dated(" ".join(part for part in told if part), spec, since, now)
    return Look(at=now, phase="canary", step=step, verdict=verdict, sentence=said, values=values)


@dataclass(frozen=True, slots=True)
class _Found:
    failures: Guarded
    worse: list[Guarded]
    is_shifted: bool
    shift_words: str
    is_void: bool
    split_words: str
    values: dict[str, Any]


def judge_guards(spec: CanarySpec, counts: pl.DataFrame, seen: Seen) -> _Found:
    """What each guardrail shows by now; needed: log(m / alpha) for each of m."""
    needed = math.log(len(GUARDRAILS) / spec.alpha)
    alone = counts
    if (
        "challenger_alone" in counts.columns
    ):  # what neither can answer is no fault of the challenger; its bound is of all
        alone = counts.with_columns(pl.col("challenger_alone").alias("challenger_failures"))
    each = [guarded(name, blocks) for name, blocks in {"failures": alone, **seen.guards}.items()]
    worse = [
        one for one in each if one.log_e >= needed and (one.name != "slow answers" or one.difference >= spec.margin)
    ]
    values: dict[str, Any] = {one.name: {"log_e": one.log_e, **one.values} for one in each if one.name != "failures"}
    shift = shifted(seen)
    is_shifted = shift is not None and shift.log_e >= needed and abs(shift.difference) >= SHIFT_FLOOR
    shift_words = ""
    if shift is not None:
        values[shift.name] = {"log_e": shift.log_e, "difference": shift.difference, **shift.values}
        shift_words = f"its scores are not distributed as the champion's, by {points(abs(shift.difference))} at one cut"
        if shift.challenger > 0 and shift.difference == shift.challenger:
            shift_words = f"its scores and the champion's lie on different sides of the middle for {shift.challenger:.0%} of the same rows"
    split, is_void, split_words = seen.split, False, ""
    if split is not None and split.height:
        log_e = split_evidence(split)
        champion, challenger = int(split["champion"].sum()), int(split["challenger"].sum())
        expected = float((split["share"] * (split["champion"] + split["challenger"])).sum())
        is_void = log_e >= needed
        split_words = (
            f"the split is not the declared one: of {champion + challenger:,} cases the challenger was to have about"
            f" {expected:,.0f} and had {challenger:,}, so that nothing that is compared can be trusted"
        )
        counted = {name: split[name].to_list() for name in ("share", "champion", "challenger")}
        values["split"] = {"log_e": log_e, "at": [at.isoformat() for at in split["at"]], **counted}
    if seen.slow_us:
        values["slow answers"]["limit_us"] = [list(pair) for pair in seen.slow_us]
    return _Found(each[0], worse, is_shifted, shift_words, is_void, split_words, values)


def _worse_words(spec: CanarySpec, one: Guarded) -> str:
    odds = "more than a million" if one.log_e > math.log(1e6) else f"{math.exp(one.log_e):,.0f}"
    what = {
        "failures": "it fails more often",
        "time-outs": "it takes too long more often",
        "invalid outputs": "its output is no valid score more often",
        "fallbacks": "the fallback answers for it more often",
        "slow answers": "its answers are slow more often",
        "KPI": "its labelled rows lose more",
    }[one.name]
    figures = "" if one.name == "failures" else f" ({one.challenger:.3g} beside {one.champion:.3g})"
    needed = len(GUARDRAILS) / spec.alpha
    return f"Worse: the evidence that {what}{figures} is {odds} to 1; {needed:,.0f} to 1 stops it."


def _missing_labels(spec: CanarySpec, seen: Seen) -> list[str]:
    if spec.kpi is None:
        return []
    if seen.untold:
        return [seen.untold]
    counts = seen.guards.get("KPI")
    labels = 0 if counts is None else int(counts["challenger_rows"].sum())
    if counts is None or not labels:
        what = "a label and a decision" if any(seen.without_decision.values()) else "a label yet"
        return [f"no row that it answered has {what}, and its KPI is to be shown by labels"]
    bound = difference_bound(*blocks_of(counts), alpha=spec.alpha)
    margin = spec.kpi if seen.margin is None else seen.margin
    if bound < margin:
        return []
    return [f"by {labels:,} labels its mean loss may be up to {bound:.3g} greater, the margin is {margin:.3g}"]


def _missing_times(spec: CanarySpec, seen: Seen) -> list[str]:
    """What is not known of how long answers take: a challenger must not get all traffic before its times were compared."""
    counts = seen.guards.get("slow answers")
    if counts is None or spec.steps[0] == 100:  # then no champion ever answers beside it
        return []
    blocks, most = blocks_of(counts), max(SLOW_FLOOR, spec.margin)
    beside = (blocks[1] > 0) & (blocks[3] > 0)
    calls = int(blocks[3][beside].sum())
    if not calls:
        least = math.ceil(rows_factor(0, (100 - spec.steps[0]) / spec.steps[0], 0, 1, margin=most, alpha=spec.alpha))
        return [f"none of its answers is timed beside the champion's yet; at the least about {least:,} are needed"]
    if log_e_not_worse_by(*blocks, margin=most)[-1] >= math.log(1 / spec.alpha):
        return []
    factor = rows_factor(*blocks, margin=most, alpha=spec.alpha)
    more = "" if math.isinf(factor) else f"; about {max(1, math.ceil((factor - 1) * calls)):,} more would tell"
    return [
        f"of {calls:,} timed answers it is not shown that those that are slow are at most {points(most)} more{more}"
    ]


def _counted(spec: CanarySpec, counts: pl.DataFrame, step: int) -> dict[str, Any]:
    return {
        "percent": spec.steps[step],
        "log_share": _log_share(counts),
        "margin": spec.margin,
        "alpha": spec.alpha,
        "at": [at.isoformat() for at in counts["at"]],
        **{name: counts[name].to_list() for name in (*COUNTS, "challenger_alone") if name in counts.columns},
    }


def _verdict_words(spec: CanarySpec, found: _Found, missing: Sequence[str], bound: float) -> list[str]:
    if found.is_void:
        return [f"Undecided: {found.split_words}."]
    if found.worse:
        return [_worse_words(spec, one) for one in found.worse]
    if missing:
        return [f"Undecided: {'; '.join(missing)}."]
    told = f"Not worse: its share is at most {points(bound)} greater, less than the margin of {points(spec.margin)}."
    return [told, *([f"Its scores differ: {found.shift_words}."] if found.is_shifted else [])]


def _missing_in_canary(
    spec: CanarySpec, blocks: list[NDArray[np.float64]], bound: float, rows_since: int, step: int
) -> list[str]:
    missing = []
    rows = int(blocks[3].sum())
    if not rows:
        beside = (100 - spec.steps[step]) / spec.steps[step]
        least = math.ceil(rows_factor(0, beside, 0, 1, margin=spec.margin, alpha=spec.alpha))
        return [f"it has answered no request yet; at the least about {least:,} without a failure are needed"]
    if not bound < spec.margin:
        factor = rows_factor(*blocks, margin=spec.margin, alpha=spec.alpha)
        more = (
            "and at these shares no number of requests will exclude it"
            if math.isinf(factor)
            else f"about {max(1, math.ceil((factor - 1) * rows)):,} more requests of the challenger at these shares would do it"
        )
        missing.append(f"its share may be up to {points(bound)} greater, the margin is {points(spec.margin)}, {more}")
    if not rows_since:
        missing.append(f"it has answered no row since the step of {spec.steps[step]}% began")
    return missing


def _canary_words(percent: int, counts: pl.DataFrame) -> str:
    champion_failures, champion_rows, failures, rows = (float(counts[name].sum()) for name in COUNTS)
    if not rows:
        return ""
    said = f"At {percent}%: the challenger failed on {_of(failures, rows)} requests ({failures / rows:.1%})"
    if "challenger_alone" in counts.columns and (shared := failures - float(counts["challenger_alone"].sum())) > 1e-9:
        said += f", the champion too on {_number(shared)} of them"
    if not champion_rows:
        return f"{said}; the champion answered none to compare with."
    beside = f"{_of(champion_failures, champion_rows)} ({champion_failures / champion_rows:.1%})"
    share = _log_share(counts)
    among = "" if share >= 1.0 else f", by the {share:.3g} of the rows that is logged and as much of the failures"
    return f"{said}, the champion on {beside}, since the canary began{among}."


def _log_share(counts: pl.DataFrame) -> float:
    found = counts["log_share"].min() if "log_share" in counts.columns else None
    return float(found) if isinstance(found, float) else 1.0


def _of(failures: float, rows: float) -> str:
    return f"{_number(failures)} of {rows:,.0f}"


def _number(failures: float) -> str:
    """A number of requests, of which some failed in part."""
    return f"{failures:,.0f}" if abs(failures - round(failures)) < 1e-9 else f"{failures:,.1f}"


def left_out_words(without_decision: Mapping[str, int]) -> str:
    """The labelled rows that say nothing of the KPI, since nothing was decided on them; "" for none."""
    if not any(without_decision.values()):
        return ""
    each = [f"{without_decision.get(arm, 0):,} of the {arm}" for arm in ("challenger", "champion")]
    return f"Left out of the KPI, because they have a label and no decision: {', '.join(each)}."


def _latency_words(took_ms: tuple[float, float] | None, in_simulation: bool) -> str:
    if not took_ms or not all(math.isfinite(each) for each in took_ms):
        return ""
    if in_simulation:  # what machine time says must not differ between two runs of one seed
        return "Latency is measured, not judged in simulation."
    champion, challenger = took_ms
    return f"An answer took {challenger:.3g} ms, the champion's {champion:.3g} ms (medians)."
