"""What an edit changes about steps before anything runs again: the code and the files of now against a run's record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from slipway.code import closure
from slipway.errors import UserError
from slipway.pipelines.hidden.present import changes, place_of
from slipway.pipelines.reasons import code_changes, read_closures
from slipway.ports.blobs import Blobs
from slipway.records.runs import StepRun

__all__ = ["now"]


def now(blobs: Blobs, steps: Sequence[StepRun], name: str) -> str:
    """Say what a call of a step would come to now, as far as that is known without running what comes before it.

    The project's modules must be imported: their code is what is compared.

    Args:
        blobs: Hold the closures.
        steps: All calls of a run, in order.
        name: A step that it called.
    """
    first = next(place for place, step in enumerate(steps) if step.name == name)
    own = [step for step in steps if step.name == name]
    before = {step.name: _changed(blobs, step) for step in steps[:first] if step.name != name}
    again = [f"{step} would run again ({', '.join(changed)})" for step, changed in before.items() if changed]
    told = list(dict.fromkeys(change for step in own for change in _changed(blobs, step)))
    lacking = next((step for step in own if not step.key), None)
    if told:
        words = f"it would run again: {', '.join(told)}"
    elif lacking is not None:
        words = f"it would run again: {_lacks(lacking)}"
    elif again:
        words = "its own code is as it was, so it would run again where the steps before it return something else"
    else:
        words = "nothing has changed since, so with the same arguments its stored result would be taken"
    return "; ".join([words, *again])


def _lacks(step: StepRun) -> str:
    if step.state in ("failed", "cancelled", "waiting", "running"):
        return {"failed": "it failed", "running": "it has not ended"}.get(step.state, "it did not begin")
    return step.refusal or "its result was not kept"


def _changed(blobs: Blobs, step: StepRun) -> list[str]:
    known = read_closures(blobs, step.closure)
    if known is None:
        return ["its code may have changed (what it was is no longer stored)"]
    found, functions = [], []
    for one in known:
        function = _live(one.root)
        if function is None:
            continue
        functions.append(function)
        try:
            found += code_changes((one,), (closure(function),))
        except UserError as problem:
            found.append(f"its code cannot be followed any more: {problem.what}")
    found += changes(step.hidden, place_of(functions))
    return list(dict.fromkeys(found))


def _live(root: str) -> Any:
    """The function or class of that name as it is imported now; None where its module is not, or has none of the name."""
    module, _, name = root.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return getattr(found, "function", found)
