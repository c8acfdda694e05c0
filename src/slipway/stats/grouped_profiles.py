"""Many profiles over one reference at once: of rows in groups, such as hours, each group's row of counts.

The same numbers as a profile of each group by itself. A profile of a few rows takes as long as one of thousands, so here
each column is looked at once for all groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.stats import profile_counting as counting
from slipway.stats.flat_profiles import Flat
from slipway.stats.profile_counting import GROUPS, MISSING, Cells
from slipway.stats.profile_parts import Column, Profile

__all__ = ["counts_by_group"]

Whole = NDArray[np.int64]
_SIDE = MISSING + 1


def counts_by_group(flat: Flat, named: Profile, columns: Mapping[str, pl.Series], sizes: Sequence[int]) -> Whole:
    """The counts of each of several groups, int64 of shape `(n_groups, width)`.

    Args:
        flat: The layout over the reference.
        named: The reference, its columns named as they are here.
        columns: By name: floats, or texts; the rows of one group after those of another.
        sizes: How many rows each group has.
    """
    groups = _Groups(np.asarray(sizes, dtype=np.int64), np.repeat(np.arange(len(sizes)), sizes))
    found = np.zeros((groups.sizes.size, flat.width), dtype=np.int64)
    if not groups.of.size:
        return found
    found[:, flat.rows] = groups.sizes
    known = {column.name for column in named.columns}
    pairs = [pair for pair in named.pairs if pair.first in known and pair.second in known]
    wanted = {name for pair in pairs for name in (pair.first, pair.second)}
    cells: dict[str, Cells] = {}
    for place, frame in enumerate(named.columns):
        count = _numbers if frame.is_numeric else _texts
        fields, own = count(frame, columns[frame.name], groups, grouped=frame.name in wanted)
        for field, numbers in fields.items():
            at = flat.places[place, field]
            found[:, at.start : at.stop] = numbers.reshape(found.shape[0], -1)
        if own is not None:
            cells.setdefault(frame.name, own)
    for pair, at in zip(pairs, flat.pairs, strict=True):
        both = cells[pair.first].astype(np.int64) * _SIDE + cells[pair.second]
        grid = groups.table(both, _SIDE * _SIDE).reshape(-1, _SIDE, _SIDE)[:, :GROUPS, :GROUPS]
        found[:, at.start : at.stop] = grid.reshape(found.shape[0], -1)
    return found


class _Groups(NamedTuple):
    """Rows in groups: how many each has, and by row its group."""

    sizes: Whole
    of: Whole

    def table(self, cells: Whole, width: int) -> Whole:
        """By group how often each cell comes."""
        flat = np.bincount(self.of * width + cells, minlength=self.sizes.size * width)
        return flat.reshape(self.sizes.size, width)

    def sums(self, values: NDArray[np.float64]) -> Whole:
        """By group the sum of whole numbers that come as floats: exact."""
        return np.bincount(self.of, weights=values, minlength=self.sizes.size).astype(np.int64)


def _numbers(
    frame: Column, values: pl.Series, groups: _Groups, *, grouped: bool
) -> tuple[dict[str, Whole], Cells | None]:
    """A column of numbers by field of its profile; and where pairs want it each row's cell."""
    numbers = counting.numbers_of(values)
    assert numbers is not None  # the reference counts it as numbers
    is_missing = np.isnan(numbers)
    edges = len(frame.edges)
    places = np.searchsorted(np.asarray(frame.edges), numbers, side="left")
    places[is_missing] = edges + 1
    found = {"counts": groups.table(places, edges + 2)[:, :-1], "missing": groups.sums(is_missing.astype(np.float64))}
    beyond = {
        "below": numbers < frame.low,
        "above": numbers > frame.high,
        "under": numbers < frame.tail_low,
        "over": numbers > frame.tail_high,
    }
    found |= {field: groups.sums(is_there.astype(np.float64)) for field, is_there in beyond.items()}
    if not np.isnan(frame.centre):  # a frame without moments, of an earlier release or of no values
        steps = counting.steps_of(numbers, frame)
        steps[is_missing] = 0.0
        found |= {"total": groups.sums(steps), "squares": groups.sums(np.square(steps))}
    return found, counting.groups_of_numbers(frame, numbers) if grouped else None


def _texts(
    frame: Column, values: pl.Series, groups: _Groups, *, grouped: bool
) -> tuple[dict[str, Whole], Cells | None]:
    """A column of texts by field of its profile; and where pairs want it each row's cell."""
    tally = counting.tally_of(values)
    listed = len(frame.categories)
    other, unseen, missing = listed, listed + 1, listed + 2
    place = {name: position for position, name in enumerate(frame.categories)}
    rare = counting.is_rare(frame)
    known = tally.filter(pl.col("raw").is_not_null()).sort("raw")
    codes = [place.get(name, other if rare(name) else unseen) for name in known["name"]]
    texts = counting.texts_of(values)
    rows = texts.cast(pl.Enum(known["raw"])).to_physical().cast(pl.UInt32).fill_null(len(codes)).to_numpy()
    table = groups.table(np.take(np.array([*codes, missing], dtype=np.int64), rows), listed + 3)
    found = {
        "counts": table[:, :listed],
        "other": table[:, other],
        "unseen": table[:, unseen],
        "missing": table[:, missing],
    }
    return found, counting.groups_of_texts(frame, texts, tally) if grouped else None
