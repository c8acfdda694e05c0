"""Promotions: versions on their way from one environment into the next.

What carries one on needs the project's code: a server does it that runs in the project's folder.
"""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.promotions import Promotion, PromotionPlace

__all__ = [
    "AnswerPromotion",
    "Answered",
    "AskPromotion",
    "Asked",
    "ListPlaces",
    "ListPromotions",
    "Places",
    "Promotions",
    "operations",
]


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


class ListPlaces(Struct, frozen=True, kw_only=True):
    """Where versions may be taken from here."""


class Places(Struct, frozen=True, kw_only=True):
    """Into which environments this server takes versions, in their order.

    Args:
        places: Each with what it asks for.
        obstacle: Why there is none, "" where there are some.
    """

    places: tuple[PromotionPlace, ...]
    obstacle: str = ""


class AskPromotion(Struct, frozen=True, kw_only=True):
    """Take a version into an environment, as far as it comes now. Asked again it goes on where it stands.

    Args:
        model: The model.
        version: A number, an alias or "latest", at the environment before.
        target: The environment.
        endpoint: Where it is to serve, "" for the model's own name.
        trust: The key by which it was signed, where the target is to trust it from now on.
        reason: Why; it is kept with the promotion and in the audit log, and takes the place of an earlier one.
        tokens: By environment, the asker's token of each store that knows people. They are kept nowhere.
    """

    model: str
    version: str = "latest"
    target: str
    endpoint: str = ""
    trust: str = ""
    reason: str = ""
    tokens: dict[str, str] = {}


class Asked(Struct, frozen=True, kw_only=True):
    """The promotion as far as it came; None where it takes long: it goes on, and `promotions.list` says how far it is."""

    promotion: Promotion | None


class AnswerPromotion(Struct, frozen=True, kw_only=True):
    """Give one's word for a version in the environment that it goes into.

    Args:
        model: The model.
        target: The environment.
        version: Its number there.
        role: In which role: "accountable".
        decision: "approved" or "rejected".
        comment: Why.
        tokens: By environment, the asker's token of each store that knows people. They are kept nowhere.
    """

    model: str
    target: str
    version: int
    role: str = "accountable"
    decision: str = "approved"
    comment: str = ""
    tokens: dict[str, str] = {}


class Answered(Struct, frozen=True, kw_only=True):
    """What was said of which version where."""

    model: str
    target: str
    version: int
    decision: str


operations = (
    Operation(
        name="promotions.list",
        summary="List promotions from one environment into the next, and where each stands.",
        permission="models.read",
        request=ListPromotions,
        response=Promotions,
        body="slipway.flows.promotions:list_promotions",
    ),
    Operation(
        name="promotions.places",
        summary="Say into which environments this server takes versions.",
        permission="models.read",
        request=ListPlaces,
        response=Places,
        body="slipway.flows.promotion_asked:list_places",
    ),
    Operation(
        name="promotions.ask",
        summary="Take a version into the next environment, or go on with one that waited.",
        permission="endpoints.deploy",
        request=AskPromotion,
        response=Asked,
        body="slipway.flows.promotion_asked:ask",
        changes=True,
    ),
    Operation(
        name="promotions.answer",
        summary="Approve or reject a version in the environment that it is to go into.",
        permission="approvals.grant",
        request=AnswerPromotion,
        response=Answered,
        body="slipway.flows.promotion_asked:answer",
        changes=True,
    ),
)
