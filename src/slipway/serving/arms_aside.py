"""The models of a revision asked beside the loop, each in threads of its own: one that hangs holds up no row of another.

A challenger has half of the time that a model has; the champion, or what stands behind it, then has the rest.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.serving.active import Active
from slipway.serving.guest import model_ns
from slipway.serving.lane import Lane, Late
from slipway.serving.row_scorer import RowScorer
from slipway.serving.scoring import (
    Answered,
    ArmFailed,
    Failed,
    Gathered,
    Notes,
    Scored,
    champions,
    instead_of_champion,
    kind_of,
    note_cover,
    of_challenger,
    side_instead,
    side_of,
)

__all__ = ["ArmsAside"]

_OF_CHALLENGER = 0.5
_CHAMPION = -1


class _Request(NamedTuple):
    active: Active
    rows: list[list[Any]]
    at: datetime
    begun: float
    had_s: float


class _Asked(NamedTuple):
    """What came of asking an arm: its answers, or why there are none."""

    answers: Answered | None
    problem: ArmFailed | InvalidInput | None
    took_us: int


class ArmsAside:
    """Scores a request's rows by their arms.

    Args:
        rows: Counts and writes down what is found out.
        models: Where the champion is asked.
    """

    def __init__(self, rows: RowScorer, models: Lane) -> None:
        self._rows = rows
        self._lanes: dict[int, Lane] = {_CHAMPION: models}

    def longest_s(self) -> float:
        """How long the challengers' call takes by now that has been running longest."""
        return max((lane.longest_s() for arm, lane in self._lanes.items() if arm != _CHAMPION), default=0.0)

    async def __call__(self, active: Active, rows: list[list[Any]], at: datetime, begun: float, had_s: float) -> Scored:
        """Score a request's rows.

        Args:
            active: The revision.
            rows: The rows, in the contract's order.
            at: The decision time.
            begun: When the request was there, in time of `time.monotonic`.
            had_s: How long models may take over it.

        Raises:
            InvalidInput: A row does not fit the champion.
            ArmFailed: No arm answers, and there is no fallback.
        """
        notes = Notes()
        try:
            return await self._gather(
                _Request(active, rows, at, begun, had_s), [active.assign(row) for row in rows], notes
            )
        finally:
            self._rows.write(active, at, notes)

    async def _gather(self, request: _Request, arms: list[int], notes: Notes) -> Scored:
        active = request.active
        found = Gathered(len(arms), side_of(active, _CHAMPION))
        own = {arm: [place for place, of in enumerate(arms) if of == arm] for arm in dict.fromkeys(arms)}
        asked = await asyncio.gather(*(self._ask(request, arm, places, notes) for arm, places in own.items()))
        outcomes = dict(zip(own, asked, strict=True))
        for arm, outcome in outcomes.items():
            if outcome.answers is not None:
                side = side_of(active, arm)._replace(took_us=outcome.took_us)
                found.take(own[arm], outcome.answers[0], outcome.answers[1], side, outcome.answers[2])
                notes.by_challenger += len(own[arm]) if arm != _CHAMPION else 0
        for arm in sorted(outcomes, reverse=True):
            problem = outcomes[arm].problem
            if problem is not None and arm != _CHAMPION:
                await self._cover(request, arm, own[arm], problem, found, notes)
            elif problem is not None:
                if isinstance(problem, InvalidInput):
                    raise problem
                await self._cover_champion(request, own[arm], problem, found, notes, alone=len(own) == 1)
        return found.scored()

    async def _cover(
        self,
        request: _Request,
        arm: int,
        places: list[int],
        problem: ArmFailed | InvalidInput,
        found: Gathered,
        notes: Notes,
    ) -> None:
        """Have the champion answer a challenger's rows."""
        active = request.active
        step = problem.step if isinstance(problem, ArmFailed) else "predict"
        if step == "features" and active.challengers[arm].resolve is None:  # they are the champion's too
            instead = _Asked(None, problem, 0)
        else:
            instead = await self._ask(request, _CHAMPION, places, Notes())  # what it cannot answer is the challenger's
        if instead.answers is not None:
            note_cover(active, arm, notes, len(places), problem, lost=len(instead.answers[2]))
            side = side_instead(active, arm, by=_CHAMPION)
            found.take(places, instead.answers[0], instead.answers[1], side, instead.answers[2])
            return
        if isinstance(instead.problem, InvalidInput):
            raise instead.problem  # no model takes these rows: the challenger is not to blame either
        name = active.challengers[arm].plan.name
        notes.failures.append(Failed(name, len(places), step, kind_of(problem)))
        assert instead.problem is not None  # it is one or the other
        if active.fallback is None:
            raise instead.problem
        lost = dict.fromkeys(range(len(places)), instead.problem)
        found.take(places, [()] * len(places), [math.nan] * len(places), side_of(active, arm), lost)

    async def _cover_champion(
        self, request: _Request, places: list[int], problem: ArmFailed, found: Gathered, notes: Notes, *, alone: bool
    ) -> None:
        """Have the fallback answer the champion's rows; without one the first challenger, where others have rows too."""
        active = request.active
        if active.fallback is not None:
            lost = dict.fromkeys(range(len(places)), problem)
            found.take(places, [()] * len(places), [math.nan] * len(places), side_of(active, _CHAMPION), lost)
            return
        instead = None if alone else await self._ask(request, 0, places, Notes())
        if instead is None or instead.answers is None:
            raise problem
        side = instead_of_champion(active, notes, problem, len(places))
        found.take(places, instead.answers[0], instead.answers[1], side, {})

    async def _ask(self, request: _Request, arm: int, places: list[int], notes: Notes) -> _Asked:
        """Ask an arm for rows; what the champion fails at is noted here, what a challenger does once it is covered."""
        mine, part = Notes(), [request.rows[place] for place in places]
        share = 1.0 if arm == _CHAMPION else _OF_CHALLENGER
        until = request.begun + share * request.had_s
        call = partial(_of_arm, request, arm, part, mine)
        begun = time.perf_counter_ns()
        lane = self._lanes.get(arm) or self._lanes.setdefault(arm, Lane(f"challenger {arm}"))
        try:
            answers, took_ns = await lane.run(partial(_timed, call), until)
            notes.failures += mine.failures
            return _Asked(answers, None, took_ns // 1000)
        except Late:
            took_us = (time.perf_counter_ns() - begun) // 1000
            name = side_of(request.active, arm).arm
            what = f"The {name} did not answer within {share * request.had_s * 1000:,.0f} ms."
            problem = ArmFailed(mine.step, what, None, "timeout")
            if arm == _CHAMPION:
                notes.failures.append(Failed(name, len(places), mine.step, "timeout"))
            return _Asked(None, problem, took_us)
        except (ArmFailed, InvalidInput) as failed:
            notes.failures += mine.failures
            return _Asked(None, failed, (time.perf_counter_ns() - begun) // 1000)


def _of_arm(request: _Request, arm: int, part: list[list[Any]], notes: Notes) -> Answered:
    if arm == _CHAMPION:
        return champions(request.active, part, request.at, notes)
    inputs, scores = of_challenger(request.active, arm, part, request.at, notes, None)
    return inputs, scores, {}


def _timed(call: Callable[[], Answered]) -> tuple[Answered, int]:
    begun = model_ns()
    return call(), model_ns() - begun
