"""The modules of the package, each parsed once for all tests that judge what stands there."""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["MODULES", "Module", "place", "read"]

SOURCE = Path(__file__).parents[2] / "src" / "slipway"
MODULES = sorted(SOURCE.rglob("*.py"))


class Module(NamedTuple):
    """What the tests look at; the whole trees would take too much memory.

    Args:
        lines: How many lines it has.
        docstring: Its docstring, "" for none.
        functions: Names of functions with how many lines each has.
        raised: Line and name of everything that is raised; an error that a function makes is judged where it is made.
        calls: Line, name and node of every call of a plain name that begins with a capital.
        silent: Lines of handlers of everything that do nothing.
    """

    lines: int
    docstring: str
    functions: list[tuple[str, int]]
    raised: list[tuple[int, str]]
    calls: list[tuple[int, str, ast.Call]]
    silent: list[int]


@cache
def read(path: Path) -> Module:
    """What stands in a module."""
    text = path.read_text()
    tree = ast.parse(text)
    found = Module(len(text.splitlines()), ast.get_docstring(tree) or "", [], [], [], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id[:1].isupper():
                found.calls.append((node.lineno, node.func.id, node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.functions.append((node.name, (node.end_lineno or node.lineno) - node.lineno + 1))
        elif isinstance(node, ast.Raise) and node.exc is not None:
            target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(target, ast.Name):
                found.raised.append((node.lineno, target.id))
        elif isinstance(node, ast.ExceptHandler) and _is_silent(node):
            found.silent.append(node.lineno)
    return found


def place(path: Path) -> str:
    """Where a module stands, as a fault names it."""
    return path.relative_to(SOURCE).as_posix()


def _is_silent(node: ast.ExceptHandler) -> bool:
    """`except: pass` for everything hides faults; for a named exception it is a decision."""
    is_broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
    return is_broad and all(isinstance(each, ast.Pass | ast.Continue) for each in node.body)
