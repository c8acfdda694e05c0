"""Compiling and proving in one: what packaging asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from slipway.models.compiled.compiling import NotCompiled, compile_estimator
from slipway.models.compiled.folding import folded
from slipway.models.compiled.program import Program, decode_program, encode_program
from slipway.models.compiled.proof import Proof, prove_program
from slipway.models.scoring import TOLERANCE
from slipway.models.state import ModelState
from slipway.ports.model_format import ModelFormat

__all__ = ["Compilation", "compiled_and_proven"]


class Compilation(NamedTuple):
    """What came of compiling an estimator.

    Args:
        data: The program's bytes, None where the estimator itself answers every row.
        reason: How it was proven, or why there is none.
    """

    data: bytes | None
    reason: str

    @property
    def sentence(self) -> str:
        """The outcome in words, for the bundle's manifest."""
        return f"{'Compiled' if self.data is not None else 'Not compiled'}: {self.reason}."


def compiled_and_proven(
    format: ModelFormat, estimator: Any, state: ModelState, ask: Callable[[Sequence[Sequence[Any]]], list[float]]
) -> Compilation:
    """Compile an estimator, and ask the program what the estimator was asked.

    Args:
        format: The estimator's.
        estimator: As it is kept.
        state: What else is known of the model; its cases are the reference rows.
        ask: The estimator's own scores of rows.
    """
    fields = state.signature.inputs
    try:
        program = compile_estimator(format, estimator, state.task, fields, state.layout)
    except NotCompiled as problem:
        return Compilation(None, problem.why.rstrip("."))
    data, proof = _proven(program, ask, state)
    if proof.holds and folded(program):
        # The steps still answer several rows, and what is unusual in one: both were proven.
        shorter, again = _proven(msgspec.structs.replace(program, folded=True), ask, state)
        if again.holds:
            return Compilation(shorter, again.sentence)
    return Compilation(data if proof.holds else None, proof.sentence)


def _proven(
    program: Program, ask: Callable[[Sequence[Sequence[Any]]], list[float]], state: ModelState
) -> tuple[bytes, Proof]:
    data = encode_program(program)
    kept = decode_program(data)  # what lies in the bundle is what is proven
    assert kept is not None
    return data, prove_program(kept, ask, state.signature.inputs, state.cases, tolerance=TOLERANCE)
