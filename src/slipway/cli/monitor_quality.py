"""`slipway monitor quality`: the cohorts of an endpoint, as its labels come in."""

from __future__ import annotations

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns
from slipway.operations.quality import CohortTable, QualityReport
from slipway.records.cohorts import CohortRow

__all__ = ["quality"]


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--days", type=click.IntRange(1, 366), default=14, show_default=True, help="Of how many days of decisions."
)
@opened
def quality(door: Door, name: str, days: int) -> None:
    """Show, by day of decision, how many labels are in and what they say so far."""
    door.show(door.call("endpoints.quality", name=name, days=days), _text)


def _text(report: QualityReport) -> str:
    return "\n\n".join([report.sentence, *(_table(table) for table in report.tables)])


def _table(table: CohortTable) -> str:
    head = (
        "day",
        "bundle",
        "arm",
        "predictions",
        "labelled",
        "usual",
        "state",
        table.metric,
        "late classes allowed for",
    )
    rows = [
        (
            f"{row.day:%a %Y-%m-%d}",
            row.bundle[:8],
            row.arm,
            f"{row.predictions:,}",
            f"{row.share:.0%}",
            "" if row.usual is None else f"{row.usual:.0%}",
            row.state,
            _figure(row.value, row.low, row.high),
            "" if row.state == "mature" else _figure(row.adjusted, row.adjusted_low, row.adjusted_high),
        )
        for row in table.cohorts
    ]
    rule = f" No label by then means {table.absent}." if table.absent else ""
    told = f"{table.metric}, labels due after {table.label_delay}.{rule}"
    newest = next((row.sentence for row in table.cohorts if row.labels), "")
    odd = [row.sentence for row in table.cohorts if _is_odd(row) and row.sentence != newest]
    parts = [told, columns(head, rows, empty="Nothing was answered in these days."), newest, *odd]
    return "\n".join(part for part in parts if part)


def _is_odd(row: CohortRow) -> bool:
    return row.state == "late" or bool(row.misfits) or bool(row.early)


def _figure(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "cannot tell"
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} ({low:.4g} to {high:.4g})"
