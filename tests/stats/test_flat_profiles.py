"""Profiles as rows of counts: what goes in comes out, and sums are merged profiles."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.stats.flat_profiles import Flat
from slipway.stats.grouped_profiles import counts_by_group
from slipway.stats.profiles import merge, profile, to_bytes


def rows(n: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    wind = np.where(random.random(n) < 0.1, np.nan, random.normal(10, 3, n))
    return {
        "wind": wind,
        "carrier": [None if v < 0.05 else "AB"[int(v * 2)] + "X" * int(v > 0.99) for v in random.random(n)],
    }


def test_a_profile_comes_back_to_the_byte_and_sums_are_merged_ones() -> None:
    reference = profile(rows(1000, 0))
    flat = Flat(reference)
    parts = [profile(rows(50 + seed, seed), reference) for seed in range(1, 9)]
    assert [to_bytes(flat.profile(flat.counts(part))) for part in parts] == [to_bytes(part) for part in parts]
    together = parts[0]
    for part in parts[1:]:
        together = merge(together, part)
    for order in (parts, parts[::-1]):
        total = sum((flat.counts(part) for part in order), np.zeros(flat.width, np.int64))
        assert to_bytes(flat.profile(total)) == to_bytes(together)


def test_what_was_counted_over_another_reference_is_refused() -> None:
    other = profile({"wind": np.array([1.0, 1.0])})
    with pytest.raises(InvalidInput, match="does not fit the reference"):
        Flat(profile(rows(1000, 0))).counts(other)


NUMBERS = st.one_of(
    st.none(), st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0, 1e300]), st.floats(-9, 9)
)
TEXTS = st.sampled_from([None, "", "a", "b", "c", "e", "g", "new", "x" * 50, "x" * 49 + "y", "ä"])
ROW = st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS)
NAMES = ("wind", "same", "carrier", "open", "gone")


def columns(given: list[tuple[Any, ...]]) -> dict[str, pl.Series]:
    kinds = (pl.Float64, pl.Float64, pl.String, pl.String, pl.String)
    return {
        name: pl.Series([row[place] for row in given], dtype=kind)
        for place, (name, kind) in enumerate(zip(NAMES, kinds, strict=True))
    }


def reference() -> dict[str, pl.Series]:
    """A column that hardly varies, more categories than are listed, more than are remembered, and none at all."""
    wind = np.random.default_rng(5).normal(0, 3, 400).tolist()
    texts = ["a", "b", "c", *(f"{place}" for place in range(30))]
    return columns(
        [
            (wind[n], 0.0 if n % 9 else 1.0, [*texts, "x" * 50][n % 34], f"{n}" if n % 3 else "a", None)
            for n in range(400)
        ]
    )


@settings(max_examples=60)
@given(rows=st.lists(ROW, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=4), paired=st.booleans())
def test_groups_counted_together_are_counted_as_each_alone(
    rows: list[tuple[Any, ...]], cuts: list[int], paired: bool
) -> None:
    known = profile(reference(), pairs=30 if paired else 0)
    assert (len(known.pairs) > 0) == paired
    assert known.columns[3].is_open
    flat, values = Flat(known), columns(rows)
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    spans = list(pairwise(ends))
    alone = [flat.counts(profile({name: one[a:b] for name, one in values.items()}, known)) for a, b in spans]
    together = counts_by_group(flat, known, values, [b - a for a, b in spans])
    assert together.tolist() == [counts.tolist() for counts in alone]
