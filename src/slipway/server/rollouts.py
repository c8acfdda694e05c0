"""What the endpoint's page shows of a roll-out: its plan as a way with steps, and how its evidence settled."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from slipway.charts.evidence import SeenAt, evidence_chart
from slipway.records.rollouts import Look, Rollout
from slipway.server.formats import count

__all__ = ["Stage", "evidence_charts", "plan", "stages"]

_US_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class Stage:
    """One stage of the way: "shadow" or "10 %", and whether it is passed, present, ahead, or where it ended."""

    title: str
    place: Literal["passed", "present", "ahead", "ended"]


def stages(rollout: Rollout) -> list[Stage]:
    """The stages of a roll-out, in order, and where it stands or ended."""
    steps = rollout.spec.canary.steps if rollout.spec.canary else ()
    ways = [("shadow", 0)] if rollout.spec.shadow else []
    ways += [("canary", step) for step in range(len(steps))]
    titles = ["shadow" if phase == "shadow" else f"{steps[step]} %" for phase, step in ways]
    if rollout.state == "promoted":
        return [*(Stage(title, "passed") for title in titles), Stage("promoted", "present")]
    phase, step = (rollout.state, rollout.step) if rollout.is_under_way else _last(rollout)
    at = ways.index((phase, step)) if (phase, step) in ways else 0
    places: list[Literal["passed", "present", "ahead", "ended"]] = [
        "passed" if place < at else "ahead" if place > at else "present" if rollout.is_under_way else "ended"
        for place in range(len(ways))
    ]
    return [*(Stage(title, place) for title, place in zip(titles, places, strict=True)), Stage("promoted", "ahead")]


def _last(rollout: Rollout) -> tuple[str, int]:
    """The phase and step in which a roll-out ended."""
    if rollout.looks:
        return rollout.looks[-1].phase, rollout.looks[-1].step
    return ("shadow", 0) if rollout.spec.shadow else ("canary", rollout.step)


def plan(rollout: Rollout) -> str:
    """The plan in words."""
    parts = []
    if rollout.spec.shadow is not None:
        shadow = rollout.spec.shadow
        parts.append(
            f"in shadow for {_days(shadow.min_us)} to {_days(shadow.deadline_us)}, "
            f"until {shadow.metric.replace('_', ' ')} is shown to be less than {shadow.margin:g} worse"
        )
    if rollout.spec.canary is not None:
        canary = rollout.spec.canary
        parts.append(
            f"then {', '.join(str(step) for step in canary.steps)} % of the rows, while failures are shown to be less "
            f"than {canary.margin:g} more frequent"
        )
    return "; ".join(parts).removeprefix("then ")


def _days(us: int) -> str:
    days = us / _US_A_DAY
    return count(int(days), "day") if days.is_integer() else f"{days:g} days"


def evidence_charts(rollout: Rollout) -> list[Markup]:
    """The evidence look by look: in shadow by the metric, in the canary by failures; [] where no look had a bound."""
    found = []
    shadow, canary = rollout.spec.shadow, rollout.spec.canary
    if shadow is not None and (seen := _in_shadow(rollout)):
        metric = shadow.metric.replace("_", " ")
        chart = evidence_chart(
            seen,
            margin=shadow.margin,
            title="In shadow: is it worse?",
            y_label=f"{metric}, challenger minus champion (higher is worse)",
        )
        found.append(Markup(chart))  # its texts are escaped there
    if canary is not None and (seen := _in_canary(rollout, canary.steps)):
        chart = evidence_chart(
            seen,
            margin=100 * canary.margin,
            title="With callers: does it fail more often?",
            y_label="percentage points more failures than the champion, at most",
        )
        found.append(Markup(chart))
    return found


def _in_shadow(rollout: Rollout) -> list[SeenAt]:
    found: list[SeenAt] = []
    for look in rollout.looks:
        value, low, high = (_first(look.values, names) for names in _BOUNDS)
        if look.phase == "shadow" and high is not None:
            step = "" if found else "shadow"
            found.append(SeenAt(at=_day(look), high=high, verdict=look.verdict, value=value, low=low, step=step))
    return found


def _in_canary(rollout: Rollout, steps: tuple[int, ...]) -> list[SeenAt]:
    found: list[SeenAt] = []
    last = -1
    for look in rollout.looks:
        bound = _first(look.values, ("bound",))
        if look.phase == "canary" and bound is not None:
            step = f"{steps[look.step]} %" if look.step != last and look.step < len(steps) else ""
            found.append(SeenAt(at=_day(look), high=100 * bound, verdict=look.verdict, step=step))
            last = look.step
    return found


def _day(look: Look) -> str:
    return f"{look.at.day} {look.at.strftime('%b')}"


_BOUNDS = (("difference", "value", "mean"), ("low", "lower"), ("high", "upper"))


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    found = [values[name] for name in names if isinstance(values.get(name), int | float)]
    return float(found[0]) if found and math.isfinite(found[0]) else None
