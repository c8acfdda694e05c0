"""Whether columns are distributed as before, from two profiles: no row is read.

The histograms of both are brought to the same bins, these to about ten groups of equal mass, and `stats.drift` asks its
questions of them: how much of it moved, with an effect floor and a stated chance of false alarms over all questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway.data.table_checks import Stable
from slipway.errors import InvalidDeclaration
from slipway.stats import drift, profiles
from slipway.stats.column_profiles import ColumnProfile, Keys, TableProfile, coarsened

__all__ = ["Compared", "compared"]

_GROUPS = 10
_KINDS = ("number", "integer", "duration", "boolean", "text")
_LARGEST = 24
_FLOORS: dict[drift.Question, float] = {"shape": 0.10, "missing": 0.02, "tails": 0.01}
"""A version of a table may move more than the inputs of one model: it is refused, and not looked at."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison found.

    Args:
        moved: Whether any column did, for certain.
        undecided: Whether there was too little to tell for any column.
        note: A sentence.
    """

    moved: bool
    undecided: bool
    note: str


def compared(came: TableProfile, reference: TableProfile, check: Stable, *, table: str, than: str) -> Compared:
    """Compare the columns that a check names.

    Args:
        came: The profile of the rows that come.
        reference: The profile of the earlier version.
        check: Names the columns and the chance of a false alarm.
        table: The table's name, for errors.
        than: The earlier version in words: "version 3".

    Raises:
        InvalidDeclaration: A named column is of a type that cannot be compared.
    """
    before = {column.name: column for column in reference.columns}
    pairs, unknown = [], []
    for column in came.columns:
        if check.columns and column.name not in check.columns:
            continue
        if column.kind not in _KINDS:
            if check.columns:
                raise InvalidDeclaration(
                    f"The check '{check}' of the table {table!r} names {column.name!r}, which holds {column.kind}s.",
                    why="Numbers, durations, booleans and texts have distributions that can stay as they were.",
                    fix="Leave it out; for times there is sw.fresh().",
                )
            continue
        known = before.get(column.name)
        if known is None or known.kind != column.kind:
            unknown.append(f"{column.name} is not comparable with {than}")
        elif column.kind == "text" and (known.values is None or column.values is None):
            unknown.append(f"{column.name} has too many different values")
        else:
            pairs.append(_counted(column, known))
    if not pairs:
        return Compared(False, True, f"Cannot tell: {'; '.join(unknown) or 'no column to compare'}.")
    seen = profiles.Profile(rows=came.rows, columns=tuple(pair[0] for pair in pairs))
    known_profile = profiles.Profile(rows=reference.rows, columns=tuple(pair[1] for pair in pairs))
    answers = drift.compare(seen, known_profile, false_alarms=check.false_alarms, floors=_FLOORS)
    moved = [answer for answer in answers if answer.verdict == "moved"]
    told = [answer for answer in answers if answer.verdict != "cannot tell"]
    if moved:
        said = "; ".join(_words(answer, than) for answer in moved[:3])
        more = f"; and {len(moved) - 3} more" if len(moved) > 3 else ""
        return Compared(True, False, f"{said}{more} (false alarms at most {check.false_alarms:.2g}).")
    few = [answer for answer in answers if answer.verdict == "cannot tell"]
    if few:
        unknown.append(f"{min(came.rows, reference.rows):,} rows are too few, {drift.MIN_ROWS} are needed")
    if not told:
        return Compared(False, True, f"Cannot tell: {'; '.join(unknown)}.")
    least = max(answer.detectable for answer in told)
    note = f"{len(pairs)} column{'' if len(pairs) == 1 else 's'} as in {than}; a change of {least:.0%} would have shown"
    return Compared(False, False, f"{note}{'; cannot tell: ' + '; '.join(unknown) if unknown else ''}.")


def _words(answer: drift.Answer, than: str) -> str:
    what = {
        "shape": "of the rows lie elsewhere than in",
        "missing": "more or fewer are missing than in",
        "unseen": "of the values were never seen in",
        "tails": "of the values lie outside the range of",
        "dependence": "less or more it depends on another column than in",
        "prediction": "of the rows lie elsewhere than in",
    }[answer.question]
    return f"{answer.column}: {answer.effect:.1%} {what} {than}, at least {answer.low:.1%} for certain"


def _counted(came: ColumnProfile, known: ColumnProfile) -> tuple[profiles.Column, profiles.Column]:
    """Both columns counted over the same cells, those of the reference."""
    return _values(came, known) if known.kind in ("text", "boolean") else _numbers(came, known)


def _values(came: ColumnProfile, known: ColumnProfile) -> tuple[profiles.Column, profiles.Column]:
    before, now = dict(known.values or ()), dict(came.values or ())
    ranked = sorted(before, key=lambda value: (-before[value], value))
    largest, rest = ranked[:_LARGEST], ranked[_LARGEST:]
    singles = sum(count == 1 for count in before.values())

    def column(source: ColumnProfile, counts: dict[str, int]) -> profiles.Column:
        return profiles.Column(
            name=source.name,
            kind="text",
            categories=tuple(largest),
            counts=tuple(counts.get(value, 0) for value in largest),
            other=sum(counts.get(value, 0) for value in rest),
            unseen=sum(count for value, count in counts.items() if value not in before),
            missing=source.nulls,
            singles=singles,
        )

    return column(came, now), column(known, before)


def _numbers(came: ColumnProfile, known: ColumnProfile) -> tuple[profiles.Column, profiles.Column]:
    shift = max(came.histogram.shift, known.histogram.shift)
    bins, counts = coarsened(known.histogram, shift)
    their_bins, theirs = coarsened(came.histogram, shift)
    total = int(counts.sum())
    shares = np.cumsum(counts) / max(total, 1)
    # A group ends after the bin in which its share of the rows is reached.
    ends = np.unique(np.searchsorted(shares, np.arange(1, _GROUPS) / _GROUPS))
    edges = bins[ends[ends < bins.size - 1]]

    def column(source: ColumnProfile, mine: Keys, how_many: NDArray[np.int64]) -> profiles.Column:
        places = np.searchsorted(edges, mine, side="left")
        found = np.bincount(places, weights=how_many, minlength=edges.size + 1)
        return profiles.Column(
            name=known.name,
            edges=tuple(float(edge) for edge in edges),
            low=float("nan") if known.low is None else float(known.low),
            high=float("nan") if known.high is None else float(known.high),
            counts=tuple(int(value) for value in found),
            below=int(how_many[mine < bins[0]].sum()) if bins.size else 0,
            above=int(how_many[mine > bins[-1]].sum()) if bins.size else 0,
            missing=source.nulls + source.nans,
        )

    return column(came, their_bins, theirs), column(known, bins, counts)
