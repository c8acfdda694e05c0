"""Scores of rows that come in batches: they are read once, and what is kept of them is bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.models.inputs import label_values
from slipway.models.model import Model
from slipway.records.models import Decision
from slipway.stats.calibration import ReliabilityPoint
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.metrics import MIN_SLICE_ROWS, CostMatrix, Sliced
from slipway.stats.metrics import costs as cost_of_rows
from slipway.stats.profiles import Column
from slipway.stats.tallies import Mean, Tally
from slipway.tables.row_batches import Batches

__all__ = ["Judged", "judge"]

_KEPT = 100_000
_Slice = tuple[int, str]
_ALL: _Slice = (-1, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came out of scoring rows.

    Args:
        metrics: Overall, then by slice.
        costs: The cost of a decision, overall and by slice; () without a cost matrix.
        reliability: The calibration curve.
        scores: The scores as a column of a profile.
        kept: The rows with their scores: all, or 100,000 that lie evenly among them.
    """

    metrics: list[Sliced]
    costs: list[tuple[str, Estimate]]
    reliability: tuple[ReliabilityPoint, ...]
    scores: Column
    kept: pl.DataFrame


def judge(
    model: Model,
    rows: Batches,
    label: str,
    slices: Sequence[str],
    names: Sequence[str],
    decision: Decision,
    *,
    score: str,
    check: Callable[[NDArray[np.float64]], None],
) -> Judged:
    """Score rows batch by batch, and measure how good the scores are.

    Args:
        model: The model.
        rows: The rows.
        label: The column of the truth.
        slices: Columns by whose values the figures are told apart.
        names: Which figures.
        decision: Says what a decision costs, where it does.
        score: What the column of scores is called among the kept rows.
        check: Refuses labels that do not fit.

    Raises:
        InvalidInput: An input or label is missing or does not fit.
    """
    tallies: defaultdict[_Slice, Tally] = defaultdict(Tally)
    costs: defaultdict[_Slice, Mean] = defaultdict(Mean)
    kept, wanted, start = [], _evenly(rows.rows), 0
    matrix = None if decision.threshold is None or not decision.costs else CostMatrix(**decision.costs)
    for frame in rows if rows.rows else [rows.slice(0, 0)]:
        truth = label_values(frame, label)
        check(truth)
        scores = model.predict(frame)
        each = (
            None
            if matrix is None or decision.threshold is None
            else cost_of_rows(truth, scores, decision.threshold, matrix)
        )
        for slice, places in _members(frame, slices):
            tallies[slice].add(truth[places], scores[places])
            if each is not None:
                costs[slice].add(each[places])
        inside = wanted[(wanted >= start) & (wanted < start + frame.height)] - start
        kept.append(frame.with_columns(pl.Series(score, scores))[inside.tolist()])
        start += frame.height
    return _summed(tallies, costs, slices, names, score, pl.concat(kept))


def _summed(
    tallies: Mapping[_Slice, Tally],
    costs: Mapping[_Slice, Mean],
    slices: Sequence[str],
    names: Sequence[str],
    score: str,
    kept: pl.DataFrame,
) -> Judged:
    ordered = sorted(tallies)
    few = {slice for slice in ordered if slice != _ALL and tallies[slice].n < MIN_SLICE_ROWS}
    named = {one: f"{slices[one[0]]}={one[1]}" if one != _ALL else "" for one in ordered}
    found = [
        Sliced(
            metric=name, slice=named[one], estimate=_few(tallies[one].n) if one in few else tallies[one].estimate(name)
        )
        for one in ordered
        for name in names
    ]
    return Judged(
        metrics=found,
        costs=[
            (named[one], _few(costs[one].n) if one in few else costs[one].interval()) for one in ordered if one in costs
        ],
        reliability=tallies[_ALL].reliability(),
        scores=tallies[_ALL].column(score),
        kept=kept,
    )


def _members(frame: pl.DataFrame, slices: Sequence[str]) -> Iterator[tuple[_Slice, NDArray[np.intp]]]:
    """The places of all rows, then those of each slice's."""
    yield _ALL, np.arange(frame.height)
    for number, column in enumerate(slices):
        found = frame.select(pl.col(column).alias("value"), place=pl.int_range(pl.len())).group_by("value").agg("place")
        for value, places in found.rows():
            yield (number, "" if value is None else str(value)), np.asarray(places)


def _few(rows: int) -> Estimate:
    return cannot_tell(rows, f"{rows} rows are too few: at least {MIN_SLICE_ROWS} are needed")


def _evenly(rows: int) -> NDArray[np.intp]:
    """The positions of the rows that are kept: one by chance of each of as many stretches, the same ones each time."""
    if rows <= _KEPT:
        return np.arange(rows)
    within = np.random.default_rng(0).random(_KEPT)
    return ((np.arange(_KEPT) + within) * (rows / _KEPT)).astype(np.intp)
