"""Checks of a table as a whole, judged: its number of rows, its age, its distributions beside an earlier version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from slipway.data.check_rules import check_columns
from slipway.data.profiles import profile_of, stored
from slipway.data.stability import Compared, compared
from slipway.data.table_checks import Fresh, Rows, Stable, TableCheck
from slipway.errors import InvalidDeclaration, NotFound
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableVersion
from slipway.stats.column_profiles import TableProfile
from slipway.tables.catalog import history
from slipway.tables.versions import read, reads

__all__ = ["Whole", "judge_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What is known of a version that would be made.

    Args:
        table: The table's name.
        rows: How many it would have.
        came: The rows that come.
        profile: Their profile.
        former: The version that is current, None for none.
        stays: Its rows that stay in the table, None where none do.
    """

    table: str
    rows: int
    came: pl.DataFrame | pl.LazyFrame
    profile: TableProfile
    former: TableVersion | None
    stays: pl.LazyFrame | None


def judge_table(workspace: Workspace, checks: Sequence[TableCheck], whole: Whole) -> tuple[CheckResult, ...]:
    """The result of each check.

    Raises:
        InvalidDeclaration: A check names a column that is not there, or of a type that it cannot judge.
        NotFound: The version to compare with is none.
    """
    results = []
    for check in checks:
        if isinstance(check, Rows):
            broken, note = _rows(check, whole)
            results.append(_result(check, whole.rows, broken, note))
        elif isinstance(check, Fresh):
            broken, note = _fresh(check, whole, workspace.clock.now())
            results.append(_result(check, whole.rows, broken, note))
        else:
            results.append(_stable(workspace, check, whole))
    return tuple(results)


def _rows(check: Rows, whole: Whole) -> tuple[bool, str]:
    before = None if whole.former is None else whole.former.rows
    note = f"{whole.rows:,} rows" + ("" if before is None else f", {before:,} before")
    if check.at_least is not None and whole.rows < check.at_least:
        return True, f"{note}."
    if check.at_most is not None and whole.rows > check.at_most:
        return True, f"{note}."
    if before is None:
        return False, f"{note}."
    fewer = check.shrinks_at_most is not None and whole.rows < before * (1 - check.shrinks_at_most)
    more = check.grows_at_most is not None and whole.rows > before * (1 + check.grows_at_most)
    return fewer or more, f"{note}."


def _fresh(check: Fresh, whole: Whole, now: datetime) -> tuple[bool, str]:
    schema = whole.came.collect_schema()
    check_columns(check, (check.column,), schema, whole.table)
    dtype = schema[check.column]
    if not (isinstance(dtype, pl.Date) or (isinstance(dtype, pl.Datetime) and dtype.time_zone)):
        raise InvalidDeclaration(
            f"The check '{check}' of the table {whole.table!r} does not fit its column: {check.column} is {dtype}.",
            why="Age is told from instants (datetimes with a time zone) or dates.",
            fix=f"Say which zone: pl.col({check.column!r}).dt.replace_time_zone('UTC').",
        )
    newest = _newest(whole.came, check.column)
    if whole.stays is not None and (newest is None or now - newest > check.within):
        newest = max(filter(None, [newest, _newest(whole.stays, check.column)]), default=None)
    if newest is None:
        return True, f"{check.column} has no value."
    return (
        now - newest > check.within,
        f"The newest is of {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC, now is {now:%Y-%m-%d %H:%M}.",
    )


def _newest(rows: pl.DataFrame | pl.LazyFrame, column: str) -> datetime | None:
    if column not in rows.collect_schema():
        return None
    found = rows.lazy().select(pl.col(column).max()).collect(engine="streaming").item()
    if isinstance(found, date) and not isinstance(found, datetime):
        return datetime(found.year, found.month, found.day, tzinfo=UTC) + timedelta(days=1)
    return found if isinstance(found, datetime) else None


def _stable(workspace: Workspace, check: Stable, whole: Whole) -> CheckResult:
    schema = whole.came.collect_schema()
    check_columns(check, check.columns, schema, whole.table)
    earlier = _earlier(workspace, check, whole)
    if earlier is None:
        return _result(check, whole.rows, False, "There is no version before to compare with.", undecided=True)
    reference = stored(workspace, earlier)
    if reference is None:
        with reads.filled([]):
            reference = profile_of(read(workspace, whole.table, earlier.version))
    found: Compared = compared(whole.profile, reference, check, table=whole.table, than=f"version {earlier.number}")
    return _result(check, whole.profile.rows, found.moved, found.note, undecided=found.undecided)


def _earlier(workspace: Workspace, check: Stable, whole: Whole) -> TableVersion | None:
    if not check.like:
        return whole.former
    known = history(workspace, whole.table) if whole.former is not None else ()
    for version in known:
        if check.like == str(version.number) or version.version.startswith(check.like):
            return version
    raise NotFound(
        f"The check '{check}' of the table {whole.table!r} compares with the version {check.like!r}, which is none.",
        fix=f"List its versions: `slipway data show {whole.table}`.",
    )


def _result(check: TableCheck, rows: int, broken: bool, note: str, *, undecided: bool = False) -> CheckResult:
    return CheckResult(
        check=str(check),
        passed=not broken,
        severity=check.severity,
        failed_rows=0,
        rows=rows,
        note=note,
        undecided=undecided and not broken,
    )
