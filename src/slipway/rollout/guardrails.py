"""What a canary guards: how often something goes wrong in one arm, beside the other arm at the same time.

Each guardrail is a share of rows, calls or labels, and all are judged by one e-process, each at alpha over their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.stats.evidence import sample_ratio, two_sample_bernoulli

__all__ = [
    "COUNTS",
    "GUARDRAILS",
    "SHIFT_FLOOR",
    "SLOW_FLOOR",
    "Guarded",
    "Seen",
    "blocks_of",
    "guarded",
    "shifted",
    "split_evidence",
]

COUNTS = ("champion_failures", "champion_rows", "challenger_failures", "challenger_rows")
"""The columns of a guardrail's blocks, besides `at`; "failures" are whatever it counts."""

GUARDRAILS = (
    "failures", "time-outs", "invalid outputs", "fallbacks", "slow answers", "KPI", "prediction shift", "split",
)  # fmt: skip
"""All that is watched: alpha is shared among them, whether or not there is anything to count."""

SHIFT_FLOOR = 0.1
"""Two arms whose shares of scores above a cut differ by less are alike enough for a canary."""

SLOW_FLOOR = 0.1
"""No step is taken before the share of slow answers is shown to be greater by less than this, or than the margin."""

_PAIRS_APART = 0.4
_APART = np.linspace(0.45, 0.95, 11)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the log shows of a canary besides its failures; what nobody could count is left out.

    Args:
        guards: By guardrail its blocks, in order: `at` and the columns of `COUNTS`.
        cuts: For the prediction shift: by cut of the champion's scores the rows above it, in the same blocks.
        pairs: For the prediction shift: by block `rows` scored by both models, and `apart`: how many of them only one of
            the models puts above the champion's median.
        split: Rows as they were drawn, one a case: `at`, `share` (the challenger's declared one), `champion`,
            `challenger`.
        slow_us: From which time on an answer was slow of late, by how many rows the request had; () where nobody knows.
        without_decision: By arm the labelled rows on which nothing was decided: they are no evidence for the KPI.
        untold: Why the KPI cannot be told, "" where nothing stands in the way.
        margin: How much greater the KPI's mean loss may be, None for what the canary declares.
    """

    guards: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    cuts: Sequence[pl.DataFrame] = ()
    pairs: pl.DataFrame | None = None
    split: pl.DataFrame | None = None
    slow_us: Sequence[tuple[str, int]] = ()
    without_decision: Mapping[str, int] = field(default_factory=dict)
    untold: str = ""
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a guardrail shows.

    Args:
        name: Which.
        log_e: The logarithm of the greatest evidence so far that the challenger's share is greater.
        champion: The champion's share, NaN without rows.
        challenger: The challenger's.
        difference: How much greater the challenger's is, compared within blocks.
        values: Its counts, so that it can be judged again.
    """

    name: str
    log_e: float
    champion: float
    challenger: float
    difference: float
    values: dict[str, Any]


def blocks_of(counts: pl.DataFrame) -> list[NDArray[np.float64]]:
    """The four columns of a guardrail's blocks."""
    return [counts[name].cast(pl.Float64).to_numpy() for name in COUNTS]


def guarded(name: str, counts: pl.DataFrame) -> Guarded:
    """Judge one guardrail.

    A block's "failures" may be a sum of losses from 0 to 1 as well as a number of rows: a row's factor in the e-value is
    exponential in what it counts, thus convex, and at most the chord between its values at 0 and 1, whose mean is that
    of a yes or no of the same mean.
    """
    blocks = blocks_of(counts)
    bad_a, n_a, bad_b, n_b = blocks
    values = {"at": [at.isoformat() for at in counts["at"]], **{each: counts[each].to_list() for each in COUNTS}}
    return Guarded(
        name=name,
        log_e=float(max([0.0, *two_sample_bernoulli(*blocks)])),
        champion=float(bad_a.sum() / n_a.sum()) if n_a.sum() else math.nan,
        challenger=float(bad_b.sum() / n_b.sum()) if n_b.sum() else math.nan,
        difference=_within_blocks(*blocks),
        values=values,
    )


def shifted(seen: Seen) -> Guarded | None:
    """Whether the arms' scores are distributed alike: both sides of each cut, and pairs of scores of the same rows.

    The evidence is the mean of all these e-processes, which is one too. None where nothing can be compared.
    """
    said: list[NDArray[np.float64]] = []
    differences = [0.0]
    for cut in seen.cuts:
        bad_a, n_a, bad_b, n_b = blocks_of(cut)
        said.append(two_sample_bernoulli(bad_a, n_a, bad_b, n_b))
        said.append(two_sample_bernoulli(bad_b, n_b, bad_a, n_a))
        differences.append(_within_blocks(bad_a, n_a, bad_b, n_b))
    evidence = _mean_of(said)
    values: dict[str, Any] = {"cuts": [guarded("cut", cut).values for cut in seen.cuts]}
    apart = math.nan
    if seen.pairs is not None and seen.pairs.height:
        rows, of = seen.pairs["rows"].to_numpy(), seen.pairs["apart"].to_numpy()
        apart = float(of.sum() / rows.sum())
        evidence = max(evidence, _apart(of, rows) - math.log(2)) if said else _apart(of, rows)
        values["pairs"] = {"apart": of.tolist(), "rows": rows.tolist()}
    if not said and math.isnan(apart):
        return None
    greatest = max(differences, key=abs)
    # Of pairs the hypothesis itself has a floor: that at most so many are apart.
    is_apart = apart > _PAIRS_APART and abs(greatest) < SHIFT_FLOOR
    values["apart"] = None if math.isnan(apart) else apart
    return Guarded("prediction shift", evidence, 0.0, apart, apart if is_apart else greatest, values)


def split_evidence(split: pl.DataFrame) -> float:
    """The logarithm of the greatest evidence so far that cases were not drawn by the declared shares, step by step."""
    total, most = 0.0, 0.0
    for (share,), step in split.group_by("share", maintain_order=True):
        if not 0.0 < float(share) < 1.0:
            continue
        counts = step.select("champion", "challenger").to_numpy()
        said = sample_ratio(counts, (1.0 - float(share), float(share)))
        most = max([most, *(total + said)])
        total += float(said[-1]) if said.size else 0.0
    return float(most)


def _within_blocks(
    bad_a: NDArray[np.float64], n_a: NDArray[np.float64], bad_b: NDArray[np.float64], n_b: NDArray[np.float64]
) -> float:
    """How much greater b's share is, each block weighed by what it can tell (Mantel and Haenszel); 0 where none can."""
    both = (n_a > 0) & (n_b > 0)
    if not both.any():
        return 0.0
    weights = n_a[both] * n_b[both] / (n_a[both] + n_b[both])
    return float(np.average(bad_b[both] / n_b[both] - bad_a[both] / n_a[both], weights=weights))


def _mean_of(said: Sequence[NDArray[np.float64]]) -> float:
    if not said or not said[0].size:
        return 0.0
    stacked = np.stack(said)
    most = stacked.max(axis=0)
    return float(max(0.0, (most + np.log(np.exp(stacked - most).mean(axis=0))).max()))


def _apart(apart: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    """The evidence against "at most so many pairs are apart": the mean likelihood ratio over greater shares."""
    of, all_of = np.cumsum(apart)[:, None], np.cumsum(rows)[:, None]
    said = of * np.log(_APART / _PAIRS_APART) + (all_of - of) * np.log((1 - _APART) / (1 - _PAIRS_APART))
    return _mean_of(list(said.T))
