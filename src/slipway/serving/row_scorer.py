"""Scores the rows of a request and counts and writes down, in the one thread that counts, what was found out on the way."""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from slipway.errors import BackendError, SlipwayError, StepFailed
from slipway.ids import new_id
from slipway.records.predictions import FailureRow
from slipway.serving import counters as count
from slipway.serving.active import Active
from slipway.serving.counters import Counters
from slipway.serving.http import REQUEST_ID, TooSlow, for_callers
from slipway.serving.scoring import (
    NONE_MISSING,
    ArmFailed,
    Failed,
    Notes,
    ScoredRows,
    Side,
    attempt,
    champion_alone,
    kind_of,
    microseconds,
    resolved,
    scored,
)

__all__ = ["RowScorer"]

_TRACEBACK_EVERY_S = 1.0
_logger = logging.getLogger("slipway.serving")


class RowScorer:
    """Scores the rows of one request, each by its own model, and counts. One thread calls it.

    A challenger never makes an answer worse than the champion's: rows on which it fails are answered by the champion.

    Args:
        counters: Where failures and the challenger's rows are counted.
        note_failure: Takes what goes into the log of failures.
    """

    def __init__(self, counters: Counters, note_failure: Callable[[FailureRow], None]) -> None:
        self._counters = counters
        self._note_failure = note_failure
        self._trace_at = -_TRACEBACK_EVERY_S
        self._last: Active | None = None
        self._alone: list[Side] = []

    def __call__(self, active: Active, rows: list[list[Any]], at: datetime) -> ScoredRows:
        """Score rows here and now.

        Raises:
            InvalidInput: A row does not fit its model.
            StepFailed: Features or model of the champion failed.
            BackendError: The online store failed.
        """
        if active.challenger is None and active.fallback is None:  # the path of most requests
            try:
                inputs = resolved(active.resolve, rows, at)
                scores = scored(active.predict, inputs)
            except ArmFailed as problem:
                self._note(
                    active, Failed("champion", len(rows), problem.step, kind_of(problem)), at, time.time_ns() // 1000
                )
                raise self.told(problem) from problem.cause
            if active is not self._last:  # made once a revision
                self._last, self._alone = active, [champion_alone(active)]
            return inputs, scores, self._alone * len(rows), NONE_MISSING
        notes = Notes()
        try:
            return attempt(active, rows, at, notes)
        except ArmFailed as problem:
            raise self.told(problem) from problem.cause
        finally:
            if notes.failures or notes.by_challenger:
                self.write(active, at, notes)

    def write(self, active: Active, at: datetime, notes: Notes) -> None:
        """Count and write down what was found out while the models of a revision were asked."""
        if notes.by_challenger:
            self._counters.add(count.CHALLENGER_ROWS, notes.by_challenger)
        noted_us = time.time_ns() // 1000  # the same for all of a request, which it names
        for failed in notes.failures:
            self._note(active, failed, at, noted_us)
            if failed.was_covered and failed.arm != "champion":
                self._counters.add(count.COVERED_ROWS, failed.rows)
        for what, cause in notes.said:
            self.say(f"{what} [{REQUEST_ID.get().decode()}]", cause)

    def _note(self, active: Active, failed: Failed, at: datetime, noted_us: int) -> None:
        revision = active.revision
        arm, rows, step, kind, was_covered = failed
        served = next((one.plan.served for one in active.challengers if one.plan.name == arm), revision.served)
        row = FailureRow(
            microseconds(at),
            noted_us,
            revision.number,
            arm,
            served.bundle[:16],
            rows,
            step,
            was_covered,
            kind,
        )
        self._note_failure(row)

    def told(self, problem: ArmFailed) -> SlipwayError:
        """Log the cause under the request's id, which the answer names; the answer itself tells nothing of the inside."""
        is_away = problem.step == "features" and isinstance(problem.cause, BackendError)
        self._counters.add(count.FAILED_REQUESTS["away" if is_away else kind_of(problem)])
        if isinstance(problem.cause, BackendError) and is_away:
            return for_callers(problem.cause)
        self._counters.add(count.MODEL_FAILURES)
        mark = REQUEST_ID.get().decode() or new_id()[-12:]
        self.say(f"{problem.what} [{mark}]", problem.cause)
        if problem.reason == "timeout" or isinstance(problem.cause, TooSlow):
            return TooSlow("The model took too long over this request.", fix="Send fewer rows, or ask again later.")
        return StepFailed(
            problem.what, step=problem.step, fix=f"Its operator finds the cause in front.log under {mark}."
        )

    def say(self, what: str, cause: BaseException | None) -> None:
        """Log that something failed, with its traceback once a second at most."""
        if cause is None:
            _logger.error("%s", what)
        elif time.monotonic() - self._trace_at > _TRACEBACK_EVERY_S:
            self._trace_at = time.monotonic()
            _logger.error("%s", what, exc_info=cause)
        else:
            _logger.error("%s %s: %s", what, type(cause).__name__, cause)
