"""Drift of a window against a reference profile: four questions a column, each with an effect floor and confidence.

A column moved only when the lower confidence bound of the effect lies above the question's floor. Confidence is
corrected for the number of questions asked at once, so that the whole report raises a false alarm at most with the
stated probability. Below a minimum of rows the answer is "cannot tell", never "steady".
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct

from slipway.stats.profiles import Column, Profile

__all__ = ["FLOORS", "MIN_ROWS", "Answer", "Question", "compare"]

Question = Literal["shape", "missing", "unseen", "tails"]

FLOORS: dict[Question, float] = {"shape": 0.10, "missing": 0.02, "unseen": 0.005, "tails": 0.01}
MIN_ROWS = 200
_NORMAL = NormalDist()


class Answer(Struct, frozen=True, kw_only=True):
    """One question's answer for one column.

    Args:
        column: The column.
        question: "shape": total variation over the reference's bins; "missing": rise or fall of the missing share;
            "unseen": share of never-seen categories; "tails": share outside the reference's range.
        effect: Its size, bias of a finite window removed, between 0 and 1.
        low: Lower confidence bound of the effect, corrected for the number of questions.
        floor: Below it a change is too small to matter.
        p_value: How likely an effect of this size or more is where the true one is the floor; not corrected.
        detectable: About the least true effect that a window of this size shows nine times in ten.
        verdict: "moved" when `low` lies above `floor`.
        sentence: The same in words.
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


class _Effect(NamedTuple):
    """An effect, its standard deviation, the bias that was taken from it, and its sentence."""

    size: float
    deviation: float
    bias: float
    told: str


def compare(window: Profile, reference: Profile, *, false_alarms: float = 0.01) -> list[Answer]:
    """Ask every question of every column, the largest excess over its floor first.

    Args:
        window: A profile over the reference.
        reference: The reference.
        false_alarms: The chance of any false "moved" in the whole answer.

    Source: S. Holm, Scandinavian Journal of Statistics 6, 1979, for the correction over all questions.
    """
    pairs = [
        (seen, known, question)
        for seen, known in zip(window.columns, reference.columns, strict=True)
        for question in _questions(known)
    ]
    effects = {
        place: _EFFECTS[question](seen, known)
        for place, (seen, known, question) in enumerate(pairs)
        if not _unknown(seen, known, question)
    }
    chances = {place: _chance(effect, FLOORS[pairs[place][2]]) for place, effect in effects.items()}
    levels = _holm(chances, false_alarms)
    answers = []
    for place, (seen, known, question) in enumerate(pairs):
        if place in effects:
            answers.append(_answer(seen.name, question, effects[place], chances[place], levels[place]))
        else:
            told = f"{seen.name}: {_unknown(seen, known, question)}"
            answers.append(
                Answer(
                    column=seen.name,
                    question=question,
                    effect=0.0,
                    low=0.0,
                    floor=FLOORS[question],
                    verdict="cannot tell",
                    sentence=told,
                )
            )
    return sorted(answers, key=lambda answer: answer.floor - answer.low)


def _questions(column: Column) -> tuple[Question, ...]:
    return ("shape", "missing", "tails") if column.is_numeric else ("shape", "missing", "unseen")


def _unknown(seen: Column, known: Column, question: Question) -> str:
    """Why a question cannot be answered; "" where it can."""
    few = min(seen.rows, known.rows) if question == "missing" else min(seen.present, known.present)
    if few < MIN_ROWS:
        kind = "rows" if question == "missing" else "rows with a value"
        return f"{few} {kind} are too few to tell ({MIN_ROWS} are needed)"
    if question == "unseen" and known.is_open:
        return "training had too many different values to remember which are new"
    return ""


def _chance(effect: _Effect, floor: float) -> float:
    if effect.deviation == 0.0:
        return 0.0 if effect.size > floor else 1.0
    return _NORMAL.cdf((floor - effect.size) / effect.deviation)


def _holm(chances: dict[int, float], false_alarms: float) -> dict[int, float]:
    """The level at which each question is judged: the smallest chance at the strictest, until one is not significant."""
    levels, level = {}, false_alarms / max(len(chances), 1)
    still = True
    for rank, place in enumerate(sorted(chances, key=lambda place: (chances[place], place))):
        if still:
            level = false_alarms / (len(chances) - rank)
            still = chances[place] < level
        levels[place] = level
    return levels


def _answer(column: str, question: Question, effect: _Effect, chance: float, level: float) -> Answer:
    floor, z = FLOORS[question], _NORMAL.inv_cdf(1 - level)
    low = max(0.0, effect.size - z * effect.deviation)
    return Answer(
        column=column,
        question=question,
        effect=effect.size,
        low=low,
        floor=floor,
        p_value=chance,
        detectable=min(1.0, floor + effect.bias + (z + _NORMAL.inv_cdf(0.9)) * effect.deviation),
        verdict="moved" if low > floor else "steady",
        sentence=effect.told,
    )


def _shape(seen: Column, known: Column) -> _Effect:
    """Total variation with the expectation under no change removed.

    Under no change each bin's difference is about normal with variance p(1-p)(1/n + 1/m), so that half the sum of their
    mean absolute values, sqrt(2/pi) standard deviations each, is what chance alone would show.
    """
    a, b = _cells(seen), _cells(known)
    n, m = a.sum(), b.sum()
    p, q = a / n, b / m
    pooled = (a + b) / (n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    chance = 0.5 * float(spread.sum()) * (2 / np.pi) ** 0.5
    raw = 0.5 * float(np.abs(p - q).sum())
    # The total variation is the share of the cells that grew, a difference of two shares.
    grew = p > q
    deviation = _deviation(float(p[grew].sum()), int(n), float(q[grew].sum()), int(m))
    effect = max(0.0, raw - chance)
    return _Effect(effect, deviation, chance, f"{seen.name}: {effect:.0%} of the rows lie elsewhere than in training")


def _missing(seen: Column, known: Column) -> _Effect:
    now, before = seen.missing / seen.rows, known.missing / known.rows
    told = f"{seen.name}: missing in {now:.1%} of the rows, {before:.1%} in training"
    return _Effect(abs(now - before), _deviation(now, seen.rows, before, known.rows), 0.0, told)


def _unseen(seen: Column, known: Column) -> _Effect:
    """The share of never-seen values above what rare values bring without any change.

    Source: I. Good, Biometrika 40, 1953: the chance that the next value is a new one is about the share of values that
    came once.
    """
    share, usual = seen.unseen / seen.present, known.singles / known.present
    told = f"{seen.name}: {share:.1%} of values never seen before"
    if usual:
        told += f", where {usual:.1%} would be usual"
    return _Effect(max(0.0, share - usual), _deviation(share, seen.present, usual, known.present), 0.0, told)


def _tails(seen: Column, known: Column) -> _Effect:
    share = (seen.below + seen.above) / seen.present
    told = f"{seen.name}: {share:.1%} of values outside the range {known.low:g} to {known.high:g} of training"
    return _Effect(share, _deviation(share, seen.present, 0.0, known.present), 0.0, told)


_EFFECTS = {"shape": _shape, "missing": _missing, "unseen": _unseen, "tails": _tails}


def _cells(column: Column) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    # A window of new values only must still be told apart: they lie in a cell that training left empty.
    cells = column.counts if column.is_numeric else (*column.counts, column.other, column.unseen)
    return np.asarray(cells, dtype=np.float64)


def _deviation(p: float, n: int, q: float, m: int) -> float:
    # One added row of each kind keeps a share of zero from claiming to be certain (Agresti and Caffo, 2000).
    p, q = (p * n + 1) / (n + 2), (q * m + 1) / (m + 2)
    return float((p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2)) ** 0.5)
