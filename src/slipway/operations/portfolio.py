"""The portfolio: all use cases of a store, from idea to retired, and where each is stuck."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.business import Stage
from slipway.operations.declare import Empty, Operation
from slipway.records.costs import Rates

__all__ = ["STAGES", "Money", "Portfolio", "UseCase", "Wait", "operations"]

STAGES: tuple[Stage, ...] = ("idea", "proof of concept", "pilot", "in production", "retired")
"""How far a use case may have come, in order."""


class Wait(Struct, frozen=True, kw_only=True):
    """What a use case waits for.

    Args:
        kind: What.
        on: On whom: names, or roles where nobody is named.
        since: Since when, None where that is not known.
        count: How many of them.
    """

    kind: Literal[
        "first work", "needs", "checks", "approval", "promotion", "next step", "incident", "signature", "decision"
    ]
    on: tuple[str, ...] = ()
    since: datetime | None = None
    count: int = 1


class UseCase(Struct, frozen=True, kw_only=True):
    """One use case.

    Args:
        project: Whose.
        name: The scope's, or the model's where nobody wrote one.
        model: The model's, "" where there is none yet.
        scope: The scope's, "" for none.
        owner: Who wants it, "" where nobody says.
        decision: Which decision it is for, as its scope says.
        stage: How far it has come.
        since: Since when it is there.
        reached: When it was first in production, None for never.
        began: The first record of it.
        waits: What it waits for, the most pressing first.
        expected: Money a year that its owner expects, 0 for none.
        currency: Of what is expected.
        realised: Money a month that was measured, None where nothing was.
        realised_low: Lower end of its interval.
        realised_high: Upper end.
        realised_unit: Its currency.
        hours: Hours of computing so far.
        cost: Money for them, None without a rate.
        cost_unit: Its currency.
    """

    project: str
    name: str
    model: str = ""
    scope: str = ""
    owner: str = ""
    decision: str = ""
    stage: Stage
    since: datetime
    reached: datetime | None = None
    began: datetime
    waits: tuple[Wait, ...] = ()
    expected: float = 0.0
    currency: str = ""
    realised: float | None = None
    realised_low: float | None = None
    realised_high: float | None = None
    realised_unit: str = ""
    hours: float = 0.0
    cost: float | None = None
    cost_unit: str = ""

    @property
    def days_to_production(self) -> float | None:
        """From its first record until it was in production, None where it never was or clocks disagree."""
        days = None if self.reached is None else (self.reached - self.began).total_seconds() / 86_400
        return None if days is None or days < 0 else days


class Money(Struct, frozen=True, kw_only=True):
    """What use cases of one currency are expected to bring a year, were measured to bring a month, and cost so far."""

    currency: str
    expected: float = 0.0
    expecting: int = 0
    realised: float = 0.0
    realising: int = 0
    cost: float = 0.0
    costing: int = 0


class Portfolio(Struct, frozen=True, kw_only=True):
    """All use cases of the projects that whoever asks may see.

    Args:
        at: Business time.
        cases: By stage, and the longest there first.
        reached: How many ever were in production.
        days: How many days each of those took, from its first record, sorted.
        money: By currency.
        rates: By project, what an hour and a gigabyte cost there.
        simulated: Made-up tables behind any of it, as `project/table`.
    """

    at: datetime
    cases: tuple[UseCase, ...] = ()
    reached: int = 0
    days: tuple[float, ...] = ()
    money: tuple[Money, ...] = ()
    rates: dict[str, Rates] = {}
    simulated: tuple[str, ...] = ()


operations = (
    Operation(
        name="portfolio.get",
        summary="List all use cases from idea to retired: how far each is, what it waits for, value and cost.",
        permission="projects.read",
        request=Empty,
        response=Portfolio,
        body="slipway.flows.portfolio:get_portfolio",
        route="/api/v1/portfolio",
    ),
)
