"""Drift of a window against a reference profile: four questions a column, each with an effect floor and confidence.

A column moved only when the lower confidence bound of the effect lies above the question's floor. Confidence is
corrected for the number of questions asked at once, so that the whole report raises a false alarm at most with the
stated probability. Below a minimum of rows the answer is "cannot tell", never "steady".
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np
from msgspec import Struct

from slipway.stats.profiles import Column, Profile

__all__ = ["Answer", "Question", "compare"]

Question = Literal["shape", "missing", "unseen", "tails"]

FLOORS: dict[Question, float] = {"shape": 0.10, "missing": 0.02, "unseen": 0.005, "tails": 0.01}
MIN_ROWS = 200


class Answer(Struct, frozen=True, kw_only=True):
    """One question's answer for one column.

    Args:
        column: The column.
        question: "shape": total variation over the reference's bins; "missing": rise or fall of the missing share;
            "unseen": share of never-seen categories; "tails": share outside the reference's range.
        effect: Its size, bias of a finite window removed, between 0 and 1.
        low: Lower confidence bound of the effect.
        floor: Below it a change is too small to matter.
        verdict: "moved" when `low` lies above `floor`.
        sentence: The same in words.
    """

    column: str
    question: Question
    effect: float
    low: float
    floor: float
    verdict: Literal["moved", "steady", "cannot tell"]
    sentence: str


def compare(window: Profile, reference: Profile, *, false_alarms: float = 0.01) -> list[Answer]:
    """Ask every question of every column, the largest excess over its floor first.

    Args:
        window: A profile over the reference.
        reference: The reference.
        false_alarms: The chance of any false "moved" in the whole answer, by Bonferroni over all questions.
    """
    pairs = list(zip(window.columns, reference.columns, strict=True))
    asked = sum(len(_questions(column)) for _, column in pairs)
    z = NormalDist().inv_cdf(1 - false_alarms / max(asked, 1))
    answers = [_answer(seen, known, question, z) for seen, known in pairs for question in _questions(known)]
    return sorted(answers, key=lambda answer: answer.floor - answer.low)


def _questions(column: Column) -> tuple[Question, ...]:
    return ("shape", "missing", "tails") if column.is_numeric else ("shape", "missing", "unseen")


def _answer(seen: Column, known: Column, question: Question, z: float) -> Answer:
    floor = FLOORS[question]
    if seen.rows < MIN_ROWS or known.rows < MIN_ROWS:
        few = min(seen.rows, known.rows)
        told = f"{seen.name}: {few} rows are too few to tell ({MIN_ROWS} are needed)"
        return Answer(
            column=seen.name, question=question, effect=0.0, low=0.0, floor=floor, verdict="cannot tell", sentence=told
        )
    effect, deviation, told = _EFFECTS[question](seen, known)
    low = max(0.0, effect - z * deviation)
    verdict: Literal["moved", "steady"] = "moved" if low > floor else "steady"
    return Answer(
        column=seen.name, question=question, effect=effect, low=low, floor=floor, verdict=verdict, sentence=told
    )


def _shape(seen: Column, known: Column) -> tuple[float, float, str]:
    """Total variation with the expectation under no change removed.

    Under no change each bin's difference is about normal with variance p(1-p)(1/n + 1/m), so that half the sum of their
    mean absolute values, sqrt(2/pi) standard deviations each, is what chance alone would show.
    """
    a, b = _cells(seen), _cells(known)
    n, m = max(a.sum(), 1), max(b.sum(), 1)
    p, q = a / n, b / m
    pooled = (a + b) / (n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    chance = 0.5 * float(spread.sum()) * (2 / np.pi) ** 0.5
    raw = 0.5 * float(np.abs(p - q).sum())
    # The total variation is the share of the cells that grew, a difference of two shares.
    grew = p > q
    share = float(p[grew].sum()), float(q[grew].sum())
    deviation = (share[0] * (1 - share[0]) / n + share[1] * (1 - share[1]) / m) ** 0.5
    effect = max(0.0, raw - chance)
    return effect, float(deviation), f"{seen.name}: {effect:.0%} of the rows lie elsewhere than in training"


def _missing(seen: Column, known: Column) -> tuple[float, float, str]:
    now, before = seen.missing / seen.rows, known.missing / known.rows
    told = f"{seen.name}: missing in {now:.1%} of the rows, {before:.1%} in training"
    return abs(now - before), _deviation(now, seen.rows, before, known.rows), told


def _unseen(seen: Column, known: Column) -> tuple[float, float, str]:
    share = seen.unseen / seen.rows
    return share, _deviation(share, seen.rows, 0.0, known.rows), f"{seen.name}: {share:.1%} of values never seen before"


def _tails(seen: Column, known: Column) -> tuple[float, float, str]:
    share = (seen.below + seen.above) / seen.rows
    told = f"{seen.name}: {share:.1%} of values outside the range {known.low:g} to {known.high:g} of training"
    return share, _deviation(share, seen.rows, 0.0, known.rows), told


_EFFECTS = {"shape": _shape, "missing": _missing, "unseen": _unseen, "tails": _tails}


def _cells(column: Column) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    cells = (*column.counts, column.other) if not column.is_numeric else column.counts
    return np.asarray(cells, dtype=np.float64)


def _deviation(p: float, n: int, q: float, m: int) -> float:
    # One added row of each kind keeps a share of zero from claiming to be certain (Agresti and Caffo, 2000).
    p, q = (p * n + 1) / (n + 2), (q * m + 1) / (m + 2)
    return float((p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2)) ** 0.5)
