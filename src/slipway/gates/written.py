"""Checks as text, for who sets a floor without a project: the very words that a project's gate is written in.

Only these words are understood, with numbers and texts in their brackets; nothing is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.gates import declare
from slipway.gates.declare import Check, Metric
from slipway.records.gates import CheckSpec

__all__ = ["read_check"]

_MAKERS: dict[str, Callable[..., Any]] = {name: getattr(declare, name) for name in declare.__all__ if name[0].islower()}
_COMPARED: dict[type[ast.cmpop], str] = {ast.GtE: "__ge__", ast.LtE: "__le__"}


def read_check(text: str) -> CheckSpec:
    """A check out of its text.

    Args:
        text: "sw.metric('auc') >= 0.7", "no_skew()", "approval('accountable', count=2)".

    Raises:
        InvalidInput: It is no check.
    """
    try:
        made = _value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as problem:
        raise _refusal(text, f"It cannot be read: {problem.msg}.") from problem
    except (SlipwayError, TypeError) as problem:
        raise _refusal(text, str(problem)) from problem
    if not isinstance(made, Check):
        raise _refusal(text, "It is no check by itself.")
    return made.spec


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Attribute(value=made, attr="not_worse_than")):
            found = _value(made)
            if isinstance(found, Metric):
                return found.not_worse_than(*_positional(node), **_named(node))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="sw"), attr=name)):
            if name not in _MAKERS:
                raise InvalidInput(f"There is no check {name!r}.", fix=near(name, _MAKERS, what="checks"))
            return _MAKERS[name](*_positional(node), **_named(node))
        case ast.Compare(left=left, ops=[op], comparators=[limit]) if type(op) in _COMPARED:
            found = _value(left)
            if isinstance(found, Metric):
                return getattr(found, _COMPARED[type(op)])(_literal(limit))
        case _:
            pass
    raise InvalidInput(
        f"{ast.unparse(node)!r} is not understood.", why="Only the words of a gate are, compared with >= or <=."
    )


def _positional(call: ast.Call) -> list[Any]:
    return [_literal(given) for given in call.args]


def _named(call: ast.Call) -> dict[str, Any]:
    return {str(given.arg): _literal(given.value) for given in call.keywords}


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError) as problem:
        raise InvalidInput(
            f"{ast.unparse(node)[:80]!r} is given to a check.", why="It takes numbers, texts and lists of these."
        ) from problem


def _refusal(text: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{text[:200]!r} is no check.",
        why=why,
        fix="Write it as in a project's gate: sw.metric('auc') >= 0.7, sw.no_skew(), sw.approval('accountable', count=2).",
        field="checks",
    )
