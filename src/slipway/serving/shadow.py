"""The comparison nobody waits for: whichever model did not answer a row scores it too, off the request's path.

Each answered row is sampled and then either compared, which means that the second score, or that there is none, stands
in the log, or dropped; nothing of it can touch an answer.

It gives way to requests: it scores few rows at a time, lets go of the interpreter ten times as often as Python does by
itself, and as long as requests come rests ten times as long as it has worked. What it does not get to is dropped. It is no thread of
low priority: one that the system passes over while it holds the interpreter would hold up every request.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.records.endpoints import Served
from slipway.records.predictions import Arm, PredictionRow, ShadowProblem, ShadowRow
from slipway.serving import counters as count
from slipway.serving.active import Active, Predict, Resolve, Rows
from slipway.serving.arms import share_of
from slipway.serving.counters import Counters
from slipway.serving.guest import model_ns
from slipway.serving.row_queue import Counted, RowQueue
from slipway.serving.scoring import ArmFailed, resolved, scored

__all__ = ["SHADOW_SALT", "Shadow"]

SHADOW_SALT = "shadow"
"""A row is sampled whose `share_of(SHADOW_SALT, id)` is below the declared share: whoever reads the log can tell which."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED = Counted(count.SHADOW_COMPARED, count.SHADOW_DROPPED, count.SHADOW_LOST)
_ROWS = 64
_LONG_S, _SHORT_S = 0.01, 0.002
_SWITCH_S = 0.0005
_REST, _MOST_REST_S = 10, 1.0
_QUIET_S, _STEP_S = 0.02, 0.005
_FINISH_S, _END_S = 2.0, 3.0
_TIMED_EVERY = 8


class _Waiting(NamedTuple):
    active: Active
    row: PredictionRow


class _Unseen(NamedTuple):
    """The model that did not answer; `resolve` is None where it takes the inputs that the other one had."""

    arm: Arm
    served: Served
    predict: Predict
    resolve: Resolve | None
    is_valid: Callable[[float], bool]
    beside: Predict


class _Score(NamedTuple):
    """A score, or why there is none."""

    value: float | None
    problem: ShadowProblem = ""


class Shadow:
    """Takes answered rows and has the other model score them: one bounded queue, one thread, in small batches.

    A row is scored by the models that were active when it was answered, whatever has been swapped since.

    Args:
        append: Appends shadow rows to the log; when it returns they are with the operating system.
        counters: Where sampled, compared, dropped and failed rows are counted.
        capacity_rows: How many rows may wait; what comes on top is dropped and counted.

    Attributes:
        is_live: Whether a request is under way; who answers requests sets it.
    """

    def __init__(
        self, append: Callable[[list[ShadowRow]], None], counters: Counters, *, capacity_rows: int = 20_000
    ) -> None:
        self._append = append
        self._counters = counters
        self.is_live: Callable[[], bool] = bool
        self._put_at = -math.inf
        self._at_once = _ROWS
        self._calls = 0
        self._until = math.inf
        self._queue: RowQueue[_Waiting] = RowQueue(
            self._compare, counters, _COUNTED, what="shadows", capacity_rows=capacity_rows, batch_rows=_ROWS
        )

    def put(self, active: Active, rows: Sequence[PredictionRow]) -> bool:
        """Take answered rows without waiting; False when the queue is full and some were dropped and counted."""
        self._put_at = time.monotonic()
        challenger = active.challenger
        if challenger is not None and challenger.plan.sample < 1.0:
            rows = [row for row in rows if share_of(SHADOW_SALT, row.id) < challenger.plan.sample]
        self._counters.add(count.SHADOW_SAMPLED, len(rows))
        parts = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
        taken = [self._queue.put([_Waiting(active, row) for row in part]) for part in parts]  # each part is counted
        return all(taken)

    def hurry(self) -> None:
        """Have what waits compared now: somebody is looking at the counters."""
        self._queue.hurry()

    def close(self) -> None:
        """Compare what waits for two seconds at most, count the rest as lost, then stop the thread."""
        self._until = time.monotonic() + _FINISH_S
        self._queue.close(_FINISH_S + _END_S)  # a model that never comes back ends with the process

    def _compare(self, waiting: list[_Waiting]) -> int:
        groups: dict[tuple[int, Arm], tuple[Active, list[PredictionRow]]] = {}
        for active, row in waiting:
            groups.setdefault((id(active), row.arm), (active, []))[1].append(row)
        written: list[ShadowRow] = []
        for (_, arm), (active, rows) in groups.items():
            model = _other(active, arm)
            while rows:
                if time.monotonic() > self._until or not _can_be_asked(active):
                    break
                some, rows = rows[: self._at_once], rows[self._at_once :]
                began = time.monotonic()
                with _letting_go():
                    written += _shadows(active, model, some, is_timed=self._calls % _TIMED_EVERY == 0)
                self._calls += 1
                self._give_way(time.monotonic() - began)
        if written:
            self._append(written)
        self._counters.add(count.SHADOW_FAILED, sum(row.score is None for row in written))
        return len(written)

    def _give_way(self, took_s: float) -> None:
        """Rest while requests come, and take fewer rows at a time where they take long."""
        if took_s > _LONG_S:
            self._at_once = max(1, self._at_once // 2)
        elif took_s < _SHORT_S:
            self._at_once = min(_ROWS, 2 * self._at_once)
        until = time.monotonic() + min(_REST * took_s, _MOST_REST_S)
        while self._is_busy() and time.monotonic() < until:
            time.sleep(_STEP_S)

    def _is_busy(self) -> bool:
        is_asked = self.is_live() or time.monotonic() - self._put_at < _QUIET_S
        return is_asked and not self._queue.is_closing


@contextmanager
def _letting_go() -> Iterator[None]:
    """Other threads get the interpreter after half a millisecond, as long as this one computes."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _can_be_asked(active: Active) -> bool:
    """Whether a challenger in a process of its own is there: what comes while it is started again is dropped."""
    challenger = active.challenger
    return challenger is None or challenger.guest is None or challenger.guest.is_up


def _other(active: Active, arm: Arm) -> _Unseen:
    challenger = active.challenger
    assert challenger is not None  # rows are only put while there is one
    if arm == "champion":
        served, valid = challenger.plan.served, challenger.is_valid
        return _Unseen("challenger", served, challenger.predict, challenger.resolve, valid, active.predict)
    own = None if challenger.resolve is None else active.resolve
    return _Unseen("champion", active.revision.served, active.predict, own, math.isfinite, challenger.predict)


def _shadows(active: Active, model: _Unseen, rows: list[PredictionRow], *, is_timed: bool) -> list[ShadowRow]:
    # Where the two have features of their own, those would have to be looked up again too: nobody measures then.
    beside_ns = _beside(model.beside, rows) if is_timed and model.resolve is None else 0
    started = model_ns()
    scores = _scores(model, rows)
    took_ns = (model_ns() - started) // len(rows)
    bundle, number = model.served.bundle[:16], active.revision.number
    return [
        ShadowRow(
            row.id,
            row.at_us,
            number,
            model.arm,
            bundle,
            score.value,
            took_ns,
            score.problem,
            0 if place else beside_ns,
            row.log_again,
        )
        for place, (row, score) in enumerate(zip(rows, scores, strict=True))
    ]


def _beside(predict: Predict, rows: list[PredictionRow]) -> int:
    """How long the model that answered takes for a row of the same batch, in the same thread; 0 where it fails now."""
    inputs = [row.features for row in rows]
    started = model_ns()
    try:
        scored(predict, inputs)
    except (ArmFailed, InvalidInput):
        return 0
    return max(1, (model_ns() - started) // len(rows))


def _scores(model: _Unseen, rows: list[PredictionRow]) -> list[_Score]:
    """A score a row, or why there is none; rows that fail together are asked one by one."""
    try:
        return [_Score(value) for value in scored(model.predict, _inputs(model, rows), model.is_valid)]
    except (ArmFailed, InvalidInput) as problem:
        if len(rows) > 1:
            return [score for row in rows for score in _scores(model, [row])]
        if isinstance(problem, InvalidInput):
            return [_Score(None, "refused")]
        return [_Score(None, problem.reason)]


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
