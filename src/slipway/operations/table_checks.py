"""Profiles of tables, rows that broke a check, and rows that were refused."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.tables import CheckResult, TableRefusal

__all__ = [
    "ColumnSummary",
    "Failing",
    "FailingRows",
    "GetProfile",
    "GetRefusals",
    "Profile",
    "Refusals",
    "ShowFailing",
    "operations",
]

Value = str | int | float | bool | None


class GetProfile(Struct, frozen=True, kw_only=True):
    """Which version of which table, and beside which other.

    Args:
        name: The table.
        version: Its number, hash, tag, branch or date; "" for the current one.
        against: The version to compare with, "" for none.
    """

    name: str
    version: str = ""
    against: str = ""


class ColumnSummary(Struct, frozen=True, kw_only=True):
    """One column of a version.

    Args:
        name: Its name.
        kind: What its values are: "number", "integer", "instant", "date", "duration", "boolean", "text" or "other".
        rows: How many.
        nulls: Without a value.
        nans: Not a number.
        distinct: About how many different values.
        distinct_is_exact: Whether exactly; otherwise the standard error is about 4.4 %.
        low: The smallest value; instants and dates as ISO 8601, durations in seconds.
        mean: The mean of the numbers, None where there is none.
        high: The greatest value.
        quantiles: The values below which 5, 25, 50, 75 and 95 % of the rows lie, () where values have no such order.
        top: The most frequent values and their rows, () where there are too many different ones.
        bars: The histogram: rows in stretches of equal length; of texts, rows of the most frequent values.
        bars_from: Where the first stretch begins.
        bars_to: Where the last one ends.
        personal: Whether it tells something of a person: then no value is shown to who may not see them.
        change: Beside the other version: "moved", "steady", "cannot tell", "new" or "".
        told: The same in words.
        differences: Beside the other version, what its figures say otherwise, a sentence each.
        bars_before: Its histogram in the other version, over its own range there; () where it has none.
    """

    name: str
    kind: str
    rows: int
    nulls: int
    nans: int = 0
    distinct: int = 0
    distinct_is_exact: bool = True
    low: Value = None
    mean: Value = None
    high: Value = None
    quantiles: tuple[Value, ...] = ()
    top: tuple[tuple[str, int], ...] = ()
    bars: tuple[int, ...] = ()
    bars_from: Value = None
    bars_to: Value = None
    personal: bool = False
    change: str = ""
    told: str = ""
    differences: tuple[str, ...] = ()
    bars_before: tuple[int, ...] = ()


class Profile(Struct, frozen=True, kw_only=True):
    """The columns of a version, in order.

    Args:
        table: The table.
        number: The version's number.
        version: Its hash.
        rows: How many.
        against: The number of the version beside it, 0 for none.
        columns: One a column.
    """

    table: str
    number: int
    version: str
    rows: int
    against: int = 0
    columns: tuple[ColumnSummary, ...] = ()


class ShowFailing(Struct, frozen=True, kw_only=True):
    """Which rows that broke a check.

    Args:
        name: The table.
        check: A part of the check's words, "" for all checks.
        version: A version's number, hash, tag, branch or date, or "refused" for what was refused last; "" for what was
            refused last if nothing was stored since, else the current version.
        limit: How many rows a check.
    """

    name: str
    check: str = ""
    version: str = ""
    limit: int = 20


class Failing(Struct, frozen=True, kw_only=True):
    """The rows that broke one check: at most 1,000 are kept, as text here; personal values are masked."""

    result: CheckResult
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class FailingRows(Struct, frozen=True, kw_only=True):
    """The checks of a version or of refused rows that were broken.

    Args:
        table: The table.
        number: The version's number, 0 for rows that were refused.
        refusal: What was refused, None for a version.
        checks: Those broken.
    """

    table: str
    number: int = 0
    refusal: TableRefusal | None = None
    checks: tuple[Failing, ...] = ()


class GetRefusals(Struct, frozen=True, kw_only=True):
    """Of which table, and how many."""

    name: str
    limit: int = 20


class Refusals(Struct, frozen=True, kw_only=True):
    """What was refused, newest first."""

    refusals: tuple[TableRefusal, ...]


operations = (
    Operation(
        name="tables.profile",
        summary="Show the columns of a table: nulls, distinct values, range, mean, quantiles, histogram.",
        permission="tables.read",
        request=GetProfile,
        response=Profile,
        body="slipway.data.browse:profile_table",
    ),
    Operation(
        name="tables.failing",
        summary="Show rows that broke the checks of a table, also where they were refused.",
        permission="tables.read",
        request=ShowFailing,
        response=FailingRows,
        body="slipway.data.browse:failing_rows",
    ),
    Operation(
        name="tables.refusals",
        summary="List what the checks of a table refused.",
        permission="tables.read",
        request=GetRefusals,
        response=Refusals,
        body="slipway.data.browse:list_refusals",
    ),
)
