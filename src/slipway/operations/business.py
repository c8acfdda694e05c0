"""For the business: what one model is worth and whether it can be trusted, links and mail that show just that."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.costs import Used
from slipway.operations.declare import Operation
from slipway.records.business import BusinessMail, SharedPage
from slipway.records.contracts import StandingVerdict
from slipway.records.costs import Rates

__all__ = [
    "Agreed",
    "BusinessPage",
    "Expected",
    "Figure",
    "GetBusiness",
    "KpiLook",
    "MailBusiness",
    "Paper",
    "RevokeShared",
    "ShareBusiness",
    "SharedMade",
    "Sharing",
    "Spent",
    "Stage",
    "Trouble",
    "Trust",
    "Value",
    "operations",
]

Stage = Literal["idea", "proof of concept", "pilot", "in production", "retired"]


class GetBusiness(Struct, frozen=True, kw_only=True):
    """Of which model."""

    model: str


class KpiLook(Struct, frozen=True, kw_only=True):
    """A business figure as it was found once: of the cases decided in the days before `at`.

    Args:
        at: Business time of the youngest case.
        value: The figure.
        low: Lower end of its 95 % interval, None where there is none.
        high: Upper end.
        cases: How many.
        is_worse: Whether it was worse than agreed for sure.
    """

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None
    cases: int = 0
    is_worse: bool = False


class Expected(Struct, frozen=True, kw_only=True):
    """What somebody expects of the model, and what came of it.

    Args:
        effect: By how much the figure gets better at least.
        by: By which day.
        author: Who said so.
        verdict: None while nobody has looked.
        found: By how much it got better, None where that cannot be told.
        low: Lower end of its interval.
        high: Upper end.
        is_cause: Whether cases with it and without it were compared at the same time; else it is before and after.
        at: When that was found.
    """

    effect: float
    by: str
    author: str = ""
    verdict: StandingVerdict | None = None
    found: float | None = None
    low: float | None = None
    high: float | None = None
    is_cause: bool = False
    at: datetime | None = None


class Agreed(Struct, frozen=True, kw_only=True):
    """Which terms of a figure people signed: `state` is "void" where they changed since."""

    state: Literal["signed", "void", "drafted"]
    owner: str
    by: str = ""
    on: datetime | None = None
    limit: float | None = None
    guard: float = 0.0


class Figure(Struct, frozen=True, kw_only=True):
    """A business figure that the model is judged by.

    Args:
        name: As the business calls it.
        formula: How one case counts, "" for what wrong answers cost.
        costs: What each kind of answer costs, {} where the formula says it.
        unit: What it is counted in.
        better: Which way is better.
        agreed: What is signed, None where nobody agreed on anything.
        before: What it is compared with where no limit is agreed, None for nothing.
        looks: Oldest first; of a day the last one.
        is_worse: Whether the newest look says so.
        expected: What is expected of it, None for nothing.
    """

    name: str
    formula: str = ""
    costs: dict[str, float] = {}
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"
    agreed: Agreed | None = None
    before: float | None = None
    looks: tuple[KpiLook, ...] = ()
    is_worse: bool = False
    expected: Expected | None = None


class Value(Struct, frozen=True, kw_only=True):
    """Money that it brings.

    Args:
        amount: How much.
        low: Lower end of its interval, None where nothing was measured.
        high: Upper end.
        unit: The currency.
        per: In which time.
        is_measured: Whether it was measured, by cases with it and without it at the same time; else somebody expects it.
        by: Who expects it.
        cases: How many cases it was measured on.
        at: When that was known or said.
    """

    amount: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    per: Literal["month", "year"] = "year"
    is_measured: bool = False
    by: str = ""
    cases: int = 0
    at: datetime


class Spent(Struct, frozen=True, kw_only=True):
    """What it takes: hours, bytes and, where the project says what these cost, money.

    Args:
        rates: What an hour and a gigabyte cost.
        making: All runs that it took.
        running: All endpoints that it answers at.
        runs: How many runs.
        requests: Questions that were answered.
        since: The first record of its making.
    """

    rates: Rates
    making: Used = Used()
    running: Used = Used()
    runs: int = 0
    requests: int = 0
    since: datetime | None = None


class Trouble(Struct, frozen=True, kw_only=True):
    """An incident.

    Args:
        id: Its id.
        cause: Of which kind.
        since: When it began, as far as is known.
        ended_at: When it was over, None while it is open.
        owner: Who must look.
        seen_by: Who said that they look at it, "" for nobody.
        figure: The business figure that it is about, "" for none.
        worse_by: By how much that was worse than before, a case; None where that was not measured.
        unit: Of `worse_by`.
        cases: On how many cases.
        meanwhile: How the business figures stood during it; "" where none was looked at.
        ended_by: The person who closed it, "" where it was over by itself.
        said: What they said.
    """

    id: str
    cause: str
    since: datetime
    ended_at: datetime | None = None
    owner: str = ""
    seen_by: str = ""
    figure: str = ""
    worse_by: float | None = None
    unit: str = ""
    cases: int = 0
    meanwhile: Literal["held", "worse", ""] = ""
    ended_by: str = ""
    said: str = ""


class Trust(Struct, frozen=True, kw_only=True):
    """Why it may be trusted.

    Args:
        accountable: Who answers for it.
        responsible: Who looks after it from day to day.
        approved_by: Who approved what is in use, "" for nobody.
        approved_at: When.
        approved_until: Until when that counts, None for ever.
        approved_ahead: Whether they approved its renewal as such, ahead of time, and not this very version.
        said: What they said.
        checked_at: When it was looked at last, None for never.
        checks_a_day: How many kinds of look there were within a day before now.
        watches: How many kinds of look are declared.
        back_to: An earlier version that can answer again, 0 for none.
        drilled_at: When going back was last tried, None for never.
        drill_held: Whether it worked.
        drill_live: Whether it was tried in use.
        claims: How many claims about it were checked before it came into use.
        shown: How many of them evidence shows.
        unjudged: How many did not apply, or were not judged.
        judged_at: When.
        repeated_at: When it was last made again from what is stored, None for never.
        repeated_alike: Whether the same came of it.
    """

    accountable: tuple[str, ...] = ()
    responsible: tuple[str, ...] = ()
    approved_by: str = ""
    approved_at: datetime | None = None
    approved_until: datetime | None = None
    approved_ahead: bool = False
    said: str = ""
    checked_at: datetime | None = None
    checks_a_day: int = 0
    watches: int = 0
    back_to: int = 0
    drilled_at: datetime | None = None
    drill_held: bool = False
    drill_live: bool = False
    claims: int = 0
    shown: int = 0
    unjudged: int = 0
    judged_at: datetime | None = None
    repeated_at: datetime | None = None
    repeated_alike: bool = False


class Paper(Struct, frozen=True, kw_only=True):
    """A document to open: which one, of what, and where its page is within the project."""

    kind: Literal["card", "case study", "agreement", "scope", "costs", "incidents"]
    name: str
    place: tuple[str, ...]


class BusinessPage(Struct, frozen=True, kw_only=True):
    """All that a business owner wants to know of a model.

    Args:
        project: Whose.
        model: Its name.
        version: The version that is in use, or the newest; 0 for none.
        environment: Where it was looked for.
        at: Business time.
        stage: How far it has come.
        since: Since when.
        purpose: What it is for, as somebody wrote; "" where nobody did.
        decision: Which decision is taken with its answers, as its scope says.
        figures: What it is judged by.
        values: What it brings: what was measured first.
        spent: What it takes.
        troubles: Incidents, newest first; those that something else explains are left out.
        open: How many of them are open.
        trust: Why it may be trusted.
        papers: What to open.
        simulated: The made-up tables behind it, () where all was real.
    """

    project: str
    model: str
    version: int
    environment: str
    at: datetime
    stage: Stage
    since: datetime | None = None
    purpose: str = ""
    decision: str = ""
    figures: tuple[Figure, ...] = ()
    values: tuple[Value, ...] = ()
    spent: Spent
    troubles: tuple[Trouble, ...] = ()
    open: int = 0
    trust: Trust
    papers: tuple[Paper, ...] = ()
    simulated: tuple[str, ...] = ()


class ShareBusiness(Struct, frozen=True, kw_only=True):
    """Make a link that shows one model's page to whoever has it.

    Args:
        model: The model's name.
        label: Whom it is for.
        days: How long it lasts, 1 to 366 days.
    """

    model: str
    label: str = ""
    days: int = 30


class SharedMade(Struct, frozen=True, kw_only=True):
    """The link as it is kept, and its address within the server: that is shown once, and kept nowhere."""

    link: SharedPage
    path: str


class RevokeShared(Struct, frozen=True, kw_only=True):
    """End a link at once, by its id."""

    id: str


class MailBusiness(Struct, frozen=True, kw_only=True):
    """Send one model's page by mail each week.

    Args:
        model: The model's name.
        to: The addresses, () to send nothing any more.
        weekday: On which day, 0 for Monday to 6 for Sunday.
        hour: At which hour, UTC, 0 to 23.
    """

    model: str
    to: tuple[str, ...] = ()
    weekday: int = 0
    hour: int = 7


class Sharing(Struct, frozen=True, kw_only=True):
    """Who sees a model's page without an account.

    Args:
        links: All that were made, newest first, without their secrets.
        mail: The weekly mail as it is set, None where it never was.
        next_at: When the next one is due, None for never.
        trouble: Why no mail would leave, "" where one would.
    """

    links: tuple[SharedPage, ...] = ()
    mail: BusinessMail | None = None
    next_at: datetime | None = None
    trouble: str = ""


operations = (
    Operation(
        name="business.get",
        summary="Say what a model is worth, costs and had to do with, and why it may be trusted.",
        permission="business.read",
        request=GetBusiness,
        response=BusinessPage,
        body="slipway.flows.business:get_business",
    ),
    Operation(
        name="business.sharing",
        summary="List the links and the weekly mail that show a model's business page.",
        permission="business.read",
        request=GetBusiness,
        response=Sharing,
        body="slipway.flows.business_links:get_sharing",
    ),
    Operation(
        name="business.share",
        summary="Make a link that shows a model's business page, and nothing else, without an account.",
        permission="business.share",
        request=ShareBusiness,
        response=SharedMade,
        body="slipway.flows.business_links:share",
        changes=True,
    ),
    Operation(
        name="business.revoke",
        summary="End a link to a model's business page.",
        permission="business.share",
        request=RevokeShared,
        response=Sharing,
        body="slipway.flows.business_links:revoke",
        changes=True,
    ),
    Operation(
        name="business.mail",
        summary="Send a model's business page to addresses each week, or to nobody any more.",
        permission="business.share",
        request=MailBusiness,
        response=Sharing,
        body="slipway.flows.business_mail:set_mail",
        changes=True,
    ),
)
