"""What a simulation comes to in plain words, and what a person must know to take them at their worth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from slipway.hashing import fingerprint
from slipway.records.loop import Action
from slipway.records.models import Decision
from slipway.records.simulations import BLIND, NEVER, Month, Worth

__all__ = ["assumption", "drift", "fingerprint_of", "sentence"]

_NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_LOOP = "retraining with gates, shadow and canary"
_OTHERS = {NEVER: "never retraining", BLIND: "a blind monthly retraining"}


def sentence(total: Month, worth: Sequence[Worth], *, months: int, unit: str) -> str:
    """What the retraining was worth, fair in both directions.

    Args:
        total: The whole period.
        worth: Against each other policy.
        months: How many months the period spans.
        unit: Of the costs, "" where none are stated.
    """
    if not total.labelled:
        return f"What {_LOOP} was worth cannot be told: no label came in the period."
    span = f"{_NUMBERS[months] if months < len(_NUMBERS) else months} month{'' if months == 1 else 's'}"
    return " ".join(_compared(one, total, span if place == 0 else "", unit) for place, one in enumerate(worth))


def assumption(decision: Decision) -> str:
    """The cost matrix in words, called what it is."""
    if decision.threshold is None or not decision.costs:
        return "No costs are stated, so nothing here is money."
    unit = f" {decision.unit}" if decision.unit else ""
    cells = ("false_negative", "false_positive", "true_positive", "true_negative")
    stated = [f"a {cell.replace('_', ' ')} costs {decision.costs.get(cell, 0.0):,g}{unit}" for cell in cells]
    return (
        f"Assumed, not measured: {', '.join(stated)}; a score from {decision.threshold:g} on counts as a yes. "
        "With other costs the sums would be others."
    )


def drift(actions: Sequence[Action]) -> str:
    """What drift was noted, and that none of it was acted on: no retraining was asked for by it."""
    noted = [one for one in actions if one.name == "note" and "moved" in one.evidence]
    asked = Counter(one.evidence.get("trigger", "").partition(" ")[0] for one in actions if one.name == "retrain")
    if not noted:
        return ""
    columns = Counter(name for one in noted for name in {column for column, *_ in one.evidence["moved"]})
    often = ", ".join(f"{name} ({times})" for name, times in columns.most_common(5))
    by = ", ".join(f"{times} by {what.rstrip(':')}" for what, times in asked.most_common() if what)
    return (
        f"Noted for {len(noted)} models that served, most often of {often}; never acted on: "
        f"of {sum(asked.values())} retrainings none was asked for by drift ({by})."
    )


def fingerprint_of(actions: Sequence[Action]) -> str:
    """The fingerprint of what the loop did, in order: two simulations with the same one took the same decisions.

    Args:
        actions: Oldest first.
    """
    return fingerprint([(one.name, one.sentence, _rounded(one.evidence), one.created_at) for one in actions])


def _rounded(value: Any) -> Any:
    """Figures to nine digits: in the last ones a model may answer otherwise when asked with other rows beside."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _compared(one: Worth, total: Month, span: str, unit: str) -> str:
    if math.isnan(one.cost):
        told = _in_losses(one, span)
    else:
        told = _in_money(one, total, span, f" {unit}" if unit else "")
        told += _but(one)
    return told[0].upper() + told[1:]


def _in_money(one: Worth, total: Month, span: str, unit: str) -> str:
    """Against one policy, in money."""
    other, whole = _OTHERS[one.other], total.figures[one.other].cost
    amount, low, high = f"{abs(one.cost):,.0f}{unit}", one.cost_low, one.cost_high
    share = f"{_percent(abs(one.cost) / whole)} of the cost of errors, " if whole > 0 else ""
    over = f" over {span}" if span else ""
    if high < 0:
        subject = (
            f"{_LOOP} was worth {amount}{over} against {other}" if span else f"against {other} it was worth {amount}"
        )
        return f"{subject} ({share}95 % interval {-high:,.0f} to {-low:,.0f}{unit})."
    if low > 0:
        subject = (
            f"{_LOOP} cost {amount} more{over} than {other} would have"
            if span
            else f"{other} would have cost {amount} less"
        )
        return f"{subject} ({share}95 % interval {low:,.0f} to {high:,.0f}{unit})."
    way = f"it cost {amount} {'more' if one.cost > 0 else 'less'}"
    if math.isnan(low):
        return f"{f'over {span}, ' if span else ''}against {other}, {way}, which so few days cannot tell from chance."
    subject = f"over {span}, {_LOOP} cannot" if span else "it cannot"
    worst = f"{high:,.0f}{unit}" + (f" or {_percent(high / whole)} of the cost of errors" if whole > 0 else "")
    return (
        f"{subject} be told from {other} by its cost: {way} (95 % interval: {-low:,.0f} less to {high:,.0f} more), "
        f"so at worst it was dearer by {worst}."
    )


def _in_losses(one: Worth, span: str) -> str:
    """Against one policy by the log loss, where no costs are stated."""
    other = _OTHERS[one.other]
    over = f" over {span}" if span else ""
    bounds = f"95 % interval of the difference {one.log_loss_low:.4f} to {one.log_loss_high:.4f}"
    subject = f"{_LOOP}{over}" if span else "it"
    if one.log_loss_high < 0:
        return f"{subject} lowered the log loss by {-one.log_loss:.4f} against {other} ({bounds})."
    if one.log_loss_low > 0:
        return f"{subject} raised the log loss by {one.log_loss:.4f} against {other} ({bounds})."
    return f"{subject} cannot be told from {other} by its log loss: it differs by {one.log_loss:.4f} ({bounds})."


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _but(one: Worth) -> str:
    """Where the scores say the opposite of the money, both are said."""
    if one.cost < 0 and one.log_loss_low > 0:
        return f" Its scores were worse, though: their log loss was higher by {one.log_loss:.4f}."
    if one.cost > 0 and one.log_loss_high < 0:
        return f" Its scores were better, though: their log loss was lower by {-one.log_loss:.4f}."
    return ""
