"""Does a model answer the same to different inputs? A stuck feature or a broken estimator gives results that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from slipway.stats.binomial import most_share, upper_tail

__all__ = ["Constant", "constant"]

MIN_INPUTS = 30
MIN_SHARE = 0.98
_BY_CHANCE = 1e-6
_ALPHA = 0.025


class Constant(NamedTuple):
    """One answer to nearly all: how many different inputs, and the sentence."""

    rows: int
    sentence: str


def constant(recent: pl.DataFrame, before: Sequence[float]) -> Constant | None:
    """Whether a model's recent answers are one and the same beyond what it gave before; None where not, or not to tell.

    Each different input counts once, with its last answer: a caller that asks the same again and again gets the same. The
    share of the most frequent answer must be 98 % at least, and so many must be less likely than one in a million at the
    upper 97.5 % bound (Clopper and Pearson) of the greatest share that one answer had before.

    Args:
        recent: Answered rows, oldest first: `inputs` (what tells them apart) and `score`.
        before: Scores that the model gave to different inputs earlier, or at packaging.
    """
    different = recent.unique("inputs", keep="last")
    n = different.height
    if n < MIN_INPUTS or len(before) < MIN_INPUTS:
        return None
    top = different.group_by("score").len("n").sort("n", "score", descending=True).row(0, named=True)
    if top["n"] < MIN_SHARE * n:
        return None
    counts = pl.Series(before, dtype=pl.Float64).value_counts()["count"]
    former = int(counts.max())  # type: ignore[arg-type]  # there are some
    usual = most_share(former, len(before), _ALPHA)
    if upper_tail(top["n"], n, usual) > _BY_CHANCE:
        return None
    told = f"{top['n']:,} of {n:,} different inputs got the same answer, {top['score']:.6g}"
    told += f"; before, no answer came more often than {former:,} times in {len(before):,}"
    return Constant(top["n"], told)
