"""The journey: how far each model has come from a notebook to a pipeline that delivers itself, from evidence only."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Empty, Operation

__all__ = [
    "Delivery",
    "Friction",
    "GetJourney",
    "Journey",
    "JourneyItem",
    "JourneyStage",
    "Median",
    "ModelJourney",
    "NextStep",
    "Refusals",
    "Share",
    "SlowStage",
    "operations",
]

JourneyStage = Literal[
    "scoping", "data", "experiment", "pipeline", "validation", "registry", "deployment", "monitoring", "retraining",
    "governance", "CI/CD",
]  # fmt: skip


class GetJourney(Struct, frozen=True, kw_only=True):
    """Of which model."""

    name: str


class JourneyItem(Struct, frozen=True, kw_only=True):
    """One thing that a level of maturity consists of.

    Args:
        level: The level that needs it: 0, 1 or 2.
        stage: Where in a model's life it belongs.
        name: In a word or two: "data checks".
        asked: What is looked for, in words.
        is_shown: Whether a record of the ledger shows it.
        found: What is known, in words.
        evidence: Which record says so, as a node: "verdict:...", "" for none.
        at: When that was, None where nothing shows it.
        line: What to write into the project or slipway.toml first, "" for nothing.
        commands: What to type then, in order; () where it is shown.
    """

    level: int
    stage: JourneyStage
    name: str
    asked: str
    is_shown: bool
    found: str = ""
    evidence: str = ""
    at: datetime | None = None
    line: str = ""
    commands: tuple[str, ...] = ()


class ModelJourney(Struct, frozen=True, kw_only=True):
    """How far one model has come.

    Args:
        model: Its name.
        version: The version that was looked at: what serves, else the newest; 0 for none.
        level: The greatest level of which all is shown, with all of the levels below; None where level 0 is not.
        needed: The level that this stage of it needs.
        why: Why no more is needed, in words.
        is_enough: Whether the level is at least the needed one.
        in_production: Whether it serves or scores in prod, or was promoted there.
        items: All that was looked for, by level.
        value: What it is worth where that is known, in words.
    """

    model: str
    version: int
    level: int | None
    needed: int
    why: str
    is_enough: bool
    in_production: bool
    items: tuple[JourneyItem, ...]
    value: str = ""

    @property
    def shown(self) -> int:
        """How many items are shown."""
        return sum(item.is_shown for item in self.items)


class Share(Struct, frozen=True, kw_only=True):
    """Part of a whole, with its 95 % interval; `low` and `high` are None where there is too little to tell."""

    part: int
    whole: int
    low: float | None = None
    high: float | None = None


class Median(Struct, frozen=True, kw_only=True):
    """A median of durations, in seconds.

    Args:
        count: Of how many.
        seconds: The median, None of none.
        low: Lower end of its 95 % interval, None where there are fewer than six.
        high: Upper end.
    """

    count: int
    seconds: float | None = None
    low: float | None = None
    high: float | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """The four DORA figures of an endpoint, or of all together (name "").

    Args:
        endpoint: Its name.
        days: Over how many days: from the first deployment until now.
        deployments: How often another version began to serve, but for ways back.
        a_week: Deployments a week, None where there are too few to tell.
        low: Lower end of its 95 % interval.
        high: Upper end.
        lead_time: From the first record of a version's run until it served.
        change_fail: Deployments that were taken back or caused an incident, of all.
        restore: From the opening of an incident to its closing.
        untold: Deployments whose lead time cannot be told: their run is not here, or clocks disagree.
        open: Incidents that are open.
    """

    endpoint: str
    days: float
    deployments: int
    a_week: float | None = None
    low: float | None = None
    high: float | None = None
    lead_time: Median
    change_fail: Share
    restore: Median
    untold: int = 0
    open: int = 0


class Refusals(Struct, frozen=True, kw_only=True):
    """How often one check of gates refused, and of how many bundles; `cannot_tell` of them for want of evidence."""

    check: str
    verdicts: int
    bundles: int
    cannot_tell: int = 0


class SlowStage(Struct, frozen=True, kw_only=True):
    """One stage of promotions: how long it took where it is done, and how many wait in it now."""

    stage: str
    took: Median
    waiting: int = 0


class Friction(Struct, frozen=True, kw_only=True):
    """Where the way is hard.

    Args:
        verdicts: Verdicts that were kept.
        refused: How many of them refused.
        refusals: By check, the most frequent first.
        break_glass: How often a refused bundle was let serve by somebody's word.
        stages: Stages of promotions, the slowest first.
    """

    verdicts: int
    refused: int
    refusals: tuple[Refusals, ...] = ()
    break_glass: int = 0
    stages: tuple[SlowStage, ...] = ()


class NextStep(Struct, frozen=True, kw_only=True):
    """A missing item that is worth bringing next, and for how many models it is missing."""

    model: str
    item: JourneyItem
    models: int


class Journey(Struct, frozen=True, kw_only=True):
    """How far all models of a project have come.

    Args:
        models: By name.
        pilot: The most representative one, "" for none.
        pilot_why: Why that one, in words.
        steps: The next steps over all models, at most three.
        together: The DORA figures of all endpoints.
        endpoints: The same of each.
        friction: Where the way is hard.
    """

    models: tuple[ModelJourney, ...]
    pilot: str = ""
    pilot_why: str = ""
    steps: tuple[NextStep, ...] = ()
    together: Delivery
    endpoints: tuple[Delivery, ...] = ()
    friction: Friction


operations = (
    Operation(
        name="journey.all",
        summary="Say how far every model has come, what to do next, and how well delivery goes.",
        permission="models.read",
        request=Empty,
        response=Journey,
        body="slipway.flows.journey:journey",
    ),
    Operation(
        name="journey.model",
        summary="Say how far one model has come, and which command brings what is missing.",
        permission="models.read",
        request=GetJourney,
        response=ModelJourney,
        body="slipway.flows.journey:model_journey",
    ),
)
