"""What is done with a score, in words."""

from __future__ import annotations

from slipway.records.models import Decision

__all__ = ["price_in_words"]


def price_in_words(decision: Decision) -> str:
    """A decision that is a price, for a reader."""
    step = f" in steps of {decision.step:g}" if decision.step else ""
    unit = f" {decision.unit}" if decision.unit else ""
    return f"a price from {decision.low:g} to {decision.high:g}{unit}{step}; the same for the same {', '.join(decision.offer)}"
