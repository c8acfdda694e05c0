"""Which answers of a canary were slow, beside the champion's answers to requests of about as many rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.rollout.guardrails import COUNTS

__all__ = ["slow_blocks"]

_ARMS = ("champion", "challenger")
_USUAL_OF, _RENEWED_AFTER = 100, 25
_TIMES = 2.0
_LEAST_US = 1000
"""The way of a request to the model and back takes as long: below it no model is slow."""
_EXACT_ROWS = 8
_CLASS = ("size", "is_mixed")


def slow_blocks(
    answered: pl.DataFrame, fractions: Mapping[int, float], limit_us: int = 0
) -> tuple[pl.DataFrame, list[tuple[str, int]]]:
    """Calls of each arm, and those that were slow, by hour, revision and kind of request.

    Without a declared limit a call is slow that takes more than twice the median of the champion's last 100 calls before
    it, of requests of its kind, and more than a millisecond. The limit is renewed after each 25 calls, and is there after
    the first 25. What it is depends on earlier calls alone, so that under "the challenger is not slower" both arms exceed
    it equally often. A stall moves a median by little, and a machine that grows slower moves the limit too; a high
    quantile of the first calls is what one stall makes it, for good.

    Requests are of one kind that have as many rows (from 8 on: up to twice as many) and were answered by one arm or by
    both: the features of all rows count in both arms' time, and two arms may be asked at once. Within a kind the
    challenger has the fewer rows while its share is at most a half. Where it is more, calls of as many own rows are
    compared, and the champion's are parts of larger requests. So what is left of a difference favours the challenger.

    Args:
        answered: Rows of the log that models answered, with `revision`, `arm`, `at`, `answered_at`, `took_us`,
            `propensity`.
        fractions: The challenger's share by revision; where it is 1 nothing is beside it.
        limit_us: As declared, 0 for none.

    Returns:
        Blocks with `at` and the columns of `COUNTS`; by number of rows the limit of last, in microseconds.
    """
    calls = _calls(answered, fractions)
    parts: list[pl.DataFrame] = []
    limits: dict[int, int] = {}
    for (size, _), some in calls.group_by(_CLASS, maintain_order=True):
        is_champion = (some["arm"] == "champion").to_numpy()
        took = some["took_us"].cast(pl.Float64).to_numpy()
        limit = np.full(took.size, float(limit_us)) if limit_us else _limits(took, is_champion)
        judged = np.isfinite(limit)
        if judged.any():
            limits[int(str(size))] = int(limit[judged][-1])
        parts.append(some.with_columns(pl.Series("slow", took > limit, pl.Boolean)).filter(pl.Series(judged)))
    told = pl.concat(parts) if parts else calls.with_columns(pl.lit(value=False).alias("slow"))
    blocks = told.group_by("hour", "revision", *_CLASS).agg(
        *(
            aggregate
            for arm in _ARMS
            for aggregate in (
                (pl.col("slow") & (pl.col("arm") == arm)).sum().cast(pl.Float64).alias(f"{arm}_failures"),
                (pl.col("arm") == arm).sum().cast(pl.Int64).alias(f"{arm}_rows"),
            )
        )
    )
    blocks = blocks.sort("hour", "revision", *_CLASS).rename({"hour": "at"}).select("at", *COUNTS)
    return blocks, [(_words(size), limits[size]) for size in sorted(limits)]


def _calls(answered: pl.DataFrame, fractions: Mapping[int, float]) -> pl.DataFrame:
    """One row a call of an arm, in the order in which they were asked; not those that an arm answered for the other."""
    shares = pl.DataFrame(
        {"revision": [n for n, share in fractions.items() if share < 1.0], "share": [s for s in fractions.values() if s < 1.0]},
        schema={"revision": pl.Int64, "share": pl.Float64},
    )  # fmt: skip
    request = ["revision", "at", "answered_at"]
    rows = answered.filter(pl.col("took_us") > 0).join(shares, on="revision", maintain_order="left")
    calls = rows.group_by(*request, "arm", "took_us", "share").agg(
        pl.len().alias("own"), (pl.col("propensity") < 1.0).all().alias("is_own")
    )
    calls = calls.with_columns(
        pl.col("own").sum().over(request).alias("all"), (pl.col("arm").n_unique().over(request) > 1).alias("is_mixed")
    )
    by_own = pl.col("share") > 0.5
    size = pl.when(by_own).then("own").otherwise("all")
    doubled = 2 ** size.log(2).floor().cast(pl.Int64)
    return (
        calls.filter("is_own")
        .with_columns(
            pl.when(size < _EXACT_ROWS).then(size).otherwise(doubled).cast(pl.Int64).alias("size"),
            (pl.col("is_mixed") & ~by_own).alias("is_mixed"),
            pl.col("at").dt.truncate("1h").alias("hour"),
        )
        .sort("at", "answered_at", "revision", "arm", "took_us")
    )


def _limits(took: NDArray[np.float64], is_champion: NDArray[np.bool_]) -> NDArray[np.float64]:
    """By call the limit that the champion's calls before it set; infinite where they were too few."""
    own = took[is_champion]
    before: NDArray[np.int64] = np.cumsum(is_champion) - is_champion
    ends = np.arange(_RENEWED_AFTER, own.size + 1, _RENEWED_AFTER)
    usual = [float(np.median(own[max(0, end - _USUAL_OF) : end])) for end in ends]
    known = np.array([np.inf, *(max(float(_LEAST_US), _TIMES * each) for each in usual)])
    return np.asarray(known[before // _RENEWED_AFTER])


def _words(size: int) -> str:
    return f"{size}" if size < _EXACT_ROWS else f"{size} to {2 * size - 1}"
