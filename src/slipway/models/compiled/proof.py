"""The proof that a program answers as its estimator does: asked the same rows, compared one by one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.models.compiled.hostile import Tried, rows_to_try
from slipway.models.compiled.program import Program, Table
from slipway.models.compiled.running import Compiled
from slipway.models.state import Case
from slipway.records.schema import Field

__all__ = ["Proof", "prove_program"]

_TOGETHER = 256
_ALONE = 12
_REFUSALS = 3
Ask = Callable[[Sequence[Sequence[Any]]], Sequence[float]]


class Proof(NamedTuple):
    """What came of it.

    Args:
        holds: Whether the program may answer.
        sentence: How many rows were compared, or which row and column came out otherwise.
    """

    holds: bool
    sentence: str


def prove_program(
    program: Program, ask: Ask, fields: Sequence[Field], cases: Sequence[Case], *, tolerance: float
) -> Proof:
    """Compare a program with its estimator on reference rows, and on hostile rows made of them.

    Args:
        program: What is to be proven.
        ask: The estimator's scores of rows; raises InvalidInput where it refuses one.
        fields: The model's inputs.
        cases: Reference rows with the trained estimator's own answers.
        tolerance: How far two answers may be apart, relative to the greater of 1 and the estimator's.
    """
    usual = [case for case in cases if not case.column]
    if not usual:
        return Proof(False, "no reference row is left to prove it by")
    compiled = Compiled(program, [field.name for field in fields])
    known = {step.input: step.keys for step in program.steps if isinstance(step, Table)}
    tried = [Tried(case.name, case.column, case.row) for case in cases]
    tried += rows_to_try(fields, [case.row for case in usual], program, known)
    asked = [(each, _one(compiled, each.row)) for each in tried]
    if lacking := [each for each, found in asked[: len(cases)] if not each.column and not isinstance(found, float)]:
        return Proof(False, f"it does not answer {lacking[0].name}, on which the model was trained")
    answered = [(each, found) for each, found in asked if isinstance(found, float)]
    refused = [(each, found) for each, found in asked if isinstance(found, InvalidInput)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an estimator warns of here, it was asked on purpose
        greatest, otherwise = _compared(ask, answered, tolerance)
        otherwise = otherwise or _answered_otherwise(ask, refused)
    otherwise = otherwise or _apart_together(compiled, answered, tolerance)
    if otherwise:
        return Proof(False, otherwise)
    how = "bit for bit" if greatest == 0 else f"to {greatest:.1e}"
    more = f", {len(refused):,} refused as by it" if refused else ""
    left = len(tried) - len(answered) - len(refused)
    return Proof(
        True, f"{len(answered):,} rows answered as by the estimator, {how}{more}; {left:,} hostile ones left to it"
    )


def _one(compiled: Compiled, row: Sequence[Any]) -> float | InvalidInput | None:
    try:
        scores = compiled.rows([row])
    except InvalidInput as refusal:
        return refusal
    return None if scores is None else float(scores[0])


def _compared(ask: Ask, answered: Sequence[tuple[Tried, float]], tolerance: float) -> tuple[float, str]:
    """The greatest relative difference, and the sentence of the first row that the estimator answers otherwise."""
    alone = answered[:: max(1, len(answered) // _ALONE)]
    wanted = _expected(ask, [each for each, _ in answered])
    # The estimator's answers end where it refused a row.
    pairs = [*zip(answered, wanted, strict=False)]
    pairs += [(pair, _expected(ask, [pair[0]])[0]) for pair in alone]
    greatest = 0.0
    for (each, answer), right in pairs:
        if right is None or not _near(answer, right, tolerance):
            return greatest, _otherwise(each, f"answers {answer!r}", right)
        greatest = max(greatest, abs(answer - right) / max(1.0, abs(right)))
    return greatest, ""


def _answered_otherwise(ask: Ask, refused: Sequence[tuple[Tried, InvalidInput]]) -> str:
    """The sentence of the first refused row that the estimator answers: some of each column and each reason are asked."""
    times: dict[str, int] = {}
    for each, refusal in refused:
        reason = f"{refusal.field}: {' None ' in refusal.what}"
        times[reason] = times.get(reason, 0) + 1
        if times[reason] <= _REFUSALS:
            right = _expected(ask, [each])[0]
            if right is not None:
                return _otherwise(each, "refuses it", right)
    return ""


def _near(answer: float, wanted: float, tolerance: float) -> bool:
    return abs(answer - wanted) <= tolerance * max(1.0, abs(wanted))


def _expected(ask: Ask, tried: Sequence[Tried]) -> list[float | None]:
    """The estimator's answers up to the first row that it refuses, for which there is None: that one is enough.

    Rows are asked together, and by halves where one of them is refused.
    """
    found: list[float | None] = []
    for start in range(0, len(tried), _TOGETHER):
        found += _answers(ask, tried[start : start + _TOGETHER])
        if found[-1] is None:
            break
    return found


def _answers(ask: Ask, tried: Sequence[Tried]) -> list[float | None]:
    try:
        return [float(score) for score in ask([each.row for each in tried])]
    except InvalidInput:
        if len(tried) == 1:
            return [None]
    half = len(tried) // 2
    found = _answers(ask, tried[:half])
    return found if found[-1] is None else found + _answers(ask, tried[half:])


def _apart_together(compiled: Compiled, answered: Sequence[tuple[Tried, float]], tolerance: float) -> str:
    for start in range(0, len(answered), _TOGETHER):
        part = answered[start : start + _TOGETHER]
        scores = compiled.rows([each.row for each, _ in part])
        if scores is None:
            return f"rows that it answers one by one it does not answer together, from {part[0][0].name} on"
        for (each, answer), score in zip(part, scores.tolist(), strict=True):
            if not _near(score, answer, tolerance):
                return f"{each.name}: it answers {answer!r} alone and {score!r} among others"
    return ""


def _otherwise(each: Tried, said: str, right: float | None) -> str:
    told = "refuses it" if right is None else f"answers {right!r}"
    where = f" (input {each.column!r})" if each.column and not each.name.startswith(f"{each.column} is") else ""
    return f"{each.name}{where}: it {said}, and the estimator {told}"
