"""A revision's fallback, loaded: which answers of a model count, and what answers where it gives none that does."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.errors import InvalidInput
from slipway.records.endpoints import FallbackBy, FallbackSpec
from slipway.records.predictions import FallbackReason
from slipway.serving import counters as count
from slipway.serving.active import Predict, Rows
from slipway.serving.counters import Counters
from slipway.serving.scoring import ArmFailed, Fell, scored

__all__ = ["Instead", "LoadedFallback", "LoadedWay", "count_fallen", "is_probability"]

_SHARE_OF_MODEL = 0.8


def is_probability(score: float) -> bool:
    """Whether a score can be a probability; NaN cannot."""
    return 0.0 <= score <= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWay:
    """One way to answer in the model's place.

    Args:
        by: Which kind it is.
        ask: Rows in the contract's order and the decision time to an answer a row, None for none; it may raise.
        version: The number of the version that answers, 0 where no model does.
        threshold: That version's own, None where no model answers or it decides nothing.
        value: The answer where it is a fixed one; then nothing is asked.
    """

    by: FallbackBy
    ask: Callable[[list[list[Any]], datetime], Sequence[float | None]]
    version: int = 0
    threshold: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Instead:
    """An answer in the model's place, and which way it came."""

    score: float
    way: LoadedWay


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFallback:
    """What stands behind a revision's model. Safe for threads.

    Args:
        spec: As the revision names it.
        ways: Asked in this order.
        is_valid: Whether a score can be an answer of the model's task.
        required: Inputs of the model that it is not asked without: their names and places.
        sent: The fields that callers send: a model that refuses one of these refuses the caller's value.
        limit: Brings an answer within the limits of the model's price, None where it is no price.
    """

    spec: FallbackSpec
    ways: tuple[LoadedWay, ...]
    is_valid: Callable[[float], bool] = math.isfinite
    required: tuple[tuple[str, int], ...] = ()
    sent: frozenset[str] = frozenset()
    limit: Callable[[float], float] | None = None

    @property
    def within_s(self) -> float:
        """How long a request may take in all."""
        return self.spec.within_us / 1e6

    @property
    def model_s(self) -> float:
        """How long the model may take of it; the rest is for the fallback and for sending."""
        return self.within_s * _SHARE_OF_MODEL

    def lacking(self, inputs: Rows) -> dict[int, ArmFailed]:
        """The places of rows that lack what the model is not asked without."""
        found: dict[int, ArmFailed] = {}
        for name, at in self.required:
            for place, row in enumerate(inputs):
                if row[at] is None and place not in found:
                    found[place] = ArmFailed("features", f"The model's input {name!r} is missing.", None, "features")
        return found

    def score(
        self, predict: Predict, inputs: Rows, missing: dict[int, ArmFailed], places: Sequence[int]
    ) -> Sequence[float]:
        """Scores of rows; of those that have none the place goes into `missing`, and their score counts for nothing.

        Raises:
            InvalidInput: The model refuses what a caller sent.
            ArmFailed: The model failed.
        """
        try:
            return scored(predict, inputs, self.is_valid)
        except ArmFailed as problem:
            if len(problem.scores) != len(inputs):
                raise
            wrong = [index for index, score in enumerate(problem.scores) if not self._is_score(score)]
            missing |= {places[index]: problem for index in wrong}
            return [math.nan if index in wrong else score for index, score in enumerate(problem.scores)]
        except InvalidInput as problem:
            if problem.field.rpartition(".")[2] in self.sent:
                raise
            lost = ArmFailed("features", "The model refuses a value that its features gave.", problem, "features")
        if len(inputs) == 1:
            raise lost
        found: list[float] = []
        for place, row in zip(places, inputs, strict=True):
            try:
                found += self.score(predict, [row], missing, [place])
            except ArmFailed as problem:
                missing[place] = problem
                found.append(math.nan)
        return found

    def _is_score(self, score: Any) -> bool:
        try:
            return self.is_valid(score)
        except TypeError:
            return False

    def _limited(self, score: float) -> float:
        return score if self.limit is None else self.limit(score)

    @property
    def asks_code(self) -> bool:
        """Whether a model or a rule is asked, which may not come back."""
        return any(way.value is None for way in self.ways)

    def answer(self, rows: list[list[Any]], at: datetime) -> tuple[list[Instead | None], list[Exception]]:
        """An answer a row, None where no way has any, and what was raised on the way."""
        found: list[Instead | None] = [None] * len(rows)
        problems: list[Exception] = []
        for way in self.ways:
            places = [place for place, one in enumerate(found) if one is None]
            if not places:
                break
            try:
                scores = way.ask([rows[place] for place in places], at)
                given = list(zip(places, scores, strict=True))
            except Exception as problem:  # the next one is asked; whoever asked logs it
                problems.append(problem)
                if way.by != "rule":
                    continue
                # A rule knows nothing of other rows: one on which it raises keeps none of them from its answer.
                given = [(place, score) for place in places for score in _alone(way, rows[place], at)]
            for place, score in given:
                if score is not None and self._is_score(score):
                    found[place] = Instead(self._limited(float(score)), way)
        return found, problems

    def values(self, rows: int) -> list[Instead | None]:
        """What is left when code that was asked did not come back in time: the fixed value, if there is one."""
        last = self.ways[-1]
        return [None if last.value is None else Instead(self._limited(last.value), last)] * rows


def _alone(way: LoadedWay, row: list[Any], at: datetime) -> Sequence[float | None]:
    """What a way answers to one row, nothing where it raises; whoever asked before knows why."""
    try:
        return way.ask([row], at)
    except Exception:
        return ()


def count_fallen(counters: Counters, by: FallbackBy, reason: FallbackReason) -> Fell:
    """Count a row that the fallback answers."""
    counters.add(count.FALLBACK_ROWS[by, reason])
    return Fell(by, reason)
