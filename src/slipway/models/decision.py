"""What is done with a score."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.errors import InvalidDeclaration, near
from slipway.records.models import Decision

__all__ = ["threshold"]

_CELLS = ("true_positive", "false_positive", "true_negative", "false_negative")


def threshold(at: float | None = None, *, costs: Mapping[str, float] | None = None, unit: str = "") -> Decision:
    """Decide "yes" from a score upwards.

    Args:
        at: The score, between 0 and 1. Left out, it follows from the costs: the score from which a "yes" is expected
            to cost less than a "no", which holds as far as the model is calibrated.
        costs: What each outcome costs: any of true_positive, false_positive, true_negative, false_negative; the
            others cost nothing. A gain is a negative cost.
        unit: Of the costs: "USD", "minutes".

    Returns:
        The decision, for `sw.Model(..., decision=...)`.

    Raises:
        InvalidDeclaration: Neither is given, a name is unknown, or no threshold follows from the costs.

    Source: C. Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001, equation 2.

    Example:
        >>> threshold(costs={"false_positive": 20, "false_negative": 80}, unit="USD").threshold
        0.2
    """
    stated = {cell: float(cost) for cell, cost in (costs or {}).items()}
    for cell in stated:
        if cell not in _CELLS:
            raise InvalidDeclaration(f"{cell!r} is no cell of the cost matrix.", fix=near(cell, _CELLS, what="cells"))
    if at is None:
        if not stated:
            raise InvalidDeclaration(
                "A threshold needs a score or costs.",
                fix="For example sw.threshold(0.3), or sw.threshold(costs={'false_positive': 20, 'false_negative': 80}).",
            )
        at = _from_costs(stated)
    elif not 0.0 <= at <= 1.0:
        raise InvalidDeclaration(f"{at} cannot be a threshold.", why="A score is a probability between 0 and 1.")
    return Decision(threshold=at, costs=stated, unit=unit)


def _from_costs(costs: Mapping[str, float]) -> float:
    tp, fp, tn, fn = (costs.get(cell, 0.0) for cell in _CELLS)
    wrong_yes, wrong_no = fp - tn, fn - tp
    if wrong_yes <= 0 or wrong_no <= 0:
        raise InvalidDeclaration(
            f"No threshold follows from the costs {dict(costs)}.",
            why="A wrong answer must cost more than the right one, for 'yes' and for 'no'.",
            fix="State what a false positive and a false negative cost, or give the threshold itself.",
        )
    return wrong_yes / (wrong_yes + wrong_no)
