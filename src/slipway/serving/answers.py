"""From a decoded request to the answer's bytes and the rows for the log."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.records.endpoints import Revision, Served
from slipway.records.predictions import PredictionRow
from slipway.schema.validation import Request
from slipway.serving.active import Active
from slipway.serving.http import TooLarge
from slipway.serving.scoring import RowScorer, microseconds

__all__ = ["ModelName", "Scorer"]

_encode = msgspec.json.Encoder().encode


class ModelName(msgspec.Struct, frozen=True):
    """Which model answered."""

    name: str
    version: int
    bundle: str


class _Prediction(msgspec.Struct, frozen=True):
    id: str
    score: float
    decision: bool | None
    version: int


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[_Prediction]
    model: ModelName
    revision: int


class Scorer:
    """Answers requests, and says in sentences why one could not be answered.

    Args:
        now: Business time, aware UTC.
        score: Scores the rows.
    """

    def __init__(self, now: Callable[[], datetime], score: RowScorer) -> None:
        self._now = now
        self._score = score

    @staticmethod
    def model_of(served: Served) -> ModelName:
        """Which model is served."""
        return ModelName(served.model, served.number, served.bundle)

    def __call__(self, active: Active, request: Request, caller: str = "") -> tuple[bytes, list[PredictionRow]]:
        """Score a request's rows, for a caller who is named in the log.

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
        inputs, scores, sides = self._score(active, rows, at)
        at_us, answered_us, number = microseconds(at), time.time_ns() // 1000, revision.number
        predictions: list[_Prediction] = []
        logged: list[PredictionRow] = []
        for row, values, score, (arm, likely, version, bundle, threshold) in zip(
            rows, inputs, scores, sides, strict=True
        ):
            decision = None if threshold is None else score >= threshold
            id = new_id()
            predictions.append(_Prediction(id, score, decision, version))
            logged.append(
                PredictionRow(
                    id,
                    at_us,
                    answered_us,
                    version,
                    bundle,
                    active.contract.key_of(row),
                    row,
                    list(values),
                    score,
                    decision,
                    number,
                    arm,
                    likely,
                    caller,
                )
            )
        return _encode(_Answer(predictions, self.model_of(revision.served), number)), logged

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
