"""Which model scores which row of a request, and what is told and noted when one of them cannot."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from slipway.errors import BackendError, InvalidInput, SlipwayError, StepFailed
from slipway.ids import new_id
from slipway.records.endpoints import Served
from slipway.records.predictions import Arm, FailureRow
from slipway.serving import counters as count
from slipway.serving.active import Active, LoadedChallenger, Predict, Resolve, Rows
from slipway.serving.arms import arm_of, propensity
from slipway.serving.counters import Counters
from slipway.serving.http import for_callers

__all__ = ["ArmFailed", "RowScorer", "Side", "microseconds", "resolved", "scored"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TRACEBACK_EVERY_S = 1.0
_logger = logging.getLogger("slipway.serving")


def microseconds(instant: datetime) -> int:
    """Microseconds from the epoch to an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


class Side(NamedTuple):
    """Who answered a row: what the answer and the log say of it."""

    arm: Arm
    propensity: float
    version: int
    bundle: str
    threshold: float | None


class ArmFailed(Exception):
    """A model, or its features, could not score rows, and it is not the rows' fault.

    Args:
        step: "features" or "predict".
        what: The sentence for the caller.
        cause: What was raised, None where the scores are none.
    """

    def __init__(self, step: str, what: str, cause: Exception | None) -> None:
        super().__init__(what)
        self.step, self.what, self.cause = step, what, cause


def resolved(resolve: Resolve, rows: list[list[Any]], at: datetime) -> Rows:
    """The rows of a model's inputs.

    Raises:
        InvalidInput: A row has a value that the features refuse.
        ArmFailed: The features failed.
    """
    try:
        return resolve(rows, at)
    except InvalidInput:
        raise  # the caller's value, which has its own sentence
    except Exception as error:
        raise ArmFailed("features", "The features of this request could not be computed.", error) from error


def scored(predict: Predict, inputs: Rows) -> Sequence[float]:
    """One finite score a row.

    Raises:
        InvalidInput: The model refuses a row, and says which of its inputs.
        ArmFailed: The model failed.
    """
    try:
        scores = predict(inputs)
    except InvalidInput:
        raise
    except Exception as error:
        raise ArmFailed("predict", "The model could not score this request.", error) from error
    if len(scores) != len(inputs) or not all(map(math.isfinite, scores)):
        differ = len(scores) != len(inputs)
        found = f"{len(scores)} scores for {len(inputs)} rows" if differ else "not a finite number"
        raise ArmFailed("predict", f"The model's answer cannot be used: {found}.", None)
    return scores


class RowScorer:
    """Scores the rows of one request, each by its own model. One thread calls it.

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

    def __call__(
        self, active: Active, rows: list[list[Any]], at: datetime
    ) -> tuple[Sequence[Sequence[Any]], Sequence[float], Sequence[Side]]:
        """Score rows.

        Returns:
            For each row the inputs of the model that answered it, its score, and who answered.

        Raises:
            InvalidInput: A row does not fit its model.
            StepFailed: Features or model of the champion failed.
            BackendError: The online store failed.
        """
        if active.challenger is None:
            inputs, scores = self._champions(active, rows, at)
            if active is not self._last:  # made once a revision: this is the path of every request
                self._last, self._alone = active, [_champion(active, 1.0)]
            return inputs, scores, self._alone * len(rows)
        return self._by_arms(active, active.challenger, rows, at)

    def _by_arms(
        self, active: Active, challenger: LoadedChallenger, rows: list[list[Any]], at: datetime
    ) -> tuple[Sequence[Sequence[Any]], Sequence[float], Sequence[Side]]:
        arms = [arm_of(challenger.plan, active.contract, row) for row in rows]
        shared: Rows | None = None
        if challenger.resolve is None:
            try:
                shared = resolved(active.resolve, rows, at)
            except ArmFailed as problem:
                for arm in sorted(set(arms)):
                    self._note(active, arm, arms.count(arm), at, problem.step)
                raise self._told(problem) from problem.cause
        found: list[tuple[Sequence[Any], float, Side]] = [((), 0.0, _champion(active, 1.0))] * len(rows)
        for arm in ("champion", "challenger"):
            places = [place for place, of in enumerate(arms) if of == arm]
            if places:
                part = [rows[place] for place in places]
                given = None if shared is None else [shared[place] for place in places]
                if arm == "champion":
                    side = _champion(active, propensity(challenger.plan, "champion"))
                    inputs, scores = self._champions(active, part, at, given)
                else:
                    inputs, scores, side = self._challengers(active, challenger, part, at, given)
                for place, values, score in zip(places, inputs, scores, strict=True):
                    found[place] = (values, score, side)
        return [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]

    def _champions(
        self, active: Active, rows: list[list[Any]], at: datetime, inputs: Rows | None = None
    ) -> tuple[Rows, Sequence[float]]:
        try:
            if inputs is None:
                inputs = resolved(active.resolve, rows, at)
            return inputs, scored(active.predict, inputs)
        except ArmFailed as problem:
            self._note(active, "champion", len(rows), at, problem.step)
            raise self._told(problem) from problem.cause

    def _challengers(
        self,
        active: Active,
        challenger: LoadedChallenger,
        rows: list[list[Any]],
        at: datetime,
        given: Rows | None,
    ) -> tuple[Rows, Sequence[float], Side]:
        try:
            inputs = resolved(challenger.resolve or active.resolve, rows, at) if given is None else given
            scores = scored(challenger.predict, inputs)
        except (ArmFailed, InvalidInput) as problem:
            step = problem.step if isinstance(problem, ArmFailed) else "predict"
            try:
                inputs, scores = self._champions(active, rows, at, given)
            except InvalidInput:
                raise  # no model takes these rows: the challenger is not to blame either
            except SlipwayError:
                self._note(active, "challenger", len(rows), at, step)
                raise
            self._note(active, "challenger", len(rows), at, step, was_covered=True)
            self._counters.add(count.COVERED_ROWS, len(rows))
            cause = problem.cause if isinstance(problem, ArmFailed) else problem
            self._say(f"The champion answered {len(rows)} rows for the challenger: {problem}", cause)
            # Whoever was drawn for such a row, the champion would have answered it.
            return inputs, scores, _champion(active, 1.0)
        self._counters.add(count.CHALLENGER_ROWS, len(rows))
        return (
            inputs,
            scores,
            _side("challenger", challenger.plan.fraction, challenger.plan.served, challenger.threshold),
        )

    def _note(self, active: Active, arm: Arm, rows: int, at: datetime, step: str, *, was_covered: bool = False) -> None:
        revision, challenger = active.revision, active.challenger
        served = revision.served if arm == "champion" or challenger is None else challenger.plan.served
        answered_us = time.time_ns() // 1000
        self._note_failure(
            FailureRow(microseconds(at), answered_us, revision.number, arm, served.bundle[:16], rows, step, was_covered)
        )

    def _told(self, problem: ArmFailed) -> SlipwayError:
        """Log the cause under a mark that the answer names; the answer itself tells nothing of the inside."""
        if problem.step == "features" and isinstance(problem.cause, BackendError):
            return for_callers(problem.cause)
        self._counters.add(count.MODEL_FAILURES)
        mark = new_id()[-12:]
        self._say(f"{problem.what} [{mark}]", problem.cause)
        return StepFailed(
            problem.what, step=problem.step, fix=f"Its operator finds the cause in front.log under {mark}."
        )

    def _say(self, what: str, cause: Exception | None) -> None:
        if cause is None:
            _logger.error("%s", what)
        elif time.monotonic() - self._trace_at > _TRACEBACK_EVERY_S:
            self._trace_at = time.monotonic()
            _logger.error("%s", what, exc_info=cause)
        else:
            _logger.error("%s %s: %s", what, type(cause).__name__, cause)


def _champion(active: Active, likely: float) -> Side:
    return _side("champion", likely, active.revision.served, active.threshold)


def _side(arm: Arm, likely: float, served: Served, threshold: float | None) -> Side:
    return Side(arm, likely, served.number, served.bundle[:16], threshold)
