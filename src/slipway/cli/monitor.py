"""`slipway monitor`: what the monitors of an endpoint see."""

from __future__ import annotations

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, instant
from slipway.cli.monitor_quality import quality
from slipway.operations.drift import DriftRow, DriftTable

__all__ = ["monitor"]


@click.group()
def monitor() -> None:
    """Show what the monitors of an endpoint see."""


@monitor.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--all", "is_all", is_flag=True, help="Show what is steady too.")
@opened
def drift(door: Door, name: str, is_all: bool) -> None:
    """Show how each input and the answers stand against windows of the same weekday and hour before."""
    door.show(door.call("endpoints.drift", name=name), lambda found: _drift_text(found, is_all=is_all))


def _drift_text(found: DriftTable, *, is_all: bool) -> str:
    if found.window_from is None or found.window_until is None:
        return found.note or f"{found.endpoint} has answered nothing over a whole window yet."
    season = f" against {found.season}" if found.season else ""
    about = (
        f"{found.model}: {found.rows:,} rows from {instant(found.window_from)} to {instant(found.window_until)}{season}"
    )
    budget = (
        "drift is noted and pages nobody"
        if found.pages_a_month is None
        else f"at most {found.pages_a_month:g} false pages a month"
    )
    shown = [one for one in found.columns if is_all or one.verdict in ("drifted", "moved")]
    heads = (
        "column",
        "question",
        "verdict",
        "effect",
        "95 % interval",
        "floor",
        "since (UTC)",
        "used",
        "rows (effective)",
    )
    table = columns(heads, [_row(one) for one in shown], empty="")
    verdicts = [one.verdict for one in found.columns]
    counts = (
        f"{verdicts.count('steady')} steady, {verdicts.count('cannot tell')} cannot tell, {len(verdicts)} questions."
    )
    return "\n\n".join(part for part in (f"{about}; {budget}.", *found.broken, table, counts) if part)


def _row(one: DriftRow) -> tuple[str, ...]:
    is_told = one.verdict != "cannot tell"
    shown = ".2f" if one.question == "dependence" else ".1%"  # of a correlation, or of the rows
    return (
        f"{one.column} and {one.other}" if one.other else one.column,
        one.question,
        one.verdict,
        f"{one.effect:{shown}}" if is_told else "",
        f"{one.low:{shown}} to {one.high:{shown}}" if is_told else "",
        f"{one.floor:{shown}}",
        "" if one.since is None else instant(one.since),
        "yes" if one.is_used else "no",
        f"{one.rows:,} ({one.effective:,})",
    )


monitor.add_command(quality)
