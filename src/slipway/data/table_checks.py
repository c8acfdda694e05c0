"""Checks of a table as a whole: how many rows, how fresh, distributed as before. They refuse or warn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from slipway.errors import InvalidDeclaration
from slipway.schema.durations import in_words, microseconds

__all__ = ["Fresh", "Rows", "Stable", "TableCheck", "fresh", "rows", "stable"]

TableSeverity = Literal["block", "warn"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The table has about as many rows as expected."""

    at_least: int | None
    at_most: int | None
    shrinks_at_most: float | None
    grows_at_most: float | None
    severity: TableSeverity

    def __str__(self) -> str:
        said = [
            "" if self.at_least is None else f"at least {self.at_least:,} rows",
            "" if self.at_most is None else f"at most {self.at_most:,} rows",
            ""
            if self.shrinks_at_most is None
            else f"at most {self.shrinks_at_most * 100:.4g} % fewer rows than before",
            "" if self.grows_at_most is None else f"at most {self.grows_at_most * 100:.4g} % more rows than before",
        ]
        return ", ".join(filter(None, said))


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest row is not older than a span of business time."""

    column: str
    within_us: int
    severity: TableSeverity

    def __str__(self) -> str:
        return f"{self.column} is at most {in_words(self.within_us)} old"

    @property
    def within(self) -> timedelta:
        """How old the newest row may be."""
        return timedelta(microseconds=self.within_us)


@dataclass(frozen=True, slots=True)
class Stable:
    """The rows that come are distributed as those of an earlier version."""

    columns: tuple[str, ...]
    like: str
    false_alarms: float
    severity: TableSeverity

    def __str__(self) -> str:
        named = ", ".join(self.columns) if self.columns else "all columns"
        return f"{named} as in {f'version {self.like}' if self.like else 'the version before'}"


TableCheck = Rows | Fresh | Stable


def rows(
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    shrinks_at_most: float | None = None,
    grows_at_most: float | None = None,
    severity: TableSeverity = "block",
) -> Rows:
    """Check how many rows the table has: in numbers, or beside the version before.

    Args:
        at_least: The least number of rows that is right.
        at_most: The greatest number of rows that is right.
        shrinks_at_most: By which share of the version before it may shrink: 0.1 for a tenth.
        grows_at_most: By which share of the version before it may grow: 1.0 for twice as many.
        severity: "block" refuses the data, "warn" reports.

    Raises:
        InvalidDeclaration: Nothing is asked, or no number could be right.
    """
    if at_least is None and at_most is None and shrinks_at_most is None and grows_at_most is None:
        raise InvalidDeclaration("sw.rows() asks nothing.", fix="Give a bound: sw.rows(at_least=1000).")
    for name, value in (("at_least", at_least), ("at_most", at_most)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InvalidDeclaration(f"sw.rows({name}={value!r}) is no number of rows.", fix="Give a whole number.")
    for name, share in (("shrinks_at_most", shrinks_at_most), ("grows_at_most", grows_at_most)):
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not share >= 0):
            raise InvalidDeclaration(f"sw.rows({name}={share!r}) is no share.", fix="Give 0.1 for a tenth.")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise InvalidDeclaration(
            f"sw.rows(at_least={at_least}, at_most={at_most}) lets no table through.", fix="Swap the bounds."
        )
    return Rows(at_least, at_most, shrinks_at_most, grows_at_most, _severity(severity))


def fresh(column: str, within: str, *, severity: TableSeverity = "block") -> Fresh:
    """Check that the newest row is not older than a span, by business time.

    Args:
        column: A column of instants (datetimes with a time zone) or dates; a date counts until its end, in UTC.
        within: "30m", "2h" or "1d".
        severity: See `rows`.

    Raises:
        InvalidDeclaration: That is no span.
    """
    return Fresh(column, microseconds(within), _severity(severity))


def stable(*columns: str, like: str = "", false_alarms: float = 0.01, severity: TableSeverity = "warn") -> Stable:
    """Check that the rows that come are distributed as those of an earlier version.

    A column moved when its shape, its share of nulls, its values never seen before or its values outside the earlier
    range changed by more than matters (10 %, 2 %, 0.5 % and 1 % of the rows) and that is certain: all columns together
    raise a false alarm at most with the chance that is given. With fewer than 200 rows nothing is claimed: the result
    is "cannot tell", and the check passes.

    Args:
        *columns: The columns; none for all of them.
        like: The version to compare with: its number, or the beginning of its hash; "" for the one before.
        false_alarms: The chance of any false alarm of this check, for one version.
        severity: See `rows`.

    Raises:
        InvalidDeclaration: The chance is none.
    """
    if isinstance(false_alarms, bool) or not isinstance(false_alarms, int | float) or not 0 < false_alarms < 1:
        raise InvalidDeclaration(f"sw.stable(false_alarms={false_alarms!r}) is no chance.", fix="Give 0.01 for 1 %.")
    return Stable(columns, str(like), float(false_alarms), _severity(severity))


def _severity(given: str) -> TableSeverity:
    if given not in ("block", "warn"):
        raise InvalidDeclaration(
            f"The severity {given!r} does not fit a check of a whole table.",
            why="There are no failing rows to set aside.",
            fix='It is "block" or "warn".',
        )
    return given  # type: ignore[return-value]  # narrowed by the line above
