"""`slipway journey`: how far each model has come, and which command brings what is missing."""

from __future__ import annotations

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import age, columns, count, facts, instant, share
from slipway.operations.journey import Delivery, Friction, Journey, JourneyItem, Median, ModelJourney

__all__ = ["journey"]

_REFUSALS = 5
_WIDEST = 72


@click.command()
@click.argument("model", required=False)
@opened
def journey(door: Door, model: str | None) -> None:
    """Say how far MODEL has come (level 0, 1 or 2), from evidence only, and what brings it further; all models if missing.

    What counts as evidence, and which level is enough for which stage: docs/journey.md.
    """
    if model:
        door.show(door.call("journey.model", name=model), _model_text)
    else:
        door.show(door.call("journey.all"), _all_text)


def _level(one: ModelJourney) -> str:
    return "below 0" if one.level is None else str(one.level)


def _enough(one: ModelJourney) -> str:
    return "enough for this stage" if one.is_enough else f"this stage needs {one.needed}"


def _model_text(one: ModelJourney) -> str:
    head = facts(
        [
            ("model", f"{one.model} {one.version or ''}".strip()),
            ("level", f"{_level(one)}: {_enough(one)}"),
            ("why", one.why),
            ("value", one.value),
        ]
    )
    rows = [
        (
            str(item.level),
            item.stage,
            item.name,
            "shown" if item.is_shown else "missing",
            _cut(item.found),
            instant(item.at),
        )
        for item in one.items
    ]
    parts = [head, columns(("level", "stage", "item", "", "found", "when (UTC)"), rows, empty="")]
    missing = [item for item in one.items if not item.is_shown]
    for title, some in (
        ("Needed at this stage:", [item for item in missing if item.level <= one.needed]),
        ("Further on:", [item for item in missing if item.level > one.needed]),
    ):
        if some:
            parts.append("\n".join([title, *(line for item in some for line in _way(item))]))
    return "\n\n".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _way(item: JourneyItem) -> list[str]:
    declared = [
        f"    write  {line}" if not n else f"           {line}" for n, line in enumerate(item.line.splitlines())
    ]
    return [f"  {item.name}: {item.asked}", *declared, *(f"    {command}" for command in item.commands)]


def _all_text(answer: Journey) -> str:
    rows = [
        (
            one.model,
            _level(one),
            _enough(one),
            f"{one.shown} of {len(one.items)}",
            "prod" if one.in_production else "",
            one.why,
        )
        for one in answer.models
    ]
    head = ("model", "level", "", "shown", "", "why")
    parts = [columns(head, rows, empty="No model is registered yet. Make one: slipway run PIPELINE")]
    if answer.models:
        parts.append(f"Most representative pilot: {answer.pilot_why}")
    if answer.steps:
        lines = ["Next:"]
        for step in answer.steps:
            others = f" ({step.models} models lack it)" if step.models > 1 else ""
            first, *more = _way(step.item)
            lines += [f"  {step.model}, {first.strip()}{others}", *more]
        parts.append("\n".join(lines))
    if answer.endpoints:
        parts.append(_deliveries_text((answer.together, *answer.endpoints)))
    if answer.friction.verdicts or answer.friction.stages:
        parts.append(_friction_text(answer.friction))
    return "\n\n".join(parts)


def _deliveries_text(found: tuple[Delivery, ...]) -> str:
    rows = [
        (
            one.endpoint or "all together",
            str(one.deployments),
            _often(one),
            _median(one.lead_time),
            _failed(one),
            _median(one.restore),
        )
        for one in found
    ]
    head = ("endpoint", "deployments", "a week", "lead time", "failed", "time to restore")
    untold = found[0].untold
    note = (
        f"\nOf {untold} deployment{'s' if untold > 1 else ''} the lead time cannot be told: "
        "the run is not here, or clocks disagree."
    )
    return columns(head, rows, empty="") + (note if untold else "")


def _often(one: Delivery) -> str:
    if one.a_week is None or one.low is None or one.high is None:
        return "cannot tell"
    return f"{one.a_week:.2g} ({one.low:.2g} to {one.high:.2g})"


def _median(one: Median) -> str:
    if one.seconds is None:
        return "-"
    told = f"{age(one.low)} to {age(one.high)}, " if one.low is not None and one.high is not None else ""
    return f"{age(one.seconds)} ({told}{one.count})"


def _failed(one: Delivery) -> str:
    part = one.change_fail
    if part.low is None or part.high is None:
        return f"{part.part} of {part.whole}"
    return f"{share(part.part, part.whole)} ({part.low:.0%} to {part.high:.0%}, {part.part} of {part.whole})"


def _friction_text(found: Friction) -> str:
    lines = [
        f"Gates refused {found.refused} of {count(found.verdicts, 'time')}; break-glass was used {count(found.break_glass, 'time')}.",
        *(
            f"  {one.check}: {count(one.verdicts, 'time')}, {count(one.bundles, 'bundle')}"
            + (f", {one.cannot_tell} for want of evidence" if one.cannot_tell else "")
            for one in found.refusals[:_REFUSALS]
        ),
        *(
            f"  stage {one.stage} of promotions: {_median(one.took)}"
            + (f", {one.waiting} waiting" if one.waiting else "")
            for one in found.stages
        ),
    ]
    return "\n".join(lines)
