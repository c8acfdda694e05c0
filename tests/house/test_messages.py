"""Errors are sentences: read from the source, so that no message needs to be provoked to be judged."""

import ast
import builtins
from pathlib import Path

from slipway import errors

SOURCE = Path(__file__).parents[2] / "src" / "slipway"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "conformance" not in path.parts)
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


def raised(path: Path) -> list[tuple[int, str]]:
    """Line and name of everything that is raised; an error that a function makes is judged where it is made."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and node.exc is not None:
            target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(target, ast.Name):
                found.append((node.lineno, target.id))
    return found


def sentences(path: Path) -> list[tuple[int, str, ast.Call]]:
    """Every place where an error of ours is made."""
    return [
        (node.lineno, node.func.id, node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OURS
    ]


def spoken(node: ast.expr) -> str:
    """A message's constant parts, with X for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return spoken(node.left) + spoken(node.right)
    return "X"


def place(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_only_errors_of_ours_are_raised() -> None:
    assert [f"{place(path)}:{line}: {name}" for path in MODULES for line, name in raised(path) if name in BARE] == []


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    faults = []
    for path in MODULES:
        for line, name, call in sentences(path):
            fault = fault_of(name, call)
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
    """`except: pass` for everything hides faults; for a named exception it is a decision."""
    broad = [
        f"{place(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and all(isinstance(each, ast.Pass | ast.Continue) for each in node.body)
    ]
    assert broad == []
