"""Promotions: versions on their way from one environment into the next. What carries one on needs the project's code."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.promotions import Promotion

__all__ = ["ListPromotions", "Promotions", "operations"]


class ListPromotions(Struct, frozen=True, kw_only=True):
    """Whose promotions.

    Args:
        model: Only this model's, "" for all.
        bundle: Only those of this bundle, by its digest; "" for all.
        limit: How many at most.
    """

    model: str = ""
    bundle: str = ""
    limit: int = 100


class Promotions(Struct, frozen=True, kw_only=True):
    """Promotions as far as they came, newest first."""

    promotions: tuple[Promotion, ...]


operations = (
    Operation(
        name="promotions.list",
        summary="List promotions from one environment into the next, and where each stands.",
        permission="models.read",
        request=ListPromotions,
        response=Promotions,
        body="slipway.flows.promotions:list_promotions",
    ),
)
