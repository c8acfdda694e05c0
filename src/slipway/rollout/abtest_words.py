"""What an A/B test says to somebody who has to decide: sentences about its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from slipway.records.abtests import ABTestSpec, ABVerdict, ArmResult
from slipway.schema.durations import in_words

__all__ = ["arm_line", "recommendation", "split_told", "unknown"]


def split_told(
    arms: Sequence[ArmResult],
    shares: Sequence[float],
    *,
    two: int,
    strangers: int,
    assigned_broken: bool,
    measured_broken: bool,
) -> str:
    """Why nothing can be said, "" where the split is what was declared.

    Args:
        arms: The control first, with their entities.
        shares: The declared ones, in the same order.
        two: Entities that were seen in more than one arm.
        strangers: Rows of an arm that the test does not have.
        assigned_broken: Whether the entities did not fall to the arms by the shares.
        measured_broken: The same of those that have a label.
    """
    void = "The test is void:"
    again = "Find the reason, and begin a new test: these figures can never be mended."
    if strangers:
        return f"{void} {strangers:,} rows were answered by an arm that it does not have. {again}"
    if two:
        who = "entity was" if two == 1 else "entities were"
        return f"{void} {two:,} {who} seen in more than one arm, so no difference can be put down to an arm. {again}"
    named = list(zip(arms, shares, strict=True))
    if assigned_broken:
        told = ", ".join(f"{arm.name} {arm.assigned:,} ({share:.0%} declared)" for arm, share in named)
        return f"{void} entities did not fall to the arms by the declared shares: {told}. {again}"
    if measured_broken:
        told = ", ".join(f"{arm.name} {arm.measured:,} of {arm.assigned:,}" for arm in arms)
        return (
            f"{void} labels came for one arm more often than for another: {told}. Whose outcome is known depends on the "
            f"arm, so the outcomes cannot be compared. {again}"
        )
    return ""


def recommendation(
    spec: ABTestSpec,
    results: Sequence[ArmResult],
    verdict: ABVerdict,
    more: int | None,
    in_days: float | None,
    *,
    is_overdue: bool,
) -> str:
    """One sentence that says what to do, and one that says why.

    Args:
        spec: The test's.
        results: The control first.
        verdict: Of the look.
        more: How many more entities are needed, None where nobody can say.
        in_days: How long they take to come.
        is_overdue: Whether the deadline has passed.
    """
    better = [one for one in results[1:] if one.verdict == "better"]
    if better:
        sign = 1 if spec.better == "higher" else -1
        best = max(better, key=lambda one: sign * (one.effect or 0.0))
        rest = [one.name for one in results[1:] if one.verdict == "undecided"]
        told = f" Of {', '.join(rest)} nothing is sure yet." if rest else ""
        return f"Promote {best.name}: {arm_line(spec, best)}.{told}"
    if verdict == "decided":
        return f"Keep the champion: {'; '.join(f'{one.name} {_why(spec, one)}' for one in results[1:])}."
    if not any(one.measured for one in results):
        told = f"no entity's outcome is known yet: its window of {in_words(spec.window_us)} must pass and a label come"
    elif more is None:
        told = "there are too few entities to say how many more are needed"
    else:
        days = "" if in_days is None else f", {_days(in_days)} at present traffic"
        told = f"about {more:,} more entities are needed{days}, to tell a difference of {_figure(spec, spec.minimal_effect)}"
    if is_overdue:
        return f"Decide yourself: the deadline of {in_words(spec.deadline_us)} has passed, and {told}."
    return f"Go on: {told}."


def arm_line(spec: ABTestSpec, one: ArmResult) -> str:
    """An arm's effect with its interval, and what it is worth a month."""
    if one.effect is None:
        return "nothing is known of it yet"
    side = "more" if one.effect >= 0 else "less"
    told = f"{_figure(spec, abs(one.effect))} {side} a row{_interval(one.low, one.high)}"
    if one.month is None:
        return told
    unit = f" {spec.unit}" if spec.unit else ""
    return f"{told}, {one.month:+,.4g}{unit} a month{_interval(one.month_low, one.month_high)} at present traffic"


def unknown(
    spec: ABTestSpec, results: Sequence[ArmResult], notes: Mapping[str, str], *, labelled: float
) -> tuple[str, ...]:
    """What is not known, a sentence each.

    Args:
        spec: The test's.
        results: The control first.
        notes: Why an arm has no interval, by its name; "" where it has one.
        labelled: The share of entities with an outcome among those whose window is over; NaN where there is none.
    """
    told = [
        f"What happens after the first {in_words(spec.window_us)} of an entity is not counted.",
        "A month's value takes an entity's rows to gain alike, however many it has, and traffic to stay as it is.",
    ]
    if math.isfinite(labelled) and labelled < 0.995:
        told.append(f"{1 - labelled:.0%} of the entities whose window is over have no label, in all arms alike.")
    if any(one.covered for one in results):
        rows = ", ".join(f"{one.covered:,} rows of arm {one.name}" for one in results if one.covered)
        told.append(f"The champion answered {rows} because that arm's model failed; they count for the arm.")
    told += [f"{name} has no interval yet: {note}." for name, note in notes.items() if note]
    if not spec.looks_us:
        told.append("The intervals hold at every look, and are wider than that of a single one would be.")
    return tuple(told)


def _why(spec: ABTestSpec, one: ArmResult) -> str:
    if one.verdict == "worse":
        return f"is worse, {arm_line(spec, one)}"
    return f"differs by less than {_figure(spec, spec.minimal_effect)}{_interval(one.low, one.high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:+,.4g} to {high:+,.4g})"


def _figure(spec: ABTestSpec, value: float) -> str:
    return f"{value:,.4g} {spec.unit or spec.metric}"


def _days(days: float) -> str:
    whole = max(1, math.ceil(days))
    return f"{whole:,} day{'' if whole == 1 else 's'}"
