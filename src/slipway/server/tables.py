"""What the pages of tables show: columns with sparklines, checks by version, failing rows."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from markupsafe import Markup

from slipway.charts.sparks import spark_bars
from slipway.charts.text import percent
from slipway.operations.table_checks import ColumnSummary, Profile
from slipway.records.tables import CheckResult, TableVersion
from slipway.server.formats import duration, figure

__all__ = ["Cell", "Column", "check_rows", "columns", "state_of"]

_VERSIONS = 8


@dataclass(frozen=True)
class Column:
    """One column as a row of the page: its figures as text, its histogram as a drawing."""

    name: str
    kind: str
    personal: bool
    nulls: str
    distinct: str
    bars: Markup
    reach: str
    median: str
    mean: str
    top: str


@dataclass(frozen=True)
class Cell:
    """What a check found in one version."""

    word: str
    tone: str
    detail: str


def columns(newest: TableVersion, profile: Profile | None) -> list[Column]:
    """A row a column: from the profile, or from the version alone where none is kept."""
    if profile is None:
        personal = newest.about.personal
        return [
            Column(field.name, field.type, field.name in personal, "", "", Markup(), "", "", "", "")
            for field in newest.fields
        ]
    return [_column(column) for column in profile.columns]


def check_rows(versions: tuple[TableVersion, ...]) -> tuple[list[TableVersion], list[tuple[str, list[Cell | None]]]]:
    """The newest versions that have checks, and for each check what it found in each of them."""
    shown = [version for version in versions if version.checks][:_VERSIONS]
    names = dict.fromkeys(check.check for version in shown for check in version.checks)
    by_version = [{check.check: check for check in version.checks} for version in shown]
    return shown, [(name, [_cell(found.get(name)) for found in by_version]) for name in names]


def state_of(check: CheckResult) -> tuple[str, str]:
    """A check's result as a word and a tone."""
    if check.undecided:
        return "cannot tell", "warn"
    if check.passed:
        return "holds", "good"
    if check.severity == "block":
        return "broken", "bad"
    return ("set aside", "warn") if check.set_aside else ("warning", "warn")


def _cell(check: CheckResult | None) -> Cell | None:
    if check is None:
        return None
    word, tone = state_of(check)
    failed = check.set_aside or check.failed_rows
    return Cell(f"{failed:,}" if failed else word, tone, f"{word}. {check.note}".strip())


def _column(column: ColumnSummary) -> Column:
    empty = column.nulls + column.nans
    distinct = f"{'' if column.distinct_is_exact else 'about '}{column.distinct:,}" if column.kind != "other" else ""
    shown = partial(_shown, column.kind)
    reach = "" if column.low is None else f"{shown(column.low)} to {shown(column.high)}"
    top = ", ".join(f"{shown(value)} {percent(rows, column.rows)}" for value, rows in column.top[:3])
    return Column(
        name=column.name,
        kind=column.kind,
        personal=column.personal,
        nulls=percent(empty, column.rows) if empty else "none",
        distinct=distinct,
        bars=Markup(spark_bars(column.bars, title=_told(column))),  # its texts are escaped there
        reach=reach,
        median=shown(column.quantiles[2]) if column.quantiles else "",
        mean=shown(column.mean),
        top=top,
    )


def _told(column: ColumnSummary) -> str:
    shown = partial(_shown, column.kind)
    if column.bars_from is not None:
        return f"Rows of {column.name} from {shown(column.bars_from)} to {shown(column.bars_to)}"
    return f"Rows of the most frequent values of {column.name}"


def _shown(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "instant":
        at = datetime.fromisoformat(value)
        return f"{at.day} {at:%b %Y, %H:%M}"
    if kind == "date":
        return str(value)
    if kind == "duration":
        return duration(float(value))
    if isinstance(value, str):
        return value if len(value) <= 32 else f"{value[:31]}…"
    return figure(float(value))
