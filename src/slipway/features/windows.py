"""Windows: aggregates of past events by key, declared with `sw.windows(...)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from slipway.errors import InvalidDeclaration
from slipway.features.about import about_of
from slipway.records.features import AboutFeature, AggregateKind

__all__ = [
    "DeclaredAggregate",
    "DeclaredWindows",
    "approx_distinct",
    "count",
    "decayed_mean",
    "last",
    "max_",
    "mean",
    "microseconds_of",
    "min_",
    "names_of",
    "quantile",
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
        default: What stands where the value would be null.
        quantile: Of "quantile": which one.
        half_life_us: Of "decayed_mean": after how long an event counts half.
        tolerance: Of a sketch: how far its value may lie from the exact one.
    """

    kind: AggregateKind
    column: str
    width_us: int
    scale: int | None = None
    default: float | None = None
    quantile: float = 0.0
    half_life_us: int = 0
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class DeclaredWindows:
    """Windows, before their source's types are known.

    Args:
        source: The table.
        time: The column that says when a row became known.
        keys: The key columns of each key set, by its name.
        aggregates: By name.
        about: Owner, description and tags.
    """

    source: str
    time: str
    keys: dict[str, tuple[str, ...]]
    aggregates: dict[str, DeclaredAggregate]
    about: AboutFeature = field(default_factory=AboutFeature)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names: `<key set>_<aggregate>`."""
        return tuple(f"{key}_{name}" for key in self.keys for name in self.aggregates)


def windows(
    source: object,
    *,
    time: str,
    by: str | Iterable[str] | Mapping[str, str | Iterable[str]],
    owner: str = "",
    description: str = "",
    tags: str | Iterable[str] = (),
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
        owner: Who answers for these features: a person or a team.
        description: What they mean, in a sentence.
        tags: Words to find them by. Owner, description and tags are no part of the definition.
        **aggregates: `sw.mean(column, width)` and its like, by name.

    Raises:
        InvalidDeclaration: Keys or aggregates are missing or wrong.

    Example:
        >>> recent = windows("flights", time="known_at", by={"route": ["origin", "dest"]}, delay_6h=mean("dep_delay", "6h"))
        >>> recent.names
        ('route_delay_6h',)
    """
    name = table_name(source, "sw.windows(...)")
    _check_time(time, name)
    about = about_of(owner=owner, description=description, tags=tags)
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
    _check_aggregates(aggregates, name)
    return DeclaredWindows(source=name, time=time, keys=keys, aggregates=dict(aggregates), about=about)


def _check_time(time: object, name: str) -> None:
    if not isinstance(time, str) or not time:
        raise InvalidDeclaration(
            f"The windows over {name!r} have time={time!r}.",
            why="It names the column that says when a row became known.",
            fix="For example time='known_at'.",
        )


def _check_aggregates(aggregates: Mapping[str, object], source: str) -> None:
    for label, aggregate in aggregates.items():
        if not isinstance(aggregate, DeclaredAggregate):
            raise InvalidDeclaration(
                f"{label}={aggregate!r} in the windows over {source!r} is no aggregate.",
                why="Besides `time` and `by`, each argument is one aggregate.",
                fix=f"Write {label}=sw.mean('column', '6h'), or sum, count, min, max, last, std, quantile, decayed_mean, "
                "approx_distinct.",
            )


def mean(
    column: str, width: str | timedelta, *, scale: int | None = None, default: float | None = None
) -> DeclaredAggregate:
    """The mean over (at - width, at]; null where nothing counts.

    Args:
        column: A numeric or boolean column. Nulls, NaN and infinities do not count.
        width: "90s", "30m", "6h", "7d", "2w", or a timedelta.
        scale: Float columns are read in steps of 1/scale, so that sums are exact in any order; 2**20 when None.
        default: What stands instead of null, as a part of the definition.

    Raises:
        InvalidDeclaration: The width or scale is wrong.
    """
    return _aggregate("mean", column, width, scale, default=default)


def sum_(column: str, width: str | timedelta, *, scale: int | None = None) -> DeclaredAggregate:
    """The sum over (at - width, at], a float; 0 where nothing counts. See `mean`."""
    return _aggregate("sum", column, width, scale)


def count(width: str | timedelta) -> DeclaredAggregate:
    """The number of rows in (at - width, at]."""
    return _aggregate("count", "", width, None)


def min_(
    column: str, width: str | timedelta, *, scale: int | None = None, default: float | None = None
) -> DeclaredAggregate:
    """The least value in (at - width, at]; null where nothing counts. See `mean`."""
    return _aggregate("min", column, width, scale, default=default)


def max_(
    column: str, width: str | timedelta, *, scale: int | None = None, default: float | None = None
) -> DeclaredAggregate:
    """The greatest value in (at - width, at]; null where nothing counts. See `mean`."""
    return _aggregate("max", column, width, scale, default=default)


def last(
    column: str, width: str | timedelta, *, scale: int | None = None, default: float | None = None
) -> DeclaredAggregate:
    """The value that became known last in (at - width, at], of those that count; null where nothing counts.

    Of several at one time it is that of the greatest event id, compared as text. See `mean`.
    """
    return _aggregate("last", column, width, scale, default=default)


def std(
    column: str, width: str | timedelta, *, scale: int | None = None, default: float | None = None
) -> DeclaredAggregate:
    """The sample's standard deviation over (at - width, at]; null where fewer than two values count. See `mean`."""
    return _aggregate("std", column, width, scale, default=default)


def approx_distinct(column: str, width: str | timedelta, *, tolerance: float = 0.02) -> DeclaredAggregate:
    """About how many different values a column has over (at - width, at]; 0 where nothing counts.

    It is folded from registers that keep the rarest hash seen (HyperLogLog), of which 2**12 are kept at the default
    tolerance; the same events give the same number, in any order, offline and online.

    Args:
        column: A text, whole number, truth value, date or instant. Nulls do not count.
        width: As in `mean`.
        tolerance: The relative standard error, from 0.01 to 0.1: about 95 % of the values lie within twice as much.

    Raises:
        InvalidDeclaration: The width or tolerance is wrong.
    """
    _check_share(tolerance, f"The tolerance of approx_distinct({column!r})", 0.01, 0.1)
    return _aggregate("approx_distinct", column, width, None, tolerance=float(tolerance))


def quantile(
    column: str, q: float, width: str | timedelta, *, tolerance: float = 0.01, default: float | None = None
) -> DeclaredAggregate:
    """A quantile over (at - width, at], within a relative tolerance; null where nothing counts.

    Of n values in order it is the one at place floor(q * (n - 1)), counted from 0, read as the middle of its bucket. A
    bucket holds the numbers between two borders so close that no number is further from the middle than the tolerance.
    The same events give the same number, in any order, offline and online.

    Args:
        column: A numeric or boolean column. Nulls, NaN and infinities do not count.
        q: From 0 to 1: 0.5 for the median.
        width: As in `mean`.
        tolerance: How far the result may lie from the exact one, relative to it: from 0.001 to 0.1.
        default: What stands instead of null, as a part of the definition.

    Raises:
        InvalidDeclaration: The width, q or tolerance is wrong.
    """
    _check_share(q, f"q of quantile({column!r})", 0.0, 1.0)
    _check_share(tolerance, f"The tolerance of quantile({column!r})", 0.001, 0.1)
    return _aggregate("quantile", column, width, None, default=default, quantile=float(q), tolerance=float(tolerance))


def decayed_mean(
    column: str,
    *,
    half_life: str | timedelta,
    width: str | timedelta,
    scale: int | None = None,
    default: float | None = None,
) -> DeclaredAggregate:
    """The mean over (at - width, at] in which an event counts half as much as one that is a half-life younger.

    Times are read in steps of a 32nd of the half-life, so that weights are exact whole numbers and sums the same in any
    order; a weight differs from its exact value by at most 1.1 %, and the mean by at most 1.1 % of the values' spread.
    Null where nothing counts.

    Args:
        column: A numeric or boolean column. Nulls, NaN and infinities do not count.
        half_life: At least a second.
        width: As in `mean`; at most 64 half-lives.
        scale: As in `mean`.
        default: What stands instead of null, as a part of the definition.

    Raises:
        InvalidDeclaration: Half-life, width or scale is wrong.
    """
    half = microseconds_of(half_life, f"The half-life of decayed_mean({column!r})")
    made = _aggregate(
        "decayed_mean", column, width, scale, default=default, half_life_us=half, tolerance=DECAY_TOLERANCE
    )
    if half < 10**6 or made.width_us > 64 * half:
        raise InvalidDeclaration(
            f"decayed_mean({column!r}) has the half-life {half_life!r} and the width {width!r}.",
            why="A half-life is at least a second, and what is older than 64 of them counts for nothing.",
            fix="Choose a longer half-life or a shorter width.",
        )
    return made


DECAY_TOLERANCE = 0.011
"""How far a weight of a decayed mean may lie from its exact value: half a step, 2**(1/64) - 1."""


def _check_share(value: object, what: str, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidDeclaration(
            f"{what} is {value!r}.",
            why=f"It lies from {least:g} to {most:g}.",
            fix=f"For example {(least + most) / 2:g}.",
        )


def _aggregate(
    kind: AggregateKind,
    column: str,
    width: str | timedelta,
    scale: int | None,
    *,
    default: float | None = None,
    quantile: float = 0.0,
    half_life_us: int = 0,
    tolerance: float = 0.0,
) -> DeclaredAggregate:
    if kind != "count" and (not isinstance(column, str) or not column):
        raise InvalidDeclaration(
            f"{kind} was given {column!r} for a column.",
            why="It aggregates one column of the windows' table, by its name.",
            fix="For example sw.mean('dep_delay', '6h'); rows are counted by sw.count('6h').",
        )
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int) or not 1 <= scale <= 2**53):
        raise InvalidDeclaration(
            f"scale={scale!r} for {kind}({column!r}) does not fit.",
            why="Values are read in steps of 1/scale.",
            fix="Use a whole number from 1 to 2**53, best a power of two.",
        )
    return DeclaredAggregate(
        kind=kind,
        column=column,
        width_us=microseconds_of(width, f"The width of {kind}({column!r})"),
        scale=scale,
        default=default,
        quantile=quantile,
        half_life_us=half_life_us,
        tolerance=tolerance,
    )


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
