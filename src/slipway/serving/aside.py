"""Scoring beside the loop: where a revision has a fallback, or where joining requests into one call of its model pays.

A model that takes too long or fails holds nobody for longer than the fallback allows. Requests of few rows that come while
the model is busy are scored together when it is free: nothing waits for company.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.serving import counters as count
from slipway.serving.active import Active, Rows
from slipway.serving.arms_aside import ArmsAside
from slipway.serving.counters import Counters
from slipway.serving.fallback import Instead, LoadedFallback, count_fallen
from slipway.serving.http import REQUEST_ID
from slipway.serving.lane import Join, Lane, Late
from slipway.serving.row_scorer import RowScorer
from slipway.serving.scoring import ArmFailed, Failed, Notes, Scored, Side, attempt, resolved, scored

__all__ = ["LIMIT_S", "Aside"]

LIMIT_S = 30.0
"""How long a model may take over a request where no fallback says so."""
_STUCK_S = 5.0


class _Attempt(NamedTuple):
    active: Active
    rows: list[list[Any]]
    at: datetime
    notes: Notes


class Aside:
    """Scores the rows of requests in threads of its own, and lets the fallback answer where the model does not.

    Args:
        rows: Counts and writes down what is found out.
        counters: This worker's.
        limit_s: How long a model may take over a request where no fallback says so.
        stuck_s: A call that has been running longer is taken to never come back; at least twice the time that it had.
    """

    def __init__(
        self, rows: RowScorer, counters: Counters, *, limit_s: float = LIMIT_S, stuck_s: float = _STUCK_S
    ) -> None:
        self._rows = rows
        self._counters = counters
        self._limit_s = limit_s
        self._stuck_s = stuck_s
        self._had_s = 0.0
        self._joined = 0
        self._models, self._instead = Lane("model"), Lane("fallback")
        self._arms = ArmsAside(rows, self._models)

    async def __call__(self, active: Active, rows: list[list[Any]], at: datetime, begun: float) -> Scored:
        """Score a request's rows.

        Args:
            active: The revision.
            rows: The rows, in the contract's order.
            at: The decision time.
            begun: When the request was there, in time of `time.monotonic`.

        Raises:
            InvalidInput: A row does not fit its model.
            TooSlow: The model took too long, and nothing stands in for it.
            StepFailed: Features or model failed, and nothing stands in for them.
            BackendError: The online store failed, likewise; or too many requests wait.
        """
        fallback = active.fallback
        self._had_s = had_s = self._limit_s if fallback is None else fallback.model_s
        if any(one.plan.fraction > 0.0 for one in active.challengers):
            try:
                found: Scored = await self._arms(active, rows, at, begun, had_s)
            except ArmFailed as problem:
                raise self._rows.told(problem) from problem.cause
        else:
            found = await self._by_champion(active, rows, at, begun, had_s)
        if fallback is not None and found.missing:
            return await self._stand_in(active, fallback, rows, at, found, begun)
        return found

    async def _by_champion(
        self, active: Active, rows: list[list[Any]], at: datetime, begun: float, had_s: float
    ) -> Scored:
        notes = Notes()
        one = _Attempt(active, rows, at, notes)
        join = None
        if active.joining is not None and active.joining.pays and active.challenger is None:
            join = Join(active, one, len(rows), _together)
        try:
            found: Scored = await self._models.run(partial(attempt, *one), begun + had_s, join)
        except Late:
            what = f"The model did not answer within {had_s * 1000:,.0f} ms."
            problem = ArmFailed(notes.step, what, None, "timeout")
            notes.failures.append(Failed(notes.arm, len(rows), notes.step, "timeout"))
            if active.fallback is None:
                raise self._rows.told(problem) from None
            found = _none(active, len(rows), problem)
        except ArmFailed as problem:
            raise self._rows.told(problem) from problem.cause
        finally:
            self._rows.write(active, at, notes)
        if self._models.joined != self._joined:
            self._counters.add(count.JOINED_REQUESTS, self._models.joined - self._joined)
            self._joined = self._models.joined
        return found

    def stuck(self) -> str:
        """A sentence where a call never came back and keeps its thread, "" otherwise."""
        took_s = max(lane.longest_s() for lane in (self._models, self._instead, self._arms))
        if took_s < max(self._stuck_s, 2 * self._had_s):
            return ""
        return f"A call of its model has not come back for {took_s:.0f} seconds."

    async def _stand_in(
        self, active: Active, fallback: LoadedFallback, rows: list[list[Any]], at: datetime, found: Scored, begun: float
    ) -> Scored:
        places = sorted(found.missing)
        part = [rows[place] for place in places]
        problems: list[Exception] = []
        if fallback.asks_code:
            try:
                given, problems = await self._instead.run(partial(fallback.answer, part, at), begun + fallback.within_s)
            except Late:
                given, problems = fallback.values(len(part)), [TimeoutError("it took too long")]
        else:
            given = fallback.values(len(part))
        mark = REQUEST_ID.get().decode()
        for problem in problems:
            self._rows.say(f"Part of the fallback has no answer. [{mark}]", problem)
        unanswered = [place for place, one in zip(places, given, strict=True) if one is None]
        if unanswered:
            lost = found.missing[unanswered[0]]
            raise self._rows.told(lost) from lost.cause
        self._tell_once(found.missing, mark)
        return self._filled(active, found, dict(zip(places, given, strict=True)))

    def _tell_once(self, missing: dict[int, ArmFailed], mark: str) -> None:
        for what, problem in {problem.what: problem for problem in missing.values()}.items():
            rows = sum(one.what == what for one in missing.values())
            self._rows.say(f"The fallback answered {rows} rows: {what} [{mark}]", problem.cause)

    def _filled(self, active: Active, found: Scored, given: dict[int, Instead | None]) -> Scored:
        inputs, scores, sides = list(found.inputs), list(found.scores), list(found.sides)
        nothing = [None] * active.width
        for place, one in given.items():
            assert one is not None  # whoever has no answer was told already
            side: Side = sides[place]
            fell = count_fallen(self._counters, one.way.by, found.missing[place].reason)
            threshold = one.way.threshold if one.way.version else side.threshold
            inputs[place], scores[place] = nothing, one.score
            sides[place] = side._replace(version=one.way.version or side.version, threshold=threshold, fell=fell)
        return Scored(inputs, scores, sides, {})


def _none(active: Active, rows: int, problem: ArmFailed) -> Scored:
    """What came of a model that did not come back."""
    served = active.revision.served
    side = Side("champion", 1.0, served.number, served.bundle[:16], active.threshold)
    return Scored([()] * rows, [math.nan] * rows, [side] * rows, dict.fromkeys(range(rows), problem))


def _together(attempts: Sequence[_Attempt]) -> list[Scored | Exception]:
    """Requests scored by one call of their model; each by itself where that fails, so that an error stays its own."""
    active = attempts[0].active
    fallback, served = active.fallback, active.revision.served
    is_valid = math.isfinite if fallback is None else fallback.is_valid
    side = Side("champion", 1.0, served.number, served.bundle[:16], active.threshold)
    found: list[Scored | Exception | None] = [None] * len(attempts)
    ready: list[tuple[int, Rows]] = []
    for place, one in enumerate(attempts):
        try:
            inputs = resolved(active.resolve, one.rows, one.at)
        except (ArmFailed, InvalidInput):
            continue
        if fallback is None or not fallback.lacking(inputs):
            ready.append((place, inputs))
    try:
        scores = scored(active.predict, [row for _, inputs in ready for row in inputs], is_valid)
    except (ArmFailed, InvalidInput):
        ready = []
    first = 0
    for place, inputs in ready:
        last = first + len(inputs)
        found[place] = Scored(inputs, scores[first:last], [side] * len(inputs), {})
        first = last
    return [_alone(one) if done is None else done for one, done in zip(attempts, found, strict=True)]


def _alone(one: _Attempt) -> Scored | Exception:
    try:
        return attempt(*one)
    except Exception as problem:
        return problem
