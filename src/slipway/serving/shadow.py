"""The comparison nobody waits for: whichever model did not answer a row scores it too, off the request's path.

Each answered row is sampled and then either compared, which means that the second score, or that there is none, stands
in the log, or dropped; nothing of it can touch an answer.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.records.endpoints import Served
from slipway.records.predictions import Arm, PredictionRow, ShadowRow
from slipway.serving import counters as count
from slipway.serving.active import Active, Predict, Resolve, Rows
from slipway.serving.counters import Counters
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.scoring import ArmFailed, resolved, scored

__all__ = ["Shadow"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED = Counted(count.SHADOW_COMPARED, count.SHADOW_DROPPED, count.SHADOW_LOST)


class _Waiting(NamedTuple):
    active: Active
    row: PredictionRow


class _Unseen(NamedTuple):
    """The model that did not answer; `resolve` is None where it takes the inputs that the other one had."""

    arm: Arm
    served: Served
    predict: Predict
    resolve: Resolve | None


class Shadow:
    """Takes answered rows and has the other model score them: one bounded queue, one thread, in batches.

    A row is scored by the models that were active when it was answered, whatever has been swapped since.

    Args:
        append: Appends shadow rows to the log; when it returns they are with the operating system.
        counters: Where sampled, compared, dropped and failed rows are counted.
        capacity_rows: How many rows may wait; what comes on top is dropped and counted.
    """

    def __init__(
        self, append: Callable[[list[ShadowRow]], None], counters: Counters, *, capacity_rows: int = 20_000
    ) -> None:
        self._append = append
        self._counters = counters
        self._queue: RowQueue[_Waiting] = RowQueue(
            self._compare, counters, _COUNTED, what="shadows", capacity_rows=capacity_rows
        )

    def put(self, active: Active, rows: Sequence[PredictionRow]) -> bool:
        """Take answered rows without waiting; False when the queue is full and they were dropped and counted."""
        self._counters.add(count.SHADOW_SAMPLED, len(rows))
        return self._queue.put([_Waiting(active, row) for row in rows])

    def hurry(self) -> None:
        """Have what waits compared now: somebody is looking at the counters."""
        self._queue.hurry()

    def close(self) -> None:
        """Compare what waits, then stop the thread."""
        self._queue.close()

    def _compare(self, waiting: list[_Waiting]) -> None:
        groups: dict[tuple[int, Arm], tuple[Active, list[PredictionRow]]] = {}
        for active, row in waiting:
            groups.setdefault((id(active), row.arm), (active, []))[1].append(row)
        written: list[ShadowRow] = []
        for (_, arm), (active, rows) in groups.items():
            written += _shadows(active, _other(active, arm), rows)
        self._append(written)
        self._counters.add(count.SHADOW_FAILED, sum(row.score is None for row in written))


def _other(active: Active, arm: Arm) -> _Unseen:
    challenger = active.challenger
    assert challenger is not None  # rows are only put while there is one
    if arm == "champion":
        return _Unseen("challenger", challenger.plan.served, challenger.predict, challenger.resolve)
    own = None if challenger.resolve is None else active.resolve
    return _Unseen("champion", active.revision.served, active.predict, own)


def _shadows(active: Active, model: _Unseen, rows: list[PredictionRow]) -> list[ShadowRow]:
    started = time.perf_counter_ns()
    scores = _scores(model, rows)
    took_ns = (time.perf_counter_ns() - started) // len(rows)
    bundle, number = model.served.bundle[:16], active.revision.number
    return [
        ShadowRow(row.id, row.at_us, number, model.arm, bundle, score, took_ns)
        for row, score in zip(rows, scores, strict=True)
    ]


def _scores(model: _Unseen, rows: list[PredictionRow]) -> list[float | None]:
    """A score a row, None where there is none; rows that fail together are asked one by one."""
    try:
        return list(scored(model.predict, _inputs(model, rows)))
    except (ArmFailed, InvalidInput):
        return [None] if len(rows) == 1 else [score for row in rows for score in _scores(model, [row])]


def _inputs(model: _Unseen, rows: list[PredictionRow]) -> Rows:
    if model.resolve is None:
        return [row.features for row in rows]
    found: list[Sequence[Any]] = [()] * len(rows)
    by_time: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        by_time.setdefault(row.at_us, []).append(place)
    for at_us, places in by_time.items():
        at = _EPOCH + timedelta(microseconds=at_us)
        for place, values in zip(places, resolved(model.resolve, [rows[i].request for i in places], at), strict=True):
            found[place] = values
    return found
