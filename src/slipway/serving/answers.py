"""From a decoded request to the answer's bytes and the rows for the log."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from slipway.errors import BackendError, InvalidInput, StepFailed
from slipway.ids import new_id
from slipway.records.endpoints import Revision
from slipway.records.predictions import PredictionRow
from slipway.schema.validation import Request
from slipway.serving import counters as count
from slipway.serving.active import Active, Rows
from slipway.serving.counters import Counters
from slipway.serving.http import TooLarge, for_callers

__all__ = ["ModelName", "Scorer", "microseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TRACEBACK_EVERY_S = 1.0
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


def microseconds(instant: datetime) -> int:
    """Microseconds from the epoch to an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


class ModelName(msgspec.Struct, frozen=True):
    """Which model answered."""

    name: str
    version: int
    bundle: str


class _Prediction(msgspec.Struct, frozen=True):
    id: str
    score: float
    decision: bool | None


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[_Prediction]
    model: ModelName
    revision: int


class Scorer:
    """Scores requests and says in sentences why one could not be scored.

    Args:
        now: Business time, aware UTC.
        counters: Where failures are counted.
    """

    def __init__(self, now: Callable[[], datetime], counters: Counters) -> None:
        self._now = now
        self._counters = counters
        self._trace_at = -_TRACEBACK_EVERY_S

    @staticmethod
    def model_of(revision: Revision) -> ModelName:
        """Which model a revision serves."""
        served = revision.served
        return ModelName(served.model, served.number, served.bundle)

    def __call__(self, active: Active, request: Request) -> tuple[bytes, list[PredictionRow]]:
        """Score a request's rows.

        Returns:
            The answer as JSON, and one log row an answered row.

        Raises:
            InvalidInput: There is no row, or too many, or a decision time where none may be.
            StepFailed: Features or model failed, or a score is not a finite number.
            BackendError: The online store failed.
        """
        rows, revision = request.rows, active.revision
        _check_size(rows, revision)
        at = self._decision_time(request.at, revision)
        inputs, scores = self._scores(active, rows, at)
        threshold, served = active.threshold, revision.served
        at_us, answered_us, bundle = microseconds(at), time.time_ns() // 1000, served.bundle[:16]
        predictions: list[_Prediction] = []
        logged: list[PredictionRow] = []
        for row, values, score in zip(rows, inputs, scores, strict=True):
            decision = None if threshold is None else score >= threshold
            id = new_id()
            predictions.append(_Prediction(id, score, decision))
            logged.append(
                PredictionRow(
                    id,
                    at_us,
                    answered_us,
                    served.number,
                    bundle,
                    active.contract.key_of(row),
                    row,
                    list(values),
                    score,
                    decision,
                    revision.number,
                )
            )
        return _encode(_Answer(predictions, self.model_of(revision), revision.number)), logged

    def _decision_time(self, given: datetime | None, revision: Revision) -> datetime:
        if given is None:
            return self._now()
        if not revision.simulation:
            raise InvalidInput(
                "The request carries its own decision time, and this endpoint decides by its own clock.",
                why="Only an endpoint started for simulation lets its callers choose the time.",
                fix="Leave 'at' out.",
                field="at",
            )
        return given

    def _scores(self, active: Active, rows: list[list[Any]], at: datetime) -> tuple[Rows, Sequence[float]]:
        try:
            inputs = active.resolve(rows, at)
        except InvalidInput:
            raise  # the caller's value, which has its own sentence
        except BackendError as error:
            raise for_callers(error) from error
        except Exception as error:
            raise self._failed("The features of this request could not be computed.", "features", error) from error
        try:
            scores = active.predict(inputs)
        except InvalidInput:
            raise  # the model refuses this row, and says which of its inputs
        except Exception as error:
            raise self._failed("The model could not score this request.", "predict", error) from error
        if len(scores) != len(rows) or not all(map(math.isfinite, scores)):
            found = f"{len(scores)} scores for {len(rows)} rows" if len(scores) != len(rows) else "not a finite number"
            raise self._failed(f"The model's answer cannot be used: {found}.", "predict", None)
        return inputs, scores

    def _failed(self, what: str, step: str, error: Exception | None) -> StepFailed:
        """Log the cause under a mark that the answer names; the answer itself tells nothing of the inside."""
        self._counters.add(count.MODEL_FAILURES)
        mark = new_id()[-12:]
        if error is None:
            _logger.error("%s [%s]", what, mark)
        elif time.monotonic() - self._trace_at > _TRACEBACK_EVERY_S:
            self._trace_at = time.monotonic()
            _logger.error("%s [%s]", what, mark, exc_info=error)
        else:
            _logger.error("%s [%s] %s: %s", what, mark, type(error).__name__, error)
        return StepFailed(what, step=step, fix=f"Its operator finds the cause in front.log under {mark}.")


def _check_size(rows: list[list[Any]], revision: Revision) -> None:
    if not rows:
        raise InvalidInput("The request has no rows.", fix='Send {"rows": [{...}]}.', field="rows")
    if len(rows) > revision.contract.max_rows:
        raise TooLarge(
            f"The request has {len(rows):,} rows.",
            why=f"This endpoint takes at most {revision.contract.max_rows:,} a request.",
            fix="Send them in several requests.",
            field="rows",
        )
