"""Formulas: arithmetic over named columns, written as Python and kept as text, so that a server reckons without the code.

A formula is one expression: numbers, texts, column names, `+ - * / **`, comparisons, `and`, `or`, `not`, `a if c else b`,
`abs`, `min`, `max`. A function of a project becomes one where its body is assignments and a `return` of these.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from slipway.errors import InvalidDeclaration, InvalidInput, near

__all__ = ["CALLS", "columns_of", "formula_of", "parsed"]

CALLS = ("abs", "max", "min")
_LONGEST = 4000
_DEEPEST = 60
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or)
_COMPARED = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
_WHY = "A server reckons it without the project's code, so it is plain arithmetic over columns."
_FIX = "Use + - * / **, comparisons, and, or, not, `a if c else b`, abs, min and max: 'price * label / seats'."


def formula_of(given: str | Callable[..., Any]) -> str:
    """The text of a formula, in its normal form.

    Args:
        given: A text, or a function whose arguments are the columns' names and whose body is assignments and a `return`.

    Raises:
        InvalidDeclaration: It is neither, or it uses more than arithmetic over columns.

    Example:
        >>> formula_of("price*label /seats")
        'price * label / seats'
    """
    if isinstance(given, str):
        node = _read(given)
    elif inspect.isfunction(given):
        node = _of_function(given)
    else:
        raise InvalidDeclaration(f"{given!r} is no formula of a KPI.", why=_WHY, fix=_FIX)
    try:
        _check(node, 0)
    except InvalidInput as problem:
        raise InvalidDeclaration(problem.what, why=problem.why, fix=problem.fix) from problem
    text = ast.unparse(node)
    if len(text) > _LONGEST:
        raise InvalidDeclaration(
            f"The formula has {len(text):,} characters.", why=f"At most {_LONGEST:,} can be read.", fix="Simplify it."
        )
    return text


def parsed(formula: str) -> ast.expr:
    """A stored formula as a tree that holds nothing but what a formula may.

    Raises:
        InvalidInput: It is no formula.
    """
    try:
        node = ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise InvalidInput(f"{formula[:200]!r} is no formula.", why=_WHY, fix=_FIX) from problem
    _check(node, 0)
    return node


def columns_of(formula: str) -> tuple[str, ...]:
    """The names of the columns in a formula, in the order in which they stand there.

    Raises:
        InvalidInput: It is no formula.
    """
    names = [
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(parsed(formula))
        if isinstance(node, ast.Name) and node.id not in CALLS
    ]
    return tuple(dict.fromkeys(name for _, _, name in sorted(names)))


def _read(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise InvalidDeclaration(f"{text[:200]!r} is no formula of a KPI.", why=_WHY, fix=_FIX) from problem


def _of_function(function: Callable[..., Any]) -> ast.expr:
    name = function.__name__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError) as problem:
        raise InvalidDeclaration(
            f"The source of {name} cannot be read.",
            why=_WHY,
            fix="Give the formula as a text: 'price * label / seats'.",
        ) from problem
    body = tree.body[0] if tree.body else None
    if not isinstance(body, ast.FunctionDef) or name == "<lambda>":
        raise InvalidDeclaration(f"{name} is no formula of a KPI.", why=_WHY, fix="Write it as a `def`, or as a text.")
    known: dict[str, ast.expr] = {
        one.arg: ast.Name(one.arg, ast.Load()) for one in body.args.args + body.args.kwonlyargs
    }
    constants = inspect.getclosurevars(function)
    outer = {**constants.globals, **constants.nonlocals}
    for statement in body.body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                known[target] = _Inlined(known, outer, name).visit(value)
            case ast.Return(value=ast.expr() as value):
                found: ast.expr = _Inlined(known, outer, name).visit(value)
                return found
            case _:
                raise InvalidDeclaration(
                    f"{name} has a statement that no formula can have: {ast.unparse(statement)[:100]!r}.",
                    why=_WHY,
                    fix="Let it assign and return only; for cases write `a if c else b`.",
                )
    raise InvalidDeclaration(f"{name} returns nothing.", why=_WHY, fix="Return what one prediction yields.")


class _Inlined(ast.NodeTransformer):
    """Puts what a name was assigned in the name's place, and the value of a constant of the module."""

    def __init__(self, known: Mapping[str, ast.expr], outer: Mapping[str, Any], function: str) -> None:
        self._known, self._outer, self._function = known, outer, function

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._known:
            return self._known[node.id]
        value = self._outer.get(node.id)
        if isinstance(value, int | float | str):
            return ast.Constant(value)
        if node.id in CALLS:
            return node
        raise InvalidDeclaration(
            f"{self._function} uses {node.id!r}, which is neither one of its arguments nor a number.",
            why=_WHY,
            fix=near(node.id, [*self._known, *CALLS], what="names"),
        )


def _check(node: ast.AST, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidInput(
            "The formula is nested too deep.", why=f"At most {_DEEPEST} levels are read.", fix="Simplify it."
        )
    match node:
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
            return
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.BoolOp(op=op) if isinstance(op, _OPERATORS):
            inside = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
        case ast.Compare(ops=ops, left=left, comparators=others) if all(isinstance(one, _COMPARED) for one in ops):
            for compared, other in zip(ops, others, strict=True):
                is_list = isinstance(other, ast.Tuple | ast.List)
                if isinstance(compared, ast.In | ast.NotIn) != is_list:
                    raise _unknown(node)
            inside = [
                left,
                *(part for one in others for part in (one.elts if isinstance(one, ast.Tuple | ast.List) else [one])),
            ]
        case ast.IfExp():
            inside = [node.test, node.body, node.orelse]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in CALLS and len(args) == (
            1 if name == "abs" else max(2, len(args))
        ):
            inside = list(args)
        case _:
            raise _unknown(node)
    for one in inside:
        _check(one, depth + 1)


def _unknown(node: ast.AST) -> InvalidInput:
    return InvalidInput(f"{ast.unparse(node)[:100]!r} cannot stand in a formula.", why=_WHY, fix=_FIX)
