"""A formula over a frame's rows, each as Python would reckon it.

Null where something is not known yet; NaN where Python would raise (a division by zero) or gives no finite number.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.schema.formulas import parsed

__all__ = ["reckon"]

_NO, _NOTHING = pl.lit(value=False), pl.lit(None)


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of a formula: its values, and in which rows it is broken."""

    values: pl.Expr
    sort: Literal["number", "truth", "text"]
    broken: pl.Expr

    @property
    def number(self) -> pl.Expr:
        return self.values.cast(pl.Float64)

    @property
    def truth(self) -> pl.Expr:
        return self.values if self.sort == "truth" else self.number != 0


def reckon(frame: pl.DataFrame, formula: str) -> pl.Series:
    """The formula's value of each row.

    Args:
        frame: With a column for each name in it.
        formula: As `formula_of` gives it.

    Returns:
        float64 of shape `(n_rows,)`: null where a column is null, NaN where a row gives no finite number.

    Raises:
        InvalidInput: A column is missing, or of a kind that the formula cannot use.
    """
    schema = frame.schema
    term = _term(parsed(formula), schema)
    if term.sort == "text":
        raise InvalidInput(f"{formula!r} gives a text.", why="A KPI is a number.", fix="Let the formula give a number.")
    value = term.number
    broken = term.broken | ~value.is_finite()
    found = frame.lazy().select(
        pl.when(broken.fill_null(value=False)).then(float("nan")).otherwise(value).cast(pl.Float64).alias("value")
    )
    column = found.collect()["value"]
    return (
        column.new_from_index(0, frame.height) if len(column) == 1 and frame.height > 1 else column.head(frame.height)
    )


def _term(node: ast.expr, schema: pl.Schema) -> _Term:
    match node:
        case ast.Constant(value=bool() as value):
            return _Term(pl.lit(value), "truth", _NO)
        case ast.Constant(value=str() as text):
            return _Term(pl.lit(text), "text", _NO)
        case ast.Constant(value=int() | float() as number):
            return _Term(pl.lit(float(number)), "number", _NO)
        case ast.Name(id=name):
            return _column(name, schema)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            term = _term(operand, schema)
            return _Term(~_no_text(term, node).truth, "truth", term.broken)
        case ast.UnaryOp(op=op, operand=operand):
            term = _no_text(_term(operand, schema), node)
            return _Term(-term.number if isinstance(op, ast.USub) else term.number, "number", term.broken)
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(node, op, _term(left, schema), _term(right, schema))
        case ast.BoolOp(op=op, values=values):
            terms = [_no_text(_term(one, schema), node) for one in values]
            return reduce(lambda one, other: _both(one, other, is_and=isinstance(op, ast.And)), terms)
        case ast.Compare():
            return _comparison(node, schema)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _choice(node, _term(test, schema), _term(body, schema), _term(other, schema))
        case ast.Call(func=ast.Name(id=name), args=args):
            terms = [_no_text(_term(one, schema), node) for one in args]
            if name == "abs":
                return _Term(terms[0].number.abs(), "number", terms[0].broken)
            return reduce(lambda one, other: _extreme(one, other, is_min=name == "min"), terms)
    raise InvalidInput(
        f"{ast.unparse(node)[:100]!r} cannot stand in a formula.", fix="Use arithmetic, comparisons, abs, min and max."
    )


def _column(name: str, schema: pl.Schema) -> _Term:
    if name not in schema:
        raise InvalidInput(f"There is no column {name!r}.", fix=near(name, schema.names(), what="columns"), field=name)
    dtype = schema[name]
    if dtype == pl.Boolean:
        return _Term(pl.col(name), "truth", _NO)
    if dtype.is_numeric():
        number = pl.col(name).cast(pl.Float64)
        return _Term(number, "number", ~number.is_finite())
    if dtype == pl.Null:
        return _Term(pl.col(name).cast(pl.Float64), "number", _NO)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _Term(pl.col(name).cast(pl.String), "text", _NO)
    raise InvalidInput(
        f"The column {name!r} holds {dtype} values.", why="A formula takes numbers, truth values and texts.", field=name
    )


def _no_text(term: _Term, node: ast.AST) -> _Term:
    if term.sort == "text":
        raise InvalidInput(
            f"{ast.unparse(node)[:100]!r} reckons with a text.", fix="Compare texts with == and in only."
        )
    return term


def _arithmetic(node: ast.expr, op: ast.operator, left: _Term, right: _Term) -> _Term:
    one, other = _no_text(left, node).number, _no_text(right, node).number
    broken = left.broken | right.broken
    match op:
        case ast.Add():
            return _Term(one + other, "number", broken)
        case ast.Sub():
            return _Term(one - other, "number", broken)
        case ast.Mult():
            return _Term(one * other, "number", broken)
        case ast.Div():
            return _Term(one / other, "number", broken | (other == 0).fill_null(value=False))
    power = one.pow(other)
    return _Term(power, "number", broken | (~power.is_finite()).fill_null(value=False))


def _both(one: _Term, other: _Term, *, is_and: bool) -> _Term:
    """Of a truth that the first one settles the second is never asked, so that it cannot break it."""
    goes_on = one.truth if is_and else ~one.truth
    values = (one.truth & other.truth) if is_and else (one.truth | other.truth)
    return _Term(values, "truth", one.broken | (goes_on.fill_null(value=False) & other.broken))


def _comparison(node: ast.Compare, schema: pl.Schema) -> _Term:
    left, found = _term(node.left, schema), None
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if isinstance(right_node, ast.Tuple | ast.List):
            each = [_compared(node, ast.Eq(), left, _term(one, schema)) for one in right_node.elts]
            one = reduce(lambda a, b: _both(a, b, is_and=False), each, _Term(_NO, "truth", left.broken))
            one = _Term(~one.values, "truth", one.broken) if isinstance(op, ast.NotIn) else one
            right = left
        else:
            right = _term(right_node, schema)
            one = _compared(node, op, left, right)
        found = one if found is None else _both(found, one, is_and=True)
        left = right
    assert found is not None  # a comparison has an operator
    return found


def _compared(node: ast.expr, op: ast.cmpop, left: _Term, right: _Term) -> _Term:
    are_texts = left.sort == right.sort == "text"
    if not are_texts and "text" in (left.sort, right.sort):
        raise InvalidInput(f"{ast.unparse(node)[:100]!r} compares a text with a number.", fix="Compare like with like.")
    one, other = (left.values, right.values) if are_texts else (left.number, right.number)
    values = {
        ast.Eq: one.__eq__, ast.NotEq: one.__ne__, ast.Lt: one.__lt__, ast.LtE: one.__le__, ast.Gt: one.__gt__, ast.GtE: one.__ge__,
    }[type(op)](other)  # fmt: skip
    return _Term(values, "truth", left.broken | right.broken)


def _choice(node: ast.expr, test: _Term, body: _Term, other: _Term) -> _Term:
    chosen = _no_text(test, node).truth
    if (body.sort == "text") != (other.sort == "text"):
        raise InvalidInput(f"{ast.unparse(node)[:100]!r} gives a text or a number.", fix="Let both sides give numbers.")
    is_text = body.sort == "text"
    one, two = (body.values, other.values) if is_text else (body.number, other.number)
    values = pl.when(chosen.is_null()).then(_NOTHING).when(chosen).then(one).otherwise(two)
    yes = chosen.fill_null(value=False)
    broken = test.broken | (yes & body.broken) | (~chosen.fill_null(value=True) & other.broken)
    return _Term(values, "text" if is_text else "number", broken)


def _extreme(one: _Term, other: _Term, *, is_min: bool) -> _Term:
    a, b = one.number, other.number
    first = a <= b if is_min else a >= b
    values = pl.when(a.is_null() | b.is_null()).then(_NOTHING).when(first).then(a).otherwise(b)
    return _Term(values.cast(pl.Float64), "number", one.broken | other.broken)
