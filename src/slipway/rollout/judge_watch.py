"""What late labels show of a challenger that was promoted, while the former champion is still warm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from slipway.records.rollouts import CanarySpec, Look, RolloutVerdict
from slipway.rollout.guardrails import GUARDRAILS, guarded
from slipway.rollout.judge_canary import left_out_words

__all__ = ["judge_watch"]


def judge_watch(
    spec: CanarySpec,
    labels: pl.DataFrame | None,
    quality: Look | None,
    *,
    step: int,
    until: datetime,
    now: datetime,
    without_decision: Mapping[str, int] | None = None,
) -> Look:
    """Do the labels of the rows that each arm answered in the canary show the promoted one to be worse?

    The evidence is that of the canary, with the labels that came since; so is what it needs.

    Args:
        spec: The canary as declared.
        labels: The KPI's blocks, None where it cannot be told yet.
        quality: What pairs of scores show by labels, those from after the promotion among them; None where no such look
            is due.
        step: The step at which it was promoted.
        until: When the watch ends.
        now: Business time.
        without_decision: See `Seen`.
    """
    needed = len(GUARDRAILS) / spec.alpha
    verdict: RolloutVerdict = "undecided"
    values: dict[str, Any] = {"watched_until": until.isoformat(), "alpha": spec.alpha}
    rows = 0 if labels is None else int(labels["challenger_rows"].sum())
    told = "None of the rows that it answered in its canary has a label yet: its KPI is not known."
    if labels is not None and rows:
        found = guarded("KPI", labels)
        values["guards"] = {"KPI": {"log_e": found.log_e, **found.values}}
        beside = "no labelled row of the other is beside them"
        if not math.isnan(found.champion):
            beside = f"{found.champion:.3g} with the former champion at the same time"
        told = f"Its {rows:,} labelled rows of the canary lose {found.challenger:.3g} each, {beside}."
        if found.log_e >= math.log(needed):
            odds = "more than a million" if found.log_e > math.log(1e6) else f"{math.exp(found.log_e):,.0f}"
            verdict = "worse"
            told += f" Worse: the evidence for that is {odds} to 1; {needed:,.0f} to 1 takes it back."
    if quality is not None:
        values["quality"] = quality.values
        if quality.verdict == "worse":
            verdict, told = "worse", f"{told} {quality.sentence}"
    left_out = left_out_words(without_decision or {})
    values["without_decision"] = dict(without_decision or {})
    sentence = f"After the promotion: {told}" + (f" {left_out}" if left_out else "")
    return Look(at=now, phase="canary", step=step, verdict=verdict, sentence=sentence, values=values)
