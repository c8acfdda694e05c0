"""From a decoded request to the answer's bytes and the rows for the log."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from slipway.errors import InvalidInput
from slipway.ids import ids_from, new_ids
from slipway.records.endpoints import Contract, FallbackBy, Revision, Served
from slipway.records.models import Decision
from slipway.records.predictions import FallbackReason, PredictionRow
from slipway.schema.validation import Request
from slipway.serving.active import Active, LoadedChallenger
from slipway.serving.http import TooLarge
from slipway.serving.row_scorer import RowScorer
from slipway.serving.scoring import EPOCH, MICROSECOND, ScoredRows

__all__ = [
    "Answer",
    "ByFallback",
    "ModelName",
    "Prediction",
    "Price",
    "Scorer",
    "challenger_status",
    "encode",
    "fallback_reasons",
    "too_many",
]


class ModelName(msgspec.Struct, frozen=True):
    """Which model answered."""

    name: str
    version: int
    bundle: str


class ByFallback(msgspec.Struct, frozen=True):
    """That the fallback answered: which kind of it, and why the model did not."""

    by: FallbackBy
    reason: FallbackReason


class Price(msgspec.Struct, frozen=True):
    """That the score is a price, the limits that hold for it, and the one at which it stands: "low", "high" or ""."""

    unit: str
    low: float
    high: float
    at_limit: str


class Prediction(msgspec.Struct, frozen=True):
    """One row's answer. `fallback` is written only where the model did not give it, `price` only where the score is one."""

    id: str
    score: float
    decision: bool | None
    version: int
    fallback: ByFallback | msgspec.UnsetType = msgspec.UNSET
    price: Price | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True):
    """A request's answer, one prediction a row and in their order."""

    predictions: list[Prediction]
    model: ModelName
    revision: int


def fallback_reasons(answer: Answer) -> list[str] | None:
    """Why the fallback gave each row's answer, "" where a model did; None where models gave them all."""
    found = ["" if one.fallback is msgspec.UNSET else one.fallback.reason for one in answer.predictions]
    return found if any(found) else None


encode: Callable[[Answer], bytes] = msgspec.json.Encoder().encode
"""An answer as the endpoint's own JSON."""


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

    def __call__(self, active: Active, request: Request, caller: str = "") -> tuple[Answer, list[PredictionRow]]:
        """Score a request's rows, for a caller who is named in the log.

        Returns:
            The answer, and one log row an answered row.

        Raises:
            InvalidInput: There is no row, or too many, or a decision time where none may be.
            StepFailed: Features or model failed, or a score is not a finite number.
            BackendError: The online store failed.
        """
        at = self.decided_at(active, request)
        return self.answer(active, request, at, self._score(active, request.rows, at), caller)

    def decided_at(self, active: Active, request: Request) -> datetime:
        """The decision time of a request's rows, after a look at how many there are.

        Raises:
            InvalidInput: There is no row, or too many, or a decision time where none may be.
        """
        rows, revision = request.rows, active.revision
        if not rows:
            raise InvalidInput("The request has no rows.", fix='Send {"rows": [{...}]}.', field="rows")
        if len(rows) > revision.contract.max_rows:
            raise too_many(len(rows), revision.contract)
        return self._now() if request.at is None else _given_time(request.at, revision)

    def answer(
        self,
        active: Active,
        request: Request,
        at: datetime,
        scored: ScoredRows,
        caller: str = "",
        named: tuple[str, bool] | None = None,
    ) -> tuple[Answer, list[PredictionRow]]:
        """The answer to a request whose rows are scored, and one log row an answered row; `named` as in `ROWS_NAMED`."""
        rows, revision = request.rows, active.revision
        inputs, scores, sides, _ = scored
        at_us, answered_us, number = (at - EPOCH) // MICROSECOND, time.time_ns() // 1000, revision.number
        first, again = named or ("", False)
        ids = ids_from(first, len(rows)) if first else new_ids(len(rows))
        predictions: list[Prediction] = []
        logged: list[PredictionRow] = []
        # What can be had for all rows at once is: a request of a hundred should not pay a hundred times.
        for id, key, row, values, score, (arm, likely, version, bundle, threshold, fell, took_us) in zip(
            ids, active.contract.keys_of(rows), rows, inputs, scores, sides, strict=True
        ):
            decision = None if threshold is None else score >= threshold
            by = msgspec.UNSET if fell is None else ByFallback(*fell)
            price = _price(active.prices.get(version), score) if active.prices else msgspec.UNSET
            predictions.append(Prediction(id, score, decision, version, by, price))
            logged.append(
                PredictionRow(
                    id,
                    at_us,
                    answered_us,
                    version,
                    bundle,
                    key,
                    row,
                    list(values),
                    score,
                    decision,
                    number,
                    arm,
                    likely,
                    caller,
                    1.0,
                    "" if fell is None else fell.reason,
                    took_us,
                    again,
                )
            )
        served = revision.served
        return Answer(predictions, ModelName(served.model, served.number, served.bundle), number), logged


def _price(decision: Decision | None, score: float) -> Price | msgspec.UnsetType:
    if decision is None or decision.low is None or decision.high is None:
        return msgspec.UNSET
    at_limit = "low" if score <= decision.low else "high" if score >= decision.high else ""
    return Price(decision.unit, decision.low, decision.high, at_limit)


def _given_time(given: datetime, revision: Revision) -> datetime:
    if not revision.simulation:
        raise InvalidInput(
            "The request carries its own decision time, and this endpoint decides by its own clock.",
            why="Only an endpoint started for simulation lets its callers choose the time.",
            fix="Leave 'at' out.",
            field="at",
        )
    return given


def too_many(rows: int, contract: Contract, field: str = "rows") -> TooLarge:
    """What a request is told that has more rows than the contract allows."""
    return TooLarge(
        f"The request has {rows:,} rows.",
        why=f"This endpoint takes at most {contract.max_rows:,} a request.",
        fix="Send them in several requests.",
        field=field,
    )


def challenger_status(challenger: LoadedChallenger | None) -> Mapping[str, Any] | None:
    """What an endpoint says of a challenger: the version, its share of the rows and its roll-out; None without one."""
    if challenger is None:
        return None
    plan = challenger.plan
    model = msgspec.to_builtins(Scorer.model_of(plan.served))
    return {**model, "fraction": plan.fraction, "rollout": plan.rollout_id}
