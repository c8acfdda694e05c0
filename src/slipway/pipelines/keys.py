"""What a step's result depends on, as a key: equal keys mean an equal result.

The key is a hash over a typed, delimited encoding of: the version of this scheme, the step's name, its code closures
(code across the project's modules, versions of libraries, Python), the logical fingerprint of each input, and the code
of the classes of objects in these.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from slipway.code import CodeClosure, closure
from slipway.code.libraries import is_standard, version_of
from slipway.code.project import is_installed, is_slipway
from slipway.errors import InvalidInput, UserError
from slipway.hashing import fingerprint
from slipway.ledger.step_scope import StepCall
from slipway.pipelines.hidden.allowed import undeclared
from slipway.schema.fingerprints import of_argument

__all__ = ["StepKey", "changed_inputs", "of_call"]

# Count up when what goes into the key changes its meaning: results stored before are then not found, never misread.
_SCHEME = 3
_UNCHANGING = (bool, int, float, str, bytes, date, timedelta, type(None), pl.LazyFrame)


@dataclass(frozen=True, slots=True)
class StepKey:
    """A call's key and what it was made of.

    Args:
        key: 64 hex digits, "" where the call cannot be cached.
        inputs: The fingerprint of each input that has one, by name.
        closures: The closures of the code, the step's own function first, the classes of arguments last.
        refusal: Why the call cannot be cached, "" where it can.
        remark: What is said of its result beside the reason, "" for nothing.
    """

    key: str
    inputs: dict[str, str]
    closures: tuple[CodeClosure, ...]
    refusal: str = ""
    remark: str = ""


def of_call(call: StepCall) -> StepKey:
    """The key of a call. What has no fingerprint makes the call uncached, never an error."""
    inputs: dict[str, str] = {}
    refusals: list[str] = []
    classes: dict[type, str] = {}
    for name, value in call.inputs.items():
        try:
            inputs[name], met = of_argument(value)
        except InvalidInput as problem:
            refusals.append(f"argument {name}: {problem.what}")
        else:
            classes.update((kind, name) for kind in met if kind not in classes)
    closures: list[CodeClosure] = []
    for function in call.code:
        try:
            closures.append(closure(function))
        except UserError as problem:
            refusals.append(f"its code: {problem.what}")
    libraries: dict[str, str] = {}
    for kind, name in classes.items():
        try:
            _add_class(kind, closures, libraries)
        except UserError as problem:
            refusals.append(f"the class of argument {name}: {problem.what}")
    unknown = dict.fromkeys(name for one in closures for name in one.unknown)
    refusals += [f"its code uses {name}, whose content cannot be read" for name in unknown]
    clock = dict.fromkeys(one for each in closures for one in each.clock)
    if clock and "clock" not in call.allow:
        refusals.append(undeclared("clock", f"its code reads the clock ({', '.join(clock)})"))
    if not call.cached:
        refusals.insert(0, "the step says cache=False")
    if refusals:
        return StepKey("", inputs, tuple(closures), "; ".join(refusals))
    # A step of Slipway's own has its code in Slipway; a user's function stays valid across releases of Slipway.
    release = version_of("slipway")[1] if call.function is None else ""
    code = tuple(one.hash for one in closures)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    arguments, foreign = tuple(sorted(inputs.items())), tuple(sorted(libraries.items()))
    key = fingerprint((_SCHEME, call.name, python, release, code, arguments, foreign, call.returns))
    random = dict.fromkeys(one for each in closures for one in each.random)
    drawn = (
        f"; it draws random numbers without a seed ({', '.join(random)}), so it may not be repeated" if random else ""
    )
    return StepKey(key, inputs, tuple(closures), remark=drawn)


def _add_class(kind: type, closures: list[CodeClosure], libraries: dict[str, str]) -> None:
    """Take the class of an argument into the key: its methods are code that the step may call."""
    module = kind.__module__
    if is_standard(module) or is_slipway(module):
        return  # Python's version and Slipway's own promise stand for these
    live = sys.modules.get(module)
    if live is not None and module != "__main__" and is_installed(live):
        name, version = version_of(module)
        libraries[name] = version
        return
    found = closure(kind)
    if all(found.root != known.root or found.hash != known.hash for known in closures):
        closures.append(found)


def changed_inputs(inputs: Mapping[str, object], before: Mapping[str, str]) -> list[str]:
    """The names of inputs that the step changed while it ran.

    Args:
        inputs: The inputs after the step ran.
        before: Their fingerprints before it ran.
    """
    changed = []
    for name, value in inputs.items():
        if name in before and not isinstance(value, _UNCHANGING):
            try:
                same = of_argument(value)[0] == before[name]
            except InvalidInput:
                same = False
            if not same:
                changed.append(name)
    return changed
