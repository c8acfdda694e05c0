"""What a profile consists of, and how parts add up. Every count is an integer over a frame that the reference fixed."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["CLIP", "HOURS", "STEPS", "Column", "Pair", "Profile", "deviation", "emptied", "mean", "sum_of"]

STEPS = 1024
"""Steps of a column's grid in one of its units; so a moment is known to a thousandth of the spread."""
CLIP = 16
"""Units from the centre beyond which a value counts as if it lay there: squares of 34 billion rows fit into 64 bits."""
HOURS = 7 * 24


class Column(Struct, frozen=True, kw_only=True):
    """One column's counts.

    Args:
        name: The column.
        edges: Inner edges of a numeric column's bins, ascending; () for a categorical one.
        low: The reference's smallest value, NaN for a categorical column.
        high: The reference's greatest value, NaN for a categorical column.
        categories: The reference's most frequent values, long ones ending in a hash; () for a numeric column.
        counts: Rows a bin (`len(edges) + 1` of them), or rows a category.
        below: Rows under `low`.
        above: Rows over `high`.
        other: Rows of a known category beyond the listed ones.
        unseen: Rows of a category that the reference never had.
        missing: Rows without a value (null or NaN).
        rare: The reference's rarer categories, which count as `other`: their hashes of 4 bytes, ascending.
        is_open: The reference had more categories than can be remembered: what is not listed counts as `other`, and
            nothing as `unseen`.
        singles: Rows of the reference whose category came once: as share of its rows, about what is never seen before
            in new rows without any change.
        kind: "number" or "text".
        tail_low: The reference's quantile of 0.05 %, NaN for a categorical column.
        tail_high: That of 99.95 %.
        under: Rows under `tail_low`.
        over: Rows over `tail_high`.
        centre: The reference's median, from which moments are counted; NaN for a categorical column.
        unit: A robust standard deviation of the reference, in which they are counted.
        total: The sum over rows of the distance from the centre in steps of `unit / 1024`, rounded, at most 16 units.
        squares: The sum of the squares of these.
        importance: The share of the model's answers that rests on this input; NaN where nobody asked.
    """

    name: str
    edges: tuple[float, ...] = ()
    low: float = float("nan")
    high: float = float("nan")
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    below: int = 0
    above: int = 0
    other: int = 0
    unseen: int = 0
    missing: int = 0
    rare: bytes = b""
    is_open: bool = False
    singles: int = 0
    kind: Literal["number", "text"] = "number"
    tail_low: float = float("nan")
    tail_high: float = float("nan")
    under: int = 0
    over: int = 0
    centre: float = float("nan")
    unit: float = float("nan")
    total: int = 0
    squares: int = 0
    importance: float = float("nan")

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def rows(self) -> int:
        """All rows of the column."""
        return sum(self.counts) + self.other + self.unseen + self.missing

    @property
    def is_numeric(self) -> bool:
        """Whether it was counted over edges."""
        return self.kind == "number"


class Pair(Struct, frozen=True, kw_only=True):
    """How often two columns' values come together.

    Args:
        first: The name of one column.
        second: The name of the other.
        cells: Rows by group of the first, then of the second; each has at most five groups: of neighbouring bins, or the
            most frequent categories and all others. Rows in which one is missing are left out.
    """

    first: str
    second: str
    cells: tuple[int, ...]


class Profile(Struct, frozen=True, kw_only=True):
    """The counts of several columns over the same rows.

    Args:
        rows: How many.
        columns: Their counts, in order.
        pairs: Of the columns, those whose dependence is counted.
        hours: Rows by weekday (Monday first) and hour of the decision, UTC: 168 of them, () where no time is known.
        predictions: Which of the columns hold what the model answered.
    """

    rows: int
    columns: tuple[Column, ...]
    pairs: tuple[Pair, ...] = ()
    hours: tuple[int, ...] = ()
    predictions: tuple[str, ...] = ()


def emptied(column: Column) -> Column:
    """The frame alone: what was fixed by the reference, nothing counted."""
    return msgspec.structs.replace(
        column,
        counts=(0,) * len(column.counts),
        below=0,
        above=0,
        other=0,
        unseen=0,
        missing=0,
        under=0,
        over=0,
        total=0,
        squares=0,
    )


def sum_of(one: Column, other: Column) -> Column:
    """Both columns' counts over their common frame."""
    return msgspec.structs.replace(
        one,
        counts=tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        below=one.below + other.below,
        above=one.above + other.above,
        other=one.other + other.other,
        unseen=one.unseen + other.unseen,
        missing=one.missing + other.missing,
        under=one.under + other.under,
        over=one.over + other.over,
        total=one.total + other.total,
        squares=one.squares + other.squares,
    )


def mean(column: Column) -> float:
    """The mean of a numeric column, values beyond 16 units from its centre taken as if they lay there; NaN without any."""
    if not column.is_numeric or not column.present:
        return float("nan")
    return column.centre + column.total / column.present / STEPS * column.unit


def deviation(column: Column) -> float:
    """The standard deviation of a numeric column, as `mean` takes its values; NaN without any."""
    if not column.is_numeric or not column.present:
        return float("nan")
    average = column.total / column.present
    return float(max(0.0, column.squares / column.present - average * average) ** 0.5 / STEPS * column.unit)
