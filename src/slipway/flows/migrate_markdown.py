"""A plan of a migration as a document: for whoever reads Markdown and no pages."""

from __future__ import annotations

from slipway.flows.ci_markdown import escaped
from slipway.operations.migrations import MigrationPlan, Moving

__all__ = ["markdown"]


def markdown(project: str, plan: MigrationPlan) -> str:
    """The plan as Markdown: pilots with reasons, waves, and of each model what is missing, by whom and until when.

    Args:
        project: Its name.
        plan: As it stands.
    """
    lines = [f"# Moving the models of {escaped(project)}", "", plan.sentence, "", "## Pilots", ""]
    for one in plan.pilots:
        how = "chosen by a person" if one.is_chosen else f"{one.score} of 100 points"
        lines.append(f"- **{escaped(one.name)}**, {how}: {escaped(one.why)}.")
    lines += ["", "## Waves", "", "| wave | state | due | models |", "|---|---|---|---|"]
    for wave in plan.waves:
        names = ", ".join(escaped(name) for name in wave.models)
        lines.append(f"| {'pilots' if not wave.number else wave.number} | {wave.state} | {wave.due} | {names} |")
    for moving in plan.models:
        lines += ["", *_model(moving)]
    return "\n".join(lines) + "\n"


def _model(one: Moving) -> list[str]:
    lines = [
        f"## {escaped(one.old.name)}",
        "",
        f"{one.old.kind}, {escaped(one.old.owner or 'nobody')}: {one.state}.",
        "",
    ]
    lines += ["| phase | criterion | | found | owner | due |", "|---|---|---|---|---|---|"]
    for phase in one.phases:
        for each in phase.criteria:
            due = str(each.due) if each.due else ""
            cells = (f"{phase.name}, {each.side}", each.name, each.state, each.found, each.owner if due else "", due)
            lines.append(f"| {' | '.join(escaped(cell) for cell in cells)} |")
    return lines
