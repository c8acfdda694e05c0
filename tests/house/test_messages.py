"""Errors are sentences: read from the source, so that no message needs to be provoked to be judged."""

import ast
import builtins

from house.read_sources import MODULES, place, read
from slipway import errors

JUDGED = [path for path in MODULES if "conformance" not in path.parts]
OURS = {name for name in errors.__all__ if name != "near"}
# Python's own protocols ask for these; they reach nobody as a message.
PROTOCOL = {
    "NotImplementedError",
    "StopIteration",
    "AttributeError",
    "KeyboardInterrupt",
    "SystemExit",
    "GeneratorExit",
}
BARE = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
} - PROTOCOL
ALONE = {"Corrupt", "Conflict", "BackendError"}
"""Errors whose finding may stand alone: what was found is the whole story, and what to do is on the calling side."""


def spoken(node: ast.expr) -> str:
    """A message's constant parts, with X for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return spoken(node.left) + spoken(node.right)
    return "X"


def test_only_errors_of_ours_are_raised() -> None:
    assert [
        f"{place(path)}:{line}: {name}"
        for path in JUDGED
        for line, name in read(path).raised
        if name in BARE and not (name == "AssertionError" and place(path).startswith("testing/"))  # what tests fail by
    ] == []


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    faults = []
    for path in JUDGED:
        for line, name, call in read(path).calls:
            fault = fault_of(name, call) if name in OURS else ""
            if fault:
                faults.append(f"{place(path)}:{line}: {fault}")
    assert faults == []


def fault_of(name: str, call: ast.Call) -> str:
    if any(keyword.arg is None for keyword in call.keywords) or not call.args:
        return ""  # the parts come from another process, or the class is only handed on
    what = spoken(call.args[0])
    if what == "X":
        return ""  # a sentence that was made elsewhere
    if len(what.split()) < 3:
        return f"{what!r} is no sentence"
    if what[-1] not in ".?!X":
        return f"{what!r} does not end"
    given = {keyword.arg for keyword in call.keywords}
    if name not in ALONE and not given & {"why", "fix"}:
        return f"{what!r} says neither why nor what to do"
    return ""


def test_no_exception_is_swallowed() -> None:
    assert [f"{place(path)}:{line}" for path in JUDGED for line in read(path).silent] == []
