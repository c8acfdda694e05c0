"""The declared slices of a window: which can be told, and at which level each is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from slipway.stats.blocks import student_quantile
from slipway.stats.estimate import Estimate
from slipway.stats.metrics import MIN_SLICE_ROWS

__all__ = ["Part", "at_level", "column_of", "slices_of", "words_of"]

_MIN_DAYS = 7
_MOST = 200
_TOLD = 3


@dataclass(frozen=True)
class Part:
    """One slice.

    Args:
        name: `column=value`, as an evaluation writes it.
        rows: Its labelled rows.
        days: Of how many days they are.
        why: Why they are too few to tell, "" where they are not.
    """

    name: str
    rows: pl.DataFrame
    days: int
    why: str

    @property
    def can_tell(self) -> bool:
        """Whether it is judged."""
        return not self.why


def column_of(rows: pl.DataFrame, name: str) -> pl.Series | None:
    """A column of the log: a request's field or a model's input, also where it has the name of a column of the log's own."""
    found = next((one for one in (f"request.{name}", f"feature.{name}", name) if one in rows.columns), None)
    return None if found is None else rows[found]


def slices_of(labelled: pl.DataFrame, columns: Sequence[str]) -> tuple[list[Part], list[str]]:
    """The slices of some columns, and the columns that the log does not have; of a column its 200 most frequent values."""
    parts, lacking = [], []
    for name in columns:
        column = column_of(labelled, name)
        if column is None:
            lacking.append(name)
            continue
        texts = column.cast(pl.String).fill_null("").alias("value")
        counts = texts.value_counts().sort(["count", "value"], descending=[True, False])
        for value in sorted(counts["value"].head(_MOST).to_list()):
            rows = labelled.filter(texts == value)
            days = rows["at"].dt.date().n_unique()
            why = ""
            if rows.height < MIN_SLICE_ROWS:
                why = f"{rows.height} rows are too few: at least {MIN_SLICE_ROWS} are needed"
            elif days < _MIN_DAYS:
                why = f"its rows are of {days} days, {_MIN_DAYS} are needed"
            parts.append(Part(f"{name}={value}", rows, days, why))
    return parts, lacking


def at_level(found: Estimate, days: int, slices: int) -> Estimate:
    """The interval by days at the level that is left to each of so many slices, so that all hold together at 95 %.

    Source: C. Bonferroni, 1936; by Student's t, of which a 95 % interval by days is made.
    """
    if slices < 2 or days < 2:
        return found
    wider = student_quantile(1 - 0.025 / slices, days - 1) / student_quantile(0.975, days - 1)
    low, high = (found.value + (edge - found.value) * wider for edge in (found.low, found.high))
    return msgspec.structs.replace(found, low=low, high=high, confidence=1 - 0.05 / slices)


def words_of(rows: Sequence[Mapping[str, Any]], worse: Sequence[str], lacking: Sequence[str]) -> str:
    """What the slices say, in words.

    Args:
        rows: With the state of each.
        worse: The sentences of those that alert.
        lacking: Columns that are not there.
    """
    few = sum(row["state"] == "cannot tell" for row in rows)
    alone = sum(row["state"] == "note" for row in rows)
    told = f"Of {len(rows)} slices {len(worse) or 'none'} {'is' if len(worse) < 2 else 'are'} worse"
    told += f" ({'; '.join(worse[:_TOLD])}{'; ...' if len(worse) > _TOLD else ''})" if worse else ""
    told += f", {few} cannot tell" if few else ""
    told += f", {alone} had no figure before release to compare with" if alone else ""
    gone = "".join(f" The log has no column {name!r} to slice by." for name in lacking)
    return f"{told}.{gone}" if rows else gone.strip()
