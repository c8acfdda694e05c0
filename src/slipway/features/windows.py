"""Windows: aggregates of past events by key, declared with `sw.windows(...)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from slipway.errors import InvalidDeclaration
from slipway.records.features import AggregateKind

__all__ = [
    "DeclaredAggregate",
    "DeclaredWindows",
    "count",
    "last",
    "max_",
    "mean",
    "microseconds_of",
    "min_",
    "names_of",
    "std",
    "sum_",
    "table_name",
    "windows",
]

_UNITS_US = {"s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86_400 * 10**6, "w": 7 * 86_400 * 10**6}
_WIDTH = re.compile(r"([0-9]+)\s*([smhdw])\Z")


@dataclass(frozen=True, slots=True)
class DeclaredAggregate:
    """One aggregate, before its column's type is known.

    Args:
        kind: What is computed.
        column: The source's column, "" for a count of rows.
        width_us: The window's width in microseconds.
        scale: The grid, None for the default of the column's type.
    """

    kind: AggregateKind
    column: str
    width_us: int
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class DeclaredWindows:
    """Windows, before their source's types are known.

    Args:
        source: The table.
        time: The column that says when a row became known.
        keys: The key columns of each key set, by its name.
        aggregates: By name.
    """

    source: str
    time: str
    keys: dict[str, tuple[str, ...]]
    aggregates: dict[str, DeclaredAggregate]

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names: `<key set>_<aggregate>`."""
        return tuple(f"{key}_{name}" for key in self.keys for name in self.aggregates)


def windows(
    source: object,
    *,
    time: str,
    by: str | Iterable[str] | Mapping[str, str | Iterable[str]],
    **aggregates: DeclaredAggregate,
) -> DeclaredWindows:
    """Declare aggregates of a table's past rows by key, each row counted once it was known.

    Features are named `<key set>_<aggregate>`. A key set's name is its key in the mapping; a list is the mapping of its
    columns joined by "_": `by=["origin", "carrier"]` is `by={"origin_carrier": ["origin", "carrier"]}`, one key of two
    columns.

    Args:
        source: The table, or its name; it needs a declared key, by which an event that comes twice is recognised.
        time: The column that says when a row became known (aware UTC). Rows without it never count. Over the table that
            a training set is made of, it must lie after each row's decision (of the rows chosen by label, `since` and
            `until`): a live request is not in the store while it is asked, so a row that counted itself is refused.
        by: The key columns; a mapping declares several key sets with the same aggregates. A row with a null in its
            key counts for nobody; a request with one has count and sum 0 and no other values.
        **aggregates: `sw.mean(column, width)` and its like, by name.

    Raises:
        InvalidDeclaration: Keys or aggregates are missing or wrong.

    Example:
        >>> recent = windows("flights", time="known_at", by={"route": ["origin", "dest"]}, delay_6h=mean("dep_delay", "6h"))
        >>> recent.names
        ('route_delay_6h',)
    """
    name = table_name(source, "sw.windows(...)")
    if isinstance(by, Mapping):
        keys = {key: names_of(columns, f"The key set {key!r}") for key, columns in by.items()}
    else:
        columns = names_of(by, f"`by` of the windows over {name}")
        keys = {"_".join(columns): columns}
    for key in keys:
        if not str(key).isidentifier():
            raise InvalidDeclaration(
                f"The windows over {name!r} have a key set called {key!r}.",
                why="It becomes the beginning of the features' names.",
                fix="Use letters, digits and '_': by={'route': ['origin', 'dest']}.",
            )
    if not keys or not aggregates:
        raise InvalidDeclaration(
            f"The windows over {name!r} declare no {'aggregate' if keys else 'key'}.",
            why="They would give no feature.",
            fix="For example `by=['origin'], delay_6h=sw.mean('dep_delay', '6h')`.",
        )
    for label, aggregate in aggregates.items():
        if not isinstance(aggregate, DeclaredAggregate):
            raise InvalidDeclaration(
                f"{label}={aggregate!r} in the windows over {name!r} is no aggregate.",
                why="Besides `time` and `by`, each argument is one aggregate.",
                fix=f"Write {label}=sw.mean('column', '6h'), or sum, count, min, max, last, std.",
            )
    return DeclaredWindows(source=name, time=time, keys=keys, aggregates=dict(aggregates))


def mean(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The mean over (at - width, at]; null where nothing counts.

    Args:
        column: A numeric or boolean column. Nulls, NaN and infinities do not count.
        width: "90s", "30m", "6h", "7d", "2w", or a timedelta.
        scale: Float columns are read in steps of 1/scale, so that sums are exact in any order; 2**20 when None.

    Raises:
        InvalidDeclaration: The width or scale is wrong.
    """
    return _aggregate("mean", column, width, scale)


def sum_(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The sum over (at - width, at], a float; 0 where nothing counts. See `mean`."""
    return _aggregate("sum", column, width, scale)


def count(width: str | timedelta) -> DeclaredAggregate:
    """The number of rows in (at - width, at]."""
    return _aggregate("count", "", width, None)


def min_(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The least value in (at - width, at]; null where nothing counts. See `mean`."""
    return _aggregate("min", column, width, scale)


def max_(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The greatest value in (at - width, at]; null where nothing counts. See `mean`."""
    return _aggregate("max", column, width, scale)


def last(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The value that became known last in (at - width, at], of those that count; null where nothing counts.

    Of several at one time it is that of the greatest event id, compared as text. See `mean`.
    """
    return _aggregate("last", column, width, scale)


def std(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The sample's standard deviation over (at - width, at]; null where fewer than two values count. See `mean`."""
    return _aggregate("std", column, width, scale)


def _aggregate(kind: AggregateKind, column: str, width: str | timedelta, scale: int | None) -> DeclaredAggregate:
    if scale is not None and (not isinstance(scale, int) or not 1 <= scale <= 2**53):
        raise InvalidDeclaration(
            f"scale={scale!r} for {kind}({column!r}) does not fit.",
            why="Values are read in steps of 1/scale.",
            fix="Use a whole number from 1 to 2**53, best a power of two.",
        )
    return DeclaredAggregate(kind, column, microseconds_of(width, f"The width of {kind}({column!r})"), scale)


def microseconds_of(width: str | timedelta, what: str) -> int:
    """A width such as "6h" in microseconds.

    Args:
        width: A number and one of s, m, h, d, w; or a timedelta.
        what: Names it in the error: "The width of mean('delay')".

    Raises:
        InvalidDeclaration: It is not a positive duration.
    """
    found = 0
    if isinstance(width, timedelta):
        found = width // timedelta(microseconds=1)
    elif isinstance(width, str) and (match := _WIDTH.match(width.strip())):
        found = int(match[1]) * _UNITS_US[match[2]]
    if not 0 < found < 2**61:
        raise InvalidDeclaration(
            f"{what} is {width!r}.",
            why="It is a positive number with a unit: s, m, h, d or w.",
            fix='For example "30m", "6h" or "7d".',
        )
    return found


def names_of(columns: object, what: str) -> tuple[str, ...]:
    """Column names given as one name or several.

    Raises:
        InvalidDeclaration: It is neither, or empty, or names one twice.
    """
    names = (columns,) if isinstance(columns, str) else tuple(columns) if isinstance(columns, Iterable) else ()
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise InvalidDeclaration(
            f"{what} is {columns!r}.", why="It names columns, each once.", fix="For example ['origin', 'carrier']."
        )
    return names


def table_name(table: object, what: str) -> str:
    """The name of a table given by its declaration or name.

    Raises:
        InvalidDeclaration: It is neither.
    """
    name = table if isinstance(table, str) else getattr(table, "name", None)
    if not isinstance(name, str) or not name:
        raise InvalidDeclaration(
            f"{what} was given {table!r} for a table.",
            why="A table is what @sw.table declared, or its name.",
            fix="Pass the declared table or its name as text.",
        )
    return name
