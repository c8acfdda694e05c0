"""Sketches over whole columns: the codings of `states.coder`, and one state that slides over the sorted events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.features.sketches import register_of, sketch_of
from slipway.records.features import Aggregate

__all__ = ["Groups", "buckets", "folded", "registers"]


class Groups(NamedTuple):
    """The events of a source in order: the group and the value of each, and whether it counts."""

    groups: Sequence[int]
    values: Sequence[int]
    counts: Sequence[bool]


def registers(texts: pl.Series, bits: int) -> pl.Series:
    """`sketches.register_of` for texts; each is hashed once."""
    different = texts.unique().drop_nulls()
    codes = pl.Series([register_of(text, bits) for text in different.to_list()], dtype=pl.Int64)
    known = pl.DataFrame({"text": different, "code": codes})
    return pl.DataFrame({"text": texts}).join(known, on="text", how="left", maintain_order="left")["code"]


def buckets(numbers: pl.Series, bits: int) -> pl.Series:
    """`sketches.bucket_of` for numbers."""
    values = numbers.fill_null(float("nan")).to_numpy()
    found = np.abs(values).view(np.int64) >> (52 - bits)
    found = np.where(found < 1 << bits, 0, np.where(values < 0, -found, found))
    return pl.Series("code", found, dtype=pl.Int64).set(pl.Series(~np.isfinite(values)), None)


def folded(aggregate: Aggregate, events: Groups, low: NDArray[np.int64], high: NDArray[np.int64]) -> pl.Series:
    """A sketch's value over the events (low, high] for many ranges.

    Ranges are taken in order, so that one state slides over the events and takes up and gives back each of them once.
    """
    make = sketch_of(aggregate)
    groups, values, counts = events
    nothing = make().value()
    found: list[Any] = [nothing] * len(low)
    order = np.lexsort((low, high))
    order = order[high[order] > low[order]]
    sketch, first, last, value = make(), 0, 0, nothing
    for index, begin, end in zip(order.tolist(), (low[order] + 1).tolist(), (high[order] + 1).tolist(), strict=True):
        if (begin, end) != (first, last):
            if begin >= last:
                sketch, first, last = make(), begin, begin
            for event in range(first, begin):
                if counts[event]:
                    sketch.add(groups[event], -1, -values[event])
            for event in range(last, end):
                if counts[event]:
                    sketch.add(groups[event], 1, values[event])
            first, last = begin, end
            value = sketch.value()
        found[index] = value
    return pl.Series(aggregate.name, found, dtype=pl.Int64 if aggregate.returns == "int" else pl.Float64)
