"""Which model of a roll-out scores which row of a part, and what is noted of the one that does not, or cannot.

Rows are assigned by their key, as at an endpoint that answers requests: whoever scores a row again, in whichever process,
asks the same model. One row that a model cannot answer costs that row alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from slipway.errors import InvalidInput
from slipway.records.endpoints import Challenger
from slipway.records.predictions import FailureRow, FallbackReason, ShadowProblem, ShadowRow
from slipway.serving.active import Active, LoadedChallenger, Predict, Resolve
from slipway.serving.arms import share_of
from slipway.serving.scoring import ArmFailed, Side, champion_alone, kind_of, resolved, scored, side_instead, side_of
from slipway.serving.shadow import SHADOW_SALT

__all__ = ["Answer", "Refused", "answered", "never_loaded", "unseen"]

_CHAMPION, _CHALLENGER = -1, 0


class Refused(NamedTuple):
    """Why a row has no score. The sentence holds no value of the row: it may be shown to whoever may not see them."""

    why: str


class Answer(NamedTuple):
    """A row's inputs and score, and who answered."""

    inputs: Sequence[Any]
    score: float
    side: Side


class _Model(NamedTuple):
    """One model of a revision, as a function of rows in the contract's order."""

    resolve: Resolve
    predict: Predict
    is_valid: Callable[[float], bool]


class _Lost(NamedTuple):
    """A row without an answer: what was raised."""

    problem: ArmFailed | InvalidInput


_Found = tuple[Sequence[Any], float]


def answered(
    active: Active, rows: list[list[Any]], times: Sequence[int], at: datetime, answered_us: int
) -> tuple[list[Answer | Refused], list[FailureRow]]:
    """Each row's answer, and what has to be logged of failures while something is being compared.

    A row that its own model cannot answer is answered by the other one, where that can, and counts against the first.

    Args:
        active: The revision.
        rows: In the contract's order, with what was looked up behind them.
        times: Their decision times, microseconds.
        at: What features take for now.
        answered_us: Machine time.
    """
    if not active.challengers:
        alone, side = _Model(active.resolve, active.predict, math.isfinite), champion_alone(active)
        return [_told(one, side) for one in _each(alone, rows, at)], []
    arms = [active.assign(row) for row in rows]
    answers: list[Answer | Refused] = [Refused("")] * len(rows)
    failed: Counter[tuple[int, int, str, FallbackReason, bool]] = Counter()
    for arm in (_CHAMPION, _CHALLENGER):
        places = [place for place, of in enumerate(arms) if of == arm]
        own = _each(_model(active, arm), [rows[place] for place in places], at)
        side, lost = side_of(active, arm), dict[int, _Lost]()
        for place, found in zip(places, own, strict=True):
            if isinstance(found, _Lost):
                lost[place] = found
            else:
                answers[place] = Answer(*found, side)
        instead = _instead(active, arm, lost, rows, at)
        for place, why in lost.items():
            other = instead[place]
            answers[place] = _told(other, side_instead(active, arm, by=_other(arm)))
            if isinstance(other, _Lost) and arm == _CHAMPION:
                answers[place] = Refused(_why(why.problem))  # the champion's reason, whoever was drawn
            if not _is_the_rows_fault(arm, why, other):
                step = why.problem.step if isinstance(why.problem, ArmFailed) else "predict"
                failed[arm, times[place], step, kind_of(why.problem), not isinstance(other, _Lost)] += 1
    return answers, [_failure(active, answered_us, count, *of) for of, count in failed.items()]


def unseen(
    active: Active, rows: list[list[Any]], answers: Sequence[Answer | Refused], ids: Sequence[str], times: Sequence[int],
    at: datetime,
) -> list[ShadowRow]:  # fmt: skip
    """What the model that did not answer makes of the sampled rows; nobody waits for it, and nothing of it is published."""
    if not active.challengers:
        return []
    shadows = []
    plan = active.challengers[0].plan
    for arm in (_CHAMPION, _CHALLENGER):
        places = [
            place
            for place, answer in enumerate(answers)
            if isinstance(answer, Answer)
            and (answer.side.arm == "champion") == (arm == _CHALLENGER)
            and (plan.sample >= 1.0 or share_of(SHADOW_SALT, ids[place]) < plan.sample)
        ]
        side = side_of(active, arm)
        found = _each(_model(active, arm), [rows[place] for place in places], at)
        for place, one in zip(places, found, strict=True):
            score = None if isinstance(one, _Lost) else one[1]
            row = (ids[place], times[place], active.revision.number, side.arm, side.bundle, score, 0, _problem(one))
            shadows.append(ShadowRow(*row))
    return shadows


def never_loaded(plan: Challenger, problem: BaseException) -> LoadedChallenger:
    """A challenger that cannot be loaded: it fails on each of its rows, which the champion then answers."""

    def predict(rows: Sequence[Sequence[Any]]) -> NoReturn:
        raise problem

    return LoadedChallenger(plan=plan, predict=predict)


def _instead(
    active: Active, arm: int, lost: dict[int, _Lost], rows: list[list[Any]], at: datetime
) -> dict[int, _Found | _Lost]:
    """What the other model makes of the rows that one could not answer; a row that the champion refuses is a wrong row."""
    if arm == _CHAMPION and active.challengers[0].plan.fraction <= 0.0:
        return dict(lost)  # what is only compared answers nobody
    asked = [place for place, one in lost.items() if arm != _CHAMPION or isinstance(one.problem, ArmFailed)]
    found = _each(_model(active, _other(arm)), [rows[place] for place in asked], at)
    return {**lost, **dict(zip(asked, found, strict=True))}


def _is_the_rows_fault(arm: int, own: _Lost, other: _Found | _Lost) -> bool:
    """Whether the champion refuses a row: then no model is to blame that it has no score."""
    champions = own if arm == _CHAMPION else other
    return isinstance(champions, _Lost) and isinstance(champions.problem, InvalidInput)


def _told(found: _Found | _Lost, side: Side) -> Answer | Refused:
    return Refused(_why(found.problem)) if isinstance(found, _Lost) else Answer(*found, side)


def _other(arm: int) -> int:
    return _CHALLENGER if arm == _CHAMPION else _CHAMPION


def _model(active: Active, arm: int) -> _Model:
    if arm == _CHAMPION:
        return _Model(active.resolve, active.predict, math.isfinite)
    one = active.challengers[arm]
    return _Model(one.resolve or active.resolve, one.predict, one.is_valid)


def _each(model: _Model, rows: list[list[Any]], at: datetime) -> list[_Found | _Lost]:
    """Each row's inputs and score. Where something fails, halves are asked until the rows are found that it is of."""
    if not rows:
        return []
    try:
        inputs = resolved(model.resolve, rows, at)
        scores = scored(model.predict, inputs, model.is_valid)
        return [(values, float(score)) for values, score in zip(inputs, scores, strict=True)]
    except (InvalidInput, ArmFailed) as problem:
        if len(rows) == 1:
            return [_Lost(problem)]
    half = len(rows) // 2
    return _each(model, rows[:half], at) + _each(model, rows[half:], at)


def _failure(
    active: Active,
    answered_us: int,
    rows: int,
    arm: int,
    at_us: int,
    step: str,
    kind: FallbackReason,
    was_covered: bool,
) -> FailureRow:
    side = side_of(active, arm)
    number = active.revision.number
    return FailureRow(at_us, answered_us, number, side.arm, side.bundle, rows, step, was_covered, kind)


def _problem(found: _Found | _Lost) -> ShadowProblem:
    if not isinstance(found, _Lost):
        return ""
    return "refused" if isinstance(found.problem, InvalidInput) else found.problem.reason


def _why(problem: InvalidInput | ArmFailed) -> str:
    if isinstance(problem, InvalidInput):
        field = problem.field.rpartition(".")[2]
        return f"the model refuses {field or 'the row'}"
    kind = f": {type(problem.cause).__name__}" if problem.cause is not None else ", or its score is no number"
    return f"the {'features' if problem.step == 'features' else 'model'} failed{kind}"
