"""The journey: each model's level of maturity, whether that is enough for its stage, and what to do next.

Nothing is asked of anybody: what no record of the ledger shows is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from slipway.errors import NotFound, near
from slipway.flows.delivery import deliveries, friction
from slipway.flows.journey_evidence import Known, known_of
from slipway.flows.journey_items import items_of
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.journey import GetJourney, Journey, JourneyItem, ModelJourney, NextStep
from slipway.ports.workspace import Workspace

__all__ = [
    "FEW_CHANGES",
    "LEVELS",
    "LOW_VALUE",
    "RECENT",
    "journey",
    "judged",
    "level_of",
    "model_journey",
    "needed_of",
]

LEVELS = (0, 1, 2)
LOW_VALUE = 10_000.0
"""A model that is expected to be worth less in a year, in whatever currency, needs no delivery of its pipeline."""
FEW_CHANGES = 2
"""Code that changed no more often than so within `RECENT` brings new data to callers, and no new ideas."""
RECENT = timedelta(days=180)
_STEPS = 3


def journey(workspace: Workspace, request: Empty) -> Journey:
    """How far all models of the project have come, what to do next, and how well delivery goes."""
    now = workspace.clock.now()
    models = tuple(judged(known_of(workspace, name), now) for name in registry.names(workspace))
    pilot, why = _pilot(models)
    together, each = deliveries(workspace)
    return Journey(
        models=models,
        pilot=pilot,
        pilot_why=why,
        steps=_steps(models),
        together=together,
        endpoints=each,
        friction=friction(workspace),
    )


def model_journey(workspace: Workspace, request: GetJourney) -> ModelJourney:
    """How far one model has come.

    Raises:
        NotFound: There is no model of that name.
    """
    names = registry.names(workspace)
    if request.name not in names:
        fix = near(request.name, names, what="models") if names else "Make one: slipway run PIPELINE"
        raise NotFound(f"There is no model {request.name!r} in {workspace.project!r}.", fix=fix)
    return judged(known_of(workspace, request.name), workspace.clock.now())


def judged(known: Known, now: datetime) -> ModelJourney:
    """Judge a model by what is known of it.

    Args:
        known: What the ledger has.
        now: Business time.
    """
    items = items_of(known)
    level, (needed, why) = level_of(items), needed_of(known, now)
    return ModelJourney(
        model=known.model,
        version=known.version.number if known.version is not None else 0,
        level=level,
        needed=needed,
        why=why,
        is_enough=level is not None and level >= needed,
        in_production=known.in_production,
        items=items,
        value=_value(known),
    )


def level_of(items: Sequence[JourneyItem]) -> int | None:
    """The greatest level of which all is shown, with all of the levels below; None where something of level 0 is not."""
    reached: int | None = None
    for level in LEVELS:
        if not all(item.is_shown for item in items if item.level == level):
            return reached
        reached = level
    return reached


def needed_of(known: Known, now: datetime) -> tuple[int, str]:
    """The level that a model's stage needs, and why no more: the first rule that applies.

    0 for a pilot that is not in production. 1 in production for a batch, for what is worth little, and where nearly
    nothing but data changes. 2 otherwise.
    """
    if not known.in_production:
        return 0, "It is a pilot: nothing of it is in prod."
    if known.is_batch:
        return 1, "It is in prod and scores tables only: a scoring can be made again, nobody waits for it."
    terms = known.scope.terms if known.scope is not None else None
    if terms is not None and 0 < terms.value < LOW_VALUE:
        return 1, f"It is in prod, and worth {terms.value:,.0f} {terms.currency} a year: less than {LOW_VALUE:,.0f}."
    changes = _changes(known, now - RECENT)
    if changes <= FEW_CHANGES:
        times = "never" if not changes else f"{changes} time{'s' if changes > 1 else ''}"
        return 1, f"It is in prod, and its code changed {times} in {RECENT.days} days: new data, no new ideas."
    return 2, f"It is in prod, answers live, and its code changed {changes} times in {RECENT.days} days."


def _changes(known: Known, since: datetime) -> int:
    """How often the code that makes it changed, from run to run."""
    codes = [run.code.closure or run.code.commit for run in known.runs if run.created_at >= since]
    return sum(one != other for one, other in pairwise(code for code in codes if code))


def _value(known: Known) -> str:
    """What it is worth: as measured by a KPI monitor, else as its owner expects, "" where nobody says."""
    names = {(one.name, each.name) for one in known.live for each in one.monitors if each.kind == "kpi"}
    for one in known.findings:
        if (one.parent_id.partition("/")[2], one.name) in names and one.state in ("ok", "note", "alert"):
            return one.sentence
    if known.scope is not None and known.scope.terms.value:
        terms = known.scope.terms
        return f"{terms.value:,.0f} {terms.currency} a year, as its owner expects; nothing measured it"
    return ""


def _pilot(models: Sequence[ModelJourney]) -> tuple[str, str]:
    """The model that others should learn from: of those in production with labels and a known value, the one with most shown."""
    fit = [one for one in models if one.in_production and one.value and _has(one, "labels")]
    if not fit:
        return "", "No model is in prod, judged by labels, and of known value."
    best = max(fit, key=lambda one: (one.shown, one.model))
    told = f"{best.shown} of {len(best.items)} items are shown, the most of {len(fit)} in prod with labels and a value."
    return best.model, f"{best.model}: {told}"


def _has(one: ModelJourney, name: str) -> bool:
    return any(item.name == name and item.is_shown for item in one.items)


def _steps(models: Sequence[ModelJourney]) -> tuple[NextStep, ...]:
    """What is missing to the level that each model needs: the lowest level first, then what most models lack."""
    lacking = [
        (one, place, item)
        for one in models
        if not one.is_enough
        for place, item in enumerate(one.items)
        if not item.is_shown and item.level <= one.needed
    ]
    times = Counter(item.name for _, _, item in lacking)
    lacking.sort(key=lambda one: (one[2].level, -times[one[2].name], one[1], one[0].model))
    first = {item.name: (one, item) for one, _, item in reversed(lacking)}
    ordered = list(dict.fromkeys(item.name for _, _, item in lacking))[:_STEPS]
    return tuple(NextStep(model=first[name][0].model, item=first[name][1], models=times[name]) for name in ordered)
