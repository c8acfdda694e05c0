"""Drift of a window against a reference profile: five questions a column, each with an effect floor and confidence.

A column moved only when the lower confidence bound of the effect lies above the question's floor. Confidence is
corrected for the number of questions asked at once, so that the whole report raises a false alarm at most with the
stated probability. Where a window is too small to show what the floor asks for the answer is "cannot tell", never
"steady". What the model hardly uses is told, and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from slipway.stats import drift_questions as questions
from slipway.stats.drift_dependence import correlations
from slipway.stats.drift_questions import Array, Asked
from slipway.stats.profile_parts import Column, Pair, Profile
from slipway.stats.shares import chance_beyond, lower_difference

__all__ = ["FLOORS", "MIN_ROWS", "NEEDED", "Answer", "Question", "compare"]

Question = Literal["shape", "missing", "unseen", "tails", "dependence", "prediction"]

FLOORS: dict[Question, float] = {
    "shape": 0.06,
    "missing": 0.015,
    "unseen": 0.005,
    "tails": 0.005,
    "dependence": 0.15,
    "prediction": 0.06,
}
"""Effects below these are real at times, and too small to matter."""
NEEDED: dict[Question, float] = {
    "shape": 0.3,
    "missing": 0.2,
    "unseen": 0.08,
    "tails": 0.08,
    "dependence": 0.6,
    "prediction": 0.3,
}
"""A window that does not show an effect of this size nine times in ten cannot tell that nothing moved."""
MIN_ROWS = 200
# What a broken feed shows is told by few rows, so these have twice the share of the false alarms that the others have.
_WEIGHTS: dict[Question, float] = {"missing": 2.0, "unseen": 2.0}
# Of so much less than its equal share of the answers an input is hardly used.
_HARDLY = 0.25
_UNUSED = 1e-4
_NORMAL = NormalDist()
_POWER = 1.2816


class Answer(Struct, frozen=True, kw_only=True):
    """One question's answer for one column.

    Args:
        column: The column.
        question: "shape": rows that lie in other bins than in the reference, "prediction" for what the model answered;
            "missing": rise or fall of the missing share; "unseen": share of never-seen categories; "tails": share
            outside the reference's 0.05 % tails; "dependence": change of the correlation with another column.
        effect: Its size, bias of a finite window removed, between 0 and 1; of dependence between 0 and 2.
        low: Lower confidence bound of the effect, corrected for the number of questions.
        floor: Below it a change is too small to matter.
        p_value: How likely an effect of this size or more is where the true one is the floor; not corrected.
        detectable: About the least true effect that a window of this size shows nine times in ten.
        verdict: "moved" when `low` lies above `floor`.
        sentence: The same in words.
        other: Of dependence the other column.
        importance: The share of the model's answers that rests on the column; NaN where nobody knows.
        counts: Whether it may alert: it is of a column that the model uses, or of what the model answered.
    """

    column: str
    question: Question
    effect: float
    low: float
    floor: float
    p_value: float = 1.0
    detectable: float = 1.0
    verdict: Literal["moved", "steady", "cannot tell"]
    sentence: str
    other: str = ""
    importance: float = math.nan
    counts: bool = True


class _Case(NamedTuple):
    """One question of one column, before the levels are known. Without `asked` or `pair` it cannot be told."""

    answer: Answer
    asked: Asked | None = None
    pair: tuple[float, float] | None = None
    chance: float = 1.0


def compare(
    window: Profile,
    reference: Profile,
    *,
    false_alarms: float = 0.01,
    importance: Mapping[str, float] | None = None,
    floors: Mapping[Question, float] | None = None,
) -> list[Answer]:
    """Ask every question of every column: what moved and counts first, the largest excess over its floor before others.

    Args:
        window: A profile over the reference.
        reference: The reference.
        false_alarms: The chance of any false "moved" among what counts; and of any among what does not.
        importance: By name the share of the model's answers that rests on an input; left out, what the reference knows.
            A column with less than a quarter of an equal share does not count, except that its values are missing or
            never seen before while it is used at all.
        floors: Other floors, by question.

    Source: S. Holm, Scandinavian Journal of Statistics 6, 1979, for the correction over all questions, with weights.
    """
    limits = {**FLOORS, **(floors or {})}
    weights = importance if importance is not None else _known_importance(reference)
    asking = _Asking(limits, weights, reference)
    cases = [
        asking.case(seen, known, question)
        for seen, known in zip(window.columns, reference.columns, strict=True)
        for question in _questions(known, reference)
    ]
    before = {(pair.first, pair.second): pair for pair in reference.pairs}
    cases += [asking.pair(pair, before[pair.first, pair.second]) for pair in window.pairs]
    answers = []
    for counts in (True, False):
        answers += _answers([case for case in cases if case.answer.counts == counts], false_alarms)
    return sorted(answers, key=_rank)


def _rank(answer: Answer) -> tuple[bool, float]:
    weight = 1.0 if math.isnan(answer.importance) else answer.importance
    excess = answer.low - answer.floor
    return not (answer.verdict == "moved" and answer.counts), -excess * (weight if excess > 0 else 1.0)


def _known_importance(reference: Profile) -> dict[str, float]:
    return {column.name: column.importance for column in reference.columns if not math.isnan(column.importance)}


def _questions(column: Column, reference: Profile) -> tuple[Question, ...]:
    shape: Question = "prediction" if column.name in reference.predictions else "shape"
    return (shape, "missing", "tails") if column.is_numeric else (shape, "missing", "unseen")


class _Asking:
    """Asks one question at a time."""

    def __init__(self, floors: Mapping[Question, float], importance: Mapping[str, float], reference: Profile) -> None:
        self._floors, self._importance = floors, importance
        self._columns = {column.name: column for column in reference.columns}
        self._predictions = reference.predictions
        inputs = [name for name in self._columns if name not in reference.predictions]
        self._least = _HARDLY / max(len(inputs), 1)

    def case(self, seen: Column, known: Column, question: Question) -> _Case:
        """A question of a column."""
        answer = self._blank(seen.name, question)
        is_of_all = question == "missing"
        now, before = (seen.rows, known.rows) if is_of_all else (seen.present, known.present)
        few = min(now, before)
        if few < MIN_ROWS:
            kind = "rows" if is_of_all else "rows with a value"
            told = f"{few} {kind} are too few to tell ({MIN_ROWS} are needed)"
            return _Case(_said(answer, f"{seen.name}: {told}"))
        if question == "unseen" and known.is_open:
            told = "training had too many different values to remember which are new"
            return _Case(_said(answer, f"{seen.name}: {told}"))
        asked = _ASK[question](seen, known, now * before / (now + before))
        chances = chance_beyond(asked.seen, asked.known + asked.bias + answer.floor, np.full(asked.seen.shape, asked.n))
        return _Case(answer, asked=asked, chance=min(1.0, float(chances.min()) * chances.size))

    def pair(self, seen: Pair, known: Pair) -> _Case:
        """The question of dependence."""
        answer = msgspec.structs.replace(self._blank(seen.first, "dependence", seen.second), other=seen.second)
        few = min(sum(seen.cells), sum(known.cells))
        name = f"{seen.first} and {seen.second}"
        if few < MIN_ROWS:
            return _Case(_said(answer, f"{name}: {few} rows with both are too few to tell ({MIN_ROWS} are needed)"))
        numeric = self._columns[seen.first].is_numeric, self._columns[seen.second].is_numeric
        found = correlations(seen, known, numeric)
        if not found.is_told:
            return _Case(_said(answer, f"{name}: one of them hardly varies, so their dependence cannot be told"))
        told = f"{name}: correlated by {found.now:+.2f}, {found.before:+.2f} in training"
        size = abs(found.now - found.before)
        chance = _NORMAL.cdf((answer.floor - size) / found.deviation)
        answer = msgspec.structs.replace(answer, effect=size, sentence=told)
        return _Case(answer, pair=(size, found.deviation), chance=chance)

    def _blank(self, column: str, question: Question, other: str = "") -> Answer:
        shares = [self._importance.get(name, math.nan) for name in (column, other) if name]
        share = math.nan if any(map(math.isnan, shares)) else min(shares)
        return Answer(
            column=column,
            question=question,
            effect=0.0,
            low=0.0,
            floor=self._floors[question],
            verdict="cannot tell",
            sentence="",
            importance=share,
            counts=self._counts(column, question, share),
        )

    def _counts(self, column: str, question: Question, share: float) -> bool:
        if column in self._predictions or math.isnan(share):
            return True
        return share > _UNUSED if question in ("missing", "unseen") else share >= self._least


_ASK = {
    "shape": questions.shape,
    "prediction": questions.shape,
    "missing": questions.missing,
    "unseen": questions.unseen,
    "tails": questions.tails,
}


def _said(answer: Answer, sentence: str) -> Answer:
    return msgspec.structs.replace(answer, sentence=sentence)


def _holm(cases: list[_Case], false_alarms: float) -> list[float]:
    """The level at which each question is judged: the smallest chance at the strictest, until one is not significant."""
    weights = [_WEIGHTS.get(case.answer.question, 1.0) if case.asked or case.pair else 0.0 for case in cases]
    told = [place for place, weight in enumerate(weights) if weight]
    levels, left = [0.0] * len(cases), sum(weights)
    share, still = 0.0, True
    for place in sorted(told, key=lambda place: (cases[place].chance / weights[place], place)):
        if still:
            share = false_alarms / left
            still = cases[place].chance < share * weights[place]
        levels[place] = share * weights[place]
        left -= weights[place]
    return levels


def _answers(family: list[_Case], false_alarms: float) -> list[Answer]:
    levels = _holm(family, false_alarms)
    # All bounds at once: they are found by halving, and a call for each would cost more than the halving.
    looks = [(case.asked, level) for case, level in zip(family, levels, strict=True) if case.asked is not None]
    lows: list[Array] = []
    if looks:
        sizes = [asked.seen.size for asked, _ in looks]
        found = lower_difference(
            np.concatenate([asked.seen for asked, _ in looks]),
            np.concatenate([asked.known + asked.bias for asked, _ in looks]),
            np.repeat([asked.n for asked, _ in looks], sizes),
            np.repeat([level / asked.seen.size for asked, level in looks], sizes),
        )
        lows = np.split(found, np.cumsum(sizes)[:-1])
    bounds = iter(lows)
    answers = []
    for case, level in zip(family, levels, strict=True):
        if case.asked is not None:
            answers.append(_of_shares(case.answer, case.asked, case.chance, level, next(bounds)))
        else:
            answers.append(case.answer if case.pair is None else _of_pair(case.answer, case.pair, case.chance, level))
    return answers


def _of_pair(answer: Answer, pair: tuple[float, float], chance: float, level: float) -> Answer:
    size, deviation = pair
    z = _NORMAL.inv_cdf(1 - level)
    detectable = answer.floor + (z + _POWER) * deviation
    return _judged(answer, size, max(0.0, size - z * deviation), chance, detectable, answer.sentence)


def _of_shares(answer: Answer, asked: Asked, chance: float, level: float, lows: Array) -> Answer:
    effects = np.maximum(0.0, asked.seen - asked.known - asked.bias)
    place = int(np.lexsort((effects, lows))[-1])
    effect, low = float(effects[place]), float(lows[place])
    # What a share is before it rises says how much it varies; of many sets that may rise the middle one is the worst.
    before = 0.5 if asked.seen.size > 1 else min(0.5, float(asked.known[0]) + answer.floor)
    z = _NORMAL.inv_cdf(1 - level / asked.seen.size) + _POWER
    detectable = answer.floor + z * (before * (1 - before) / asked.n) ** 0.5 + 1 / asked.n
    return _judged(answer, effect, low, chance, min(1.0, detectable), asked.told.format(effect=effect))


def _judged(answer: Answer, effect: float, low: float, chance: float, detectable: float, sentence: str) -> Answer:
    moved = low > answer.floor
    needed = NEEDED[answer.question]
    if not moved and detectable > needed:
        sentence = f"{sentence}; below {detectable:.0%} this window would not show it"
    return msgspec.structs.replace(
        answer,
        effect=effect,
        low=low,
        p_value=chance,
        detectable=detectable,
        verdict="moved" if moved else "cannot tell" if detectable > needed else "steady",
        sentence=sentence,
    )
