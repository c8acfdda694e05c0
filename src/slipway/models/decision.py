"""What is done with a score: a threshold, or a price within limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from slipway.errors import InvalidDeclaration, near
from slipway.records.models import Decision

__all__ = ["price", "threshold"]

_CELLS = ("true_positive", "false_positive", "true_negative", "false_negative")


def price(*, low: float, high: float, offer: Sequence[str], step: float = 1.0, unit: str = "") -> Decision:
    """The score of a regression is a price. What is answered is a step between the limits, whatever the model says.

    The limits are part of the bundle, and hold for its fallback too. The price is the same for the same offer: packaging
    refuses a model to which anything else of a request could tell who asks.

    Args:
        low: No price lies below.
        high: No price lies above.
        offer: The request's fields that say what is offered: `["flight_id", "days_before"]`. Nothing of a person.
        step: Prices are `low`, `low + step`, and so on; 0 for any.
        unit: "USD".

    Returns:
        The decision, for `sw.Model(..., decision=...)`.

    Raises:
        InvalidDeclaration: The limits or the step cannot be, or no field of an offer is named.

    Example:
        >>> price(low=49, high=899, offer=["flight_id"], unit="USD").high
        899.0
    """
    numbers = (low, high, step)
    is_number = all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in numbers
    )
    if not is_number or low > high or step < 0:
        raise InvalidDeclaration(
            f"A price from {low!r} to {high!r} in steps of {step!r} cannot be.",
            why="Both limits are numbers, the lower one first, and a step is 0 or more.",
            fix="For example sw.price(low=49, high=899, step=1, offer=['flight_id'], unit='USD').",
        )
    names = (offer,) if isinstance(offer, str) else tuple(offer)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidDeclaration(
            f"The offer {offer!r} names no fields.",
            why="The same offer costs the same whoever asks, so it must be said what an offer is.",
            fix="Name the request's fields: sw.price(..., offer=['flight_id', 'days_before']).",
        )
    return Decision(low=float(low), high=float(high), step=float(step), offer=names, unit=unit)


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
