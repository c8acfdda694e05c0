"""What a computed call came to: how its result is stored, and whether a later call may take it."""

from __future__ import annotations

from typing import Any

from slipway.errors import InvalidInput
from slipway.ledger.artifacts import Encoded
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache, keys
from slipway.pipelines.hidden.recorder import Recorder
from slipway.pipelines.keys import StepKey
from slipway.records.runs import HiddenInput

__all__ = ["encoded_result", "judged"]


def judged(
    call: StepCall, present: StepKey, encoded: Encoded, refusal: str, hidden: Recorder
) -> tuple[tuple[HiddenInput, ...], str, str]:
    """What the call read, what is said of it beside its reason, and why no later call may take it, "" where one may."""
    seen, undeclared = hidden.taken()
    told = ""
    if changed := keys.changed_inputs(call.inputs, present.inputs):
        refusal = f"it changed its argument {', '.join(changed)} in place, so its result cannot stand in for it"
    elif encoded.pickled:
        told = f"; its result holds {', '.join(sorted(set(encoded.pickled)))}, which only pickle can store"
    if refusal:
        told += f"; {refusal}"
    elif undeclared and present.key:
        refusal = "; ".join(undeclared)
        told += f"; its result is not kept for later runs: {refusal}"
    return seen, told + present.remark, refusal


def encoded_result(value: Any, call: StepCall) -> tuple[Encoded, str]:
    """A result as it is stored, and why it is not, "" where it is."""
    try:
        return cache.encode(value, call.returns), ""
    except InvalidInput as problem:
        if call.returns:
            raise
        return Encoded(()), f"its result is not stored: {problem.what}"
