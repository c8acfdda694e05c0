"""Whether two features compute the same under different names."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from msgspec import structs

from slipway.code import closure
from slipway.code.parsing import parse
from slipway.hashing import fingerprint
from slipway.records.features import Part, Scalar, View, Windows

__all__ = ["likeness"]


def likeness(part: Part, function: Callable[..., Any] | None) -> str:
    """A fingerprint of what a part computes, whatever it and its features are called; "" where nobody can tell.

    Equal ones compute the same. Unequal ones may do so too: two ways to write one thing are two.

    Args:
        part: A scalar feature, a view, or windows with one aggregate.
        function: The function of a scalar feature or view.
    """
    if isinstance(part, Windows):
        bare = tuple(structs.replace(aggregate, name="") for aggregate in part.aggregates)
        return fingerprint(structs.replace(part, name="", aggregates=bare))
    if function is None or not isinstance(part, Scalar | View):
        return ""
    bare_part: Scalar | View = structs.replace(part, name="", definition="")
    if isinstance(bare_part, Scalar):
        bare_part = structs.replace(bare_part, module="")
    written = _body(function)
    return fingerprint((bare_part, written, _helpers(function))) if written else ""


def _body(function: Callable[..., Any]) -> str:
    """A function's parameters and statements without its name, docstring and decorators; "" where there is no source."""
    try:
        tree = parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ""  # typed into a prompt, or cut out of a line: nothing is compared
    found = tree.body[0]
    if not isinstance(found, ast.FunctionDef):
        return ""
    body = found.body[1:] if ast.get_docstring(found) is not None else found.body
    return "\n".join(map(ast.dump, [found.args, *body]))


def _helpers(function: Callable[..., Any]) -> list[tuple[str, str]]:
    """What else the function reaches: helpers and constants, by name and content."""
    found = closure(function)
    return [(name, value) for name, value in found.entries.items() if name != found.root]
