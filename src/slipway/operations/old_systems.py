"""How an endpoint's answers compare with those of the old system that it is to replace."""

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = ["Agreement", "Apart", "GetAgreement", "operations"]


class GetAgreement(Struct, frozen=True, kw_only=True):
    """Of which endpoint, over how many days, and how many of the greatest differences are listed."""

    endpoint: str
    days: int = 7
    most: int = 10


class Apart(Struct, frozen=True, kw_only=True):
    """One row on which the two do not agree: its prediction's id and both scores, no value of its request."""

    prediction: str
    ours: float
    theirs: float


class Agreement(Struct, frozen=True, kw_only=True):
    """How often both agree.

    Args:
        endpoint: The endpoint.
        url: Where the old system is asked.
        tolerance: Scores that are no further apart agree.
        compared: Rows for which it was asked.
        scored: Those that it scored.
        agreeing: Those of them that agree.
        shown: The share of agreeing rows is shown to be above this, at any number of looks with 99 %; 0 for nothing.
        problems: How many rows it did not score, by why: "timeout", "error", "unreadable".
        took_ms: Median time of a row, milliseconds; None without any.
        greatest: The rows that are furthest apart.
        sentence: In words.
    """

    endpoint: str
    url: str
    tolerance: float
    compared: int
    scored: int
    agreeing: int
    shown: float
    problems: dict[str, int]
    took_ms: float | None
    greatest: tuple[Apart, ...]
    sentence: str


operations = (
    Operation(
        name="endpoints.agreement",
        summary="How often an endpoint's answers agree with those of its old system.",
        permission="endpoints.read",
        request=GetAgreement,
        response=Agreement,
        body="slipway.flows.old_system:agreement",
    ),
)
