"""What no request can have: figures made of the truth of other rows."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from slipway.code.cell_flow import Statement
from slipway.errors import InvalidInput
from slipway.flows.notebook_prepare import Preparing

__all__ = ["label_columns", "refuse_leaks"]


def refuse_leaks(statements: Sequence[Statement], made: Preparing) -> None:
    """Refuse figures over the truth of all rows, those on which the model is judged among them.

    Raises:
        InvalidInput: Cell, line and column are named.
    """
    labels = label_columns(statements, made)
    if not labels:
        return
    columns = _columns(made.raw, statements)
    apart = min((position for position in made.way.same), default=len(statements))
    looked: list[tuple[int, ast.AST]] = [
        (position, site.node)
        for position, sites in made.sites.items()
        for site in sites
        if 0 <= position < apart
        and site.kind in ("value", "fitted", "expression")  # which rows and which values there are is no figure
    ]
    for name in made.states:
        for position in range(min(made.way.known[name], apart)):
            one = statements[position]
            if name in one.binds and isinstance(one.node, ast.Assign):
                looked.append((position, one.node.value))
    crossing = [(p, statements[p].node) for p in made.way.path if p < apart and _groups(statements[p].node)]
    for position, node in sorted([*looked, *crossing], key=lambda one: one[0]):
        for column in sorted(_texts(node) & labels & columns):
            one = statements[position]
            line = next(
                (i.lineno for i in ast.walk(node) if isinstance(i, ast.Constant) and i.value == column), one.first
            )
            raise InvalidInput(
                f"Cell {one.cell}, line {line}, column {column!r}: {_shown(node)} is made of the truth of other rows.",
                why="It holds what is to be predicted, of the very rows on which the model is judged too: the notebook's figures "
                "are better than any request's can be.",
                fix=f"Compute it from training rows alone, after they were taken apart, or leave {column!r} out; for what was "
                "known at the time, declare a window: sw.windows(...).",
                field=f"cell {one.cell}: {column}",
            )


def label_columns(statements: Sequence[Statement], made: Preparing) -> set[str]:
    """The columns from which the truth is made."""
    label = made.way.label
    if label is None:
        return set()
    columns = _columns(made.raw, statements)
    names, found = _names(label) - _frames(label, columns), _texts(label) & columns
    for position in range(made.way.asked, -1, -1):
        one = statements[position]
        if not isinstance(one.node, ast.Assign):
            continue
        target, value = one.node.targets[0], one.node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
            bound = [part.id if isinstance(part, ast.Name) else "" for part in target.elts]
            given = [value.args[i // 2] for i, name in enumerate(bound) if name in names and i // 2 < len(value.args)]
            names |= {part.id for part in given if isinstance(part, ast.Name)}
            found |= set().union(*(_texts(part) for part in given if not isinstance(part, ast.Name)))
        elif isinstance(target, ast.Name) and target.id in names:
            found |= _texts(value)
            names |= _names(value) - {made.way.rows} - _frames(value, columns)
        elif (
            isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) and target.slice.value in found
        ):
            found |= _texts(value)
        elif isinstance(target, ast.Name) and _made_by_polars(value) & found:
            found |= _texts_beside(value, found)
    return found


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _frames(node: ast.AST, columns: set[str]) -> set[str]:
    """The names of which a column is taken: `df["late"]`, `df.late`."""
    return {
        i.value.id
        for i in ast.walk(node)
        if isinstance(i, ast.Subscript | ast.Attribute)
        and isinstance(i.value, ast.Name)
        and (isinstance(i, ast.Subscript) or i.attr in columns)
    }


def _texts(node: ast.AST) -> set[str]:
    found = {
        inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    }
    return found | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _made_by_polars(node: ast.AST) -> set[str]:
    """The columns that `with_columns(late=...)` or `.alias("late")` make."""
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if inner.func.attr == "with_columns":
                found |= {k.arg for k in inner.keywords if k.arg}
            elif inner.func.attr == "alias" and inner.args and isinstance(inner.args[0], ast.Constant):
                found.add(str(inner.args[0].value))
    return found


def _texts_beside(node: ast.AST, found: set[str]) -> set[str]:
    """The columns of which `with_columns(late=...)` makes the truth."""
    return {
        text
        for inner in ast.walk(node)
        if isinstance(inner, ast.keyword) and inner.arg in found
        for text in _texts(inner.value)
    }


def _groups(node: ast.AST) -> bool:
    """Whether a figure of a group, the row itself among it, is given to each row; earlier rows are no such group."""
    called = {i.attr for i in ast.walk(node) if isinstance(i, ast.Attribute)}
    return bool(called & {"over", "transform"}) and not called & {
        "shift",
        "rolling",
        "expanding",
        "diff",
        "cumsum",
        "cum_sum",
    }


def _columns(raw: Any, statements: Sequence[Statement]) -> set[str]:
    """Names of columns: those that are loaded, and those that a cell makes."""
    found = {str(name) for name in getattr(raw, "columns", ())}
    for one in statements:
        for inner in ast.walk(one.node):
            if (
                isinstance(inner, ast.Subscript)
                and isinstance(inner.ctx, ast.Store)
                and isinstance(inner.slice, ast.Constant)
            ):
                found.add(str(inner.slice.value))
        found |= _made_by_polars(one.node)
    return found


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 90 else text[:87] + "..."
