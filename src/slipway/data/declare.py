"""Tables and checks as a project declares them: `@sw.table(...)`, `sw.unique(...)` and the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import update_wrapper
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal, overload

from slipway import data as room
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.ids import check_name
from slipway.ports.workspace import workspace

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Between",
    "Check",
    "Matches",
    "NotNull",
    "OneOf",
    "Table",
    "Unique",
    "between",
    "matches",
    "not_null",
    "one_of",
    "table",
    "unique",
]

Severity = Literal["block", "warn"]
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


Check = Unique | NotNull | Between | OneOf | Matches


def unique(*columns: str, severity: Severity = "block") -> Unique:
    """Check that no two rows share the values of these columns; null counts as a value.

    Args:
        *columns: One or more column names.
        severity: "block" refuses the data when a row fails, "warn" reports.

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


class Table:
    """A declared table: a versioned dataset with its checks. Calling it calls the function.

    Args:
        function: Takes nothing; returns a Polars LazyFrame or DataFrame, or a pandas DataFrame.
        key: The columns that identify a row.
        time: The column of event time: aware datetimes. "" for none.
        checks: What must hold of the rows.

    Raises:
        InvalidDeclaration: The function takes arguments, its name is no table's name, or a check is none.

    Attributes:
        name: The function's name, and the table's.
        function: The function.
        key: The columns that identify a row.
        time: The column of event time, or "".
        checks: What must hold of the rows, as declared.
    """

    __wrapped__: Callable[[], Any]

    def __init__(
        self, function: Callable[[], Any], *, key: tuple[str, ...] = (), time: str = "", checks: tuple[Check, ...] = ()
    ) -> None:
        try:
            self.name = check_name(function.__name__, "table")
        except InvalidInput as problem:
            raise InvalidDeclaration(problem.what, why=problem.why, fix="Rename the function.") from problem
        needed = [p.name for p in signature(function).parameters.values() if p.default is Parameter.empty]
        if needed:
            raise InvalidDeclaration(
                f"The table function {self.name!r} takes {needed[0]!r}.",
                why="A table is made from nothing but what its function reads.",
                fix="Read another table inside it: `other.read()`.",
            )
        for check in checks:
            if not isinstance(check, Check):
                raise InvalidDeclaration(
                    f"{check!r} is no check of the table {self.name!r}.",
                    fix="Use sw.unique, sw.not_null, sw.between, sw.one_of or sw.matches.",
                )
        self.function = function
        self.key = key
        self.time = time
        self.checks = checks
        update_wrapper(self, function)

    def __call__(self) -> Any:
        """What the function returns; nothing is stored."""
        return self.function()

    def __repr__(self) -> str:
        return f"<table {self.name}>"

    def read(self, version: str | None = None) -> pl.LazyFrame:
        """The rows of a version in the current project, lazily.

        Args:
            version: Its hash, None for the current one.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version, or none at all.
            Corrupt: A stored part is missing or altered.
        """
        return room.versions.read(workspace(), self.name, version)


@overload
def table(function: Callable[[], Any], /) -> Table: ...


@overload
def table(
    *, key: str | Iterable[str] | None = None, time: str | None = None, checks: Iterable[Check] = ()
) -> Callable[[Callable[[], Any]], Table]: ...


def table(
    function: Callable[[], Any] | None = None,
    /,
    *,
    key: str | Iterable[str] | None = None,
    time: str | None = None,
    checks: Iterable[Check] = (),
) -> Table | Callable[[Callable[[], Any]], Table]:
    """Declare a versioned table: its function returns all rows, its name is the table's.

    Args:
        function: Given when the decorator is used without arguments.
        key: The column or columns that identify a row.
        time: The column of event time, aware datetimes.
        checks: What must hold of the rows: `sw.unique`, `sw.not_null`, `sw.between`, `sw.one_of`, `sw.matches`.

    Raises:
        InvalidDeclaration: See `Table`.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="code", checks=[sw.unique("code")])
        ... def airports():
        ...     import polars as pl
        ...
        ...     return pl.DataFrame({"code": ["EWR", "JFK", "LGA"]})
        >>> airports.name, airports.key
        ('airports', ('code',))
    """
    columns = () if key is None else (key,) if isinstance(key, str) else tuple(key)

    def declare(decorated: Callable[[], Any]) -> Table:
        return Table(decorated, key=columns, time=time or "", checks=tuple(checks))

    return declare if function is None else declare(function)


def _severity(given: str) -> Severity:
    if given not in ("block", "warn"):
        raise InvalidDeclaration(f"The severity {given!r} is unknown.", fix='It is "block" or "warn".')
    return given  # type: ignore[return-value]  # narrowed by the line above
