"""Checks of rows as a project declares them: `sw.unique(...)`, `sw.between(...)` and the others.

Checks of a table as a whole (its number of rows, its age, its distributions) are in `table_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from slipway.errors import InvalidDeclaration
from slipway.ids import check_name
from slipway.records.plugged import Value
from slipway.records.tables import Severity
from slipway.schema.plugged import called, plugged

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Between",
    "Check",
    "Custom",
    "Matches",
    "NotNull",
    "OneOf",
    "References",
    "Unique",
    "between",
    "check",
    "custom_check",
    "matches",
    "not_null",
    "one_of",
    "references",
    "unique",
]

Bound = int | float | date | datetime | str


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows share the values of these columns."""

    columns: tuple[str, ...]
    severity: Severity

    def __str__(self) -> str:
        return f"{' + '.join(self.columns)} is unique"


@dataclass(frozen=True, slots=True)
class NotNull:
    """A column has no nulls."""

    column: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.column} is not null"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Between:
    """A column's values lie between two bounds, both included; None leaves a side open."""

    column: str
    low: Bound | None
    high: Bound | None
    severity: Severity

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            side, bound = ("at most", self.high) if self.low is None else ("at least", self.low)
            return f"{self.column} is {side} {bound}"
        return f"{self.column} is between {self.low} and {self.high}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column's values are among those listed."""

    column: str
    values: tuple[Any, ...]
    severity: Severity

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.values[:5])) + (", ..." if len(self.values) > 5 else "")
        return f"{self.column} is one of {shown}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Matches:
    """A text column's whole values match a regular expression."""

    column: str
    pattern: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.column} matches {self.pattern}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class References:
    """A column's values are among those of another table's column: a foreign key."""

    column: str
    table: str
    other: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.column} is among {self.table}.{self.other}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Custom:
    """An expression of the user's own is true."""

    words: str
    expression: Callable[[], pl.Expr]
    severity: Severity

    def __str__(self) -> str:
        return self.words


Check = Unique | NotNull | Between | OneOf | Matches | References | Custom


def unique(*columns: str, severity: Severity = "block") -> Unique:
    """Check that no two rows share the values of these columns; null counts as a value.

    Args:
        *columns: One or more column names.
        severity: "block" refuses the data when a row fails, "quarantine" sets the failing rows aside in the table
            `quarantine.<table>` and stores the others, "warn" reports. All rows that share their values fail here: which
            of them came first says nothing.

    Raises:
        InvalidDeclaration: No column is named, or the severity is unknown.
    """
    if not columns:
        raise InvalidDeclaration("sw.unique() names no column.", fix="Name at least one: sw.unique('flight_id').")
    return Unique(columns, _severity(severity))


def not_null(column: str, *, severity: Severity = "block") -> NotNull:
    """Check that a column has no nulls. NaN is not null: it fails `between`.

    Args:
        column: Its name.
        severity: See `unique`.
    """
    return NotNull(column, _severity(severity))


def between(column: str, low: Bound | None, high: Bound | None, *, severity: Severity = "block") -> Between:
    """Check that a column's values lie between two bounds, both included. Nulls pass; NaN does not.

    Args:
        column: Its name.
        low: The least value that is right, None for no bound.
        high: The greatest value that is right, None for no bound.
        severity: See `unique`.

    Raises:
        InvalidDeclaration: There is no bound at all, or nothing lies between the two.
    """
    if low is None and high is None:
        raise InvalidDeclaration(f"sw.between({column!r}, None, None) has no bound.", fix="Give low, high or both.")
    if low is not None and high is not None:
        try:
            empty = not low <= high  # type: ignore[operator]  # the user's own two values, told apart below
        except TypeError as problem:
            raise InvalidDeclaration(
                f"sw.between({column!r}, {low!r}, {high!r}) mixes types: {problem}.",
                fix="Give both bounds in the column's own type.",
            ) from problem
        if empty:
            raise InvalidDeclaration(
                f"sw.between({column!r}, {low!r}, {high!r}) lets no value through.", fix="Swap the bounds."
            )
    return Between(column, low, high, _severity(severity))


def one_of(column: str, values: Iterable[Any], *, severity: Severity = "block") -> OneOf:
    """Check that a column's values are among those listed. Nulls pass.

    Args:
        column: Its name.
        values: The values that are right.
        severity: See `unique`.

    Raises:
        InvalidDeclaration: The values are a single string, or there are none.
    """
    listed = () if isinstance(values, str) else tuple(values)
    if not listed:
        raise InvalidDeclaration(
            f"sw.one_of({column!r}, {values!r}) lists no values.",
            fix=f"Give a list: sw.one_of({column!r}, ['AA', 'UA']).",
        )
    return OneOf(column, listed, _severity(severity))


def matches(column: str, regex: str, *, severity: Severity = "block") -> Matches:
    """Check that a text column's whole values match a regular expression (without look-around). Nulls pass.

    Args:
        column: Its name.
        regex: The expression.
        severity: See `unique`.

    Raises:
        InvalidDeclaration: It is no regular expression.
    """
    try:
        re.compile(regex)
    except re.error as problem:
        raise InvalidDeclaration(
            f"{regex!r} is no regular expression: {problem}.", fix="Python's syntax counts: see the module `re`."
        ) from problem
    return Matches(column, regex, _severity(severity))


def references(column: str, table: str, other: str = "", *, severity: Severity = "block") -> References:
    """Check that a column's values are among those of another table: a foreign key. Nulls pass.

    Args:
        column: Its name.
        table: The other table, of the same project; its current version counts.
        other: The other table's column, "" where it has the same name.
        severity: See `unique`.

    Raises:
        InvalidInput: That is no table's name.
    """
    return References(column, check_name(table, "table"), other or column, _severity(severity))


def check(words: str, expression: Callable[[], pl.Expr], *, severity: Severity = "block") -> Custom:
    """Check what no other check says: an expression that is true for each row that is right. Nulls pass.

    It looks at one row at a time: whatever depends on other rows (`shift`, `mean`, `over`) is refused, because its
    answer would change with the order of the rows and with what is appended.

    Args:
        words: What holds when it passes: "arrives after it departs". Names the check in results.
        expression: Takes nothing, returns a Polars expression of booleans. Called when rows are looked at.
        severity: See `unique`.

    Raises:
        InvalidDeclaration: The words are missing, or the expression is none that can be called.

    Example:
        >>> import slipway as sw
        >>> def in_order():
        ...     import polars as pl
        ...
        ...     return pl.col("arrival") > pl.col("departure")
        >>> str(sw.check("arrives after it departs", in_order))
        'arrives after it departs'
    """
    if not isinstance(words, str) or not words.strip():
        raise InvalidDeclaration(
            "sw.check() does not say what it checks.",
            fix='Begin with words: sw.check("arrives after it departs", lambda: ...).',
        )
    if not callable(expression):
        raise InvalidDeclaration(
            f"sw.check({words!r}) is given {type(expression).__name__} where a function is expected.",
            why="A declaration loads no Polars: the expression is made when rows are looked at.",
            fix='Write `lambda:` before it: sw.check("...", lambda: pl.col("a") > pl.col("b")).',
        )
    return Custom(words.strip(), expression, _severity(severity))


def custom_check(plugin: str, *, severity: Severity = "block", **options: Value) -> Custom:
    """Check by an installed plug-in: see docs/plug-ins.md. Nulls pass.

    Args:
        plugin: The name under which its package installed it.
        severity: See `unique`.
        **options: Its keyword arguments.

    Raises:
        InvalidDeclaration: It is no name of a plug-in, or an option is no plain value.
        NotFound: No installed package brings one of that name.

    Example:
        `@sw.table(key="id", checks=[sw.custom_check("check_digit", column="card", severity="quarantine")])`
    """
    one = plugged("check", plugin, options)
    return Custom(str(one), lambda: called("check", one), _severity(severity))


def _severity(given: str) -> Severity:
    if given not in ("block", "quarantine", "warn"):
        raise InvalidDeclaration(f"The severity {given!r} is unknown.", fix='It is "block", "quarantine" or "warn".')
    return given  # type: ignore[return-value]  # narrowed by the line above
