"""`slipway data profile` and `slipway data failing`: columns with sparklines, and rows that broke a check."""

import click

from slipway.charts.sparks import spark_text
from slipway.charts.text import percent
from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, facts, figure, instant
from slipway.operations.table_checks import ColumnSummary, Failing, FailingRows, Profile
from slipway.records.tables import CheckResult

__all__ = ["check_line", "failing", "profile"]

_WIDE = 24


@click.command()
@click.argument("name", metavar="TABLE")
@click.option(
    "--version", default="", metavar="V", help="A number, hash, tag, branch or date; the current one if missing."
)
@click.option("--against", default="", metavar="V2", help="Another version: say which columns moved since.")
@opened
def profile(door: Door, name: str, version: str, against: str) -> None:
    """Show a table's columns: nulls, distinct values, range, mean, quantiles and a sparkline each."""
    door.show(door.call("tables.profile", name=name, version=version, against=against), profile_text)


@click.command()
@click.argument("name", metavar="TABLE")
@click.argument("check", metavar="[CHECK]", default="")
@click.option(
    "--version", default="", metavar="V", help="A version, or `refused`; what was refused last or the current."
)
@click.option("--limit", default=20, show_default=True, metavar="N", help="How many rows a check.")
@opened
def failing(door: Door, name: str, check: str, version: str, limit: int) -> None:
    """Show rows that broke a table's checks: all of them, or those with CHECK in their words."""
    door.show(door.call("tables.failing", name=name, check=check, version=version, limit=limit), failing_text)


def profile_text(answer: Profile) -> str:
    """A profile as a table of text."""
    beside = f", beside version {answer.against}" if answer.against else ""
    title = f"{answer.table}, version {answer.number} ({answer.version[:12]}){beside}: {count(answer.rows, 'row')}"
    head = ["column", "kind", "nulls", "distinct", "least", "5 %", "median", "95 %", "greatest", "mean", "histogram"]
    rows = [_row(column) for column in answer.columns]
    if answer.against:
        head.append("since then")
        rows = [[*row, column.change] for row, column in zip(rows, answer.columns, strict=True)]
    parts = [title, columns(head, rows, empty="It has no columns.")]
    most = [
        (column.name, ", ".join(f"{value} {percent(times, column.rows)}" for value, times in column.top))
        for column in answer.columns
        if column.top
    ]
    if most:
        parts.append(columns(("column", "most frequent"), most, empty=""))
    told = [(column.name, column.told) for column in answer.columns if column.change in ("moved", "cannot tell", "new")]
    if told:
        parts.append(facts(told))
    return "\n\n".join(parts)


def failing_text(answer: FailingRows) -> str:
    """Failing rows as tables of text."""
    if answer.refusal is not None:
        refused = answer.refusal
        where = f" from {refused.source}" if refused.source else ""
        title = f"{answer.table}: {count(refused.rows, 'row')}{where} were refused at {instant(refused.created_at)} UTC"
    else:
        title = f"{answer.table}, version {answer.number}"
    if not answer.checks:
        return f"{title}: every check holds."
    return "\n\n".join([title, *map(_check_text, answer.checks)])


def check_line(check: CheckResult) -> str:
    """A check's result in a line."""
    if check.undecided:
        return f"cannot tell {check.check}. {check.note}".rstrip()
    if check.passed:
        return f"holds       {check.check}"
    mark = "BROKEN     " if check.severity == "block" else "set aside  " if check.set_aside else "warning    "
    failed = check.set_aside or check.failed_rows
    found = f": {failed:,} of {count(check.rows + check.set_aside, 'row')}" if failed else ""
    sample = f"For example {', '.join(check.sample[:3])}." if check.sample else ""
    return " ".join(filter(None, [f"{mark} {check.check}{found}.", check.note, sample]))


def _check_text(found: Failing) -> str:
    line = check_line(found.result)
    if not found.rows:
        return f"{line}\n  No rows of it are kept."
    shown = [[_short(value) for value in row] for row in found.rows]
    table = columns(found.columns, shown, empty="")
    left = found.result.failed_rows + found.result.set_aside - len(found.rows)
    more = f"\n  and {count(left, 'more row')}" if left > 0 else ""
    return f"{line}\n{table}{more}"


def _row(column: ColumnSummary) -> list[str]:
    quantiles = [_value(column, value) for value in column.quantiles] or [""] * 5
    low, high, mean = (_value(column, value) for value in (column.low, column.high, column.mean))
    distinct = f"{'' if column.distinct_is_exact else '~'}{column.distinct:,}" if column.kind != "other" else ""
    empty = column.nulls + column.nans
    return [
        column.name,
        column.kind,
        percent(empty, column.rows) if empty else "-",
        distinct,
        *(low, quantiles[0], quantiles[2], quantiles[4], high, mean),
        "(personal)" if column.personal and column.low is None else spark_text(column.bars),
    ]


def _value(column: ColumnSummary, value: str | int | float | bool | None) -> str:
    if value is None:
        return ""
    if column.kind == "instant":
        return str(value)[:16].replace("T", " ")
    if column.kind == "duration":
        return f"{figure(float(value))} s"
    return _short(value) if isinstance(value, str) else figure(float(value))


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _WIDE else f"{plain[: _WIDE - 1]}…"
