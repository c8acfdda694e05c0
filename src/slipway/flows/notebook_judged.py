"""What a notebook held out of training: on what its model is evaluated, and a first limit for its gate."""

from __future__ import annotations

import ast
import copy
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from slipway.code.cell_flow import Statement, free_names
from slipway.flows.notebook_leaks import label_columns
from slipway.flows.notebook_prepare import Preparing
from slipway.flows.notebook_run import Ran, kind_of
from slipway.models.prepared import row_tuples, rows_in
from slipway.stats.metrics import estimate

__all__ = ["Judged", "find_judged", "told"]

_ASKS = ("predict_proba", "predict", "decision_function", "score")
_MEASURES = re.compile(r"(_score|_error|_report|_matrix|_loss|_curve)$")
_LEAST = 10


class Judged(NamedTuple):
    """What a notebook held out of training.

    Attributes:
        asked: What the model is asked with for it, as text.
        truth: Its truth, as text.
        names: The notebook's names in both.
        label: The name of the column of the truth.
        rows: How many rows it has.
        metric: The figure that the gate looks at.
        value: What the notebook's own model comes to.
        op: How the gate compares.
        limit: With what.
        why: Where the limit comes from, in words.
    """

    asked: str
    truth: str
    names: tuple[str, ...]
    label: str
    rows: int
    metric: str
    value: float
    op: Literal[">=", "<="]
    limit: float
    why: str


def find_judged(
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    module: Iterable[int],
    made: Preparing,
    model: str,
) -> Judged | None:
    """Find rows that the model was asked with and not fitted on, with their truth; None where no cell shows both."""
    shown = [
        (position, one)
        for position, one in enumerate(statements)
        if position not in plots and not isinstance(one.node, ast.FunctionDef | ast.ClassDef)
    ]
    fits = [(p, call) for p, call in _calls(shown, ("fit",)) if len(call.args) > 1]
    trained = {ast.unparse(call.args[0]) for _, call in fits}
    known = {name for position in module for name in statements[position].binds}
    possible = set(row_tuples(made.whole))
    for position, asked, truth in _candidates(statements, shown, fits, ran):
        names = sorted((free_names(asked) | free_names(truth)) - known)
        after = {name for one in statements[position + 1 :] for name in one.binds | one.changes}
        if ast.unparse(asked) in trained or after & set(names) or not set(names) <= ran.namespace.keys():
            continue
        values = _values(asked, truth, ran.namespace)
        if values is None or not set(row_tuples(values[0])) <= possible:
            continue
        figure = _figure(ran.namespace[model], *values)
        if figure is None:
            continue
        labels = label_columns(statements, made) - set(made.columns)
        label = next(iter(labels)) if len(labels) == 1 else "truth"
        label = label if '"' not in label and "\\" not in label else "truth"
        return Judged(ast.unparse(asked), ast.unparse(truth), tuple(names), label, rows_in(values[0]), *figure)
    return None


def told(judged: Judged | None) -> str:
    """What is evaluated, in words."""
    if judged is None:
        return (
            "nothing is evaluated, and the endpoint has no gate of its own: no cell asks the model with rows that it was not "
            "fitted on, beside their truth"
        )
    return (
        f"evaluated on the {judged.rows:,} rows that the notebook held out ({judged.asked}): {judged.metric} "
        f"{judged.value:.4g}; the gate asks for {judged.op} {judged.limit:g}"
    )


def _calls(shown: Sequence[tuple[int, Statement]], methods: Sequence[str]) -> Iterator[tuple[int, ast.Call]]:
    for position, one in shown:
        for call in ast.walk(one.node):
            is_method = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            if is_method and call.func.attr in methods and call.args:  # type: ignore[attr-defined]  # it is a method's call
                yield position, call  # type: ignore[misc]


def _candidates(
    statements: Sequence[Statement],
    shown: Sequence[tuple[int, Statement]],
    fits: Sequence[tuple[int, ast.Call]],
    ran: Ran,
) -> Iterator[tuple[int, ast.expr, ast.expr]]:
    """Position, rows and truth, the surest first: both in one call, then the counterparts of what was fitted."""
    asks = list(_calls(shown, _ASKS))[::-1]
    for position, call in asks:
        if len(call.args) > 1:
            yield position, call.args[0], call.args[1]
    apart = _taken_apart(statements)
    others = [_Renamed(apart).visit(copy.deepcopy(call.args[1])) for _, call in fits[::-1]]
    truths = [(p, truth) for (p, _), truth in zip(fits[::-1], others, strict=True)]
    truths += [
        (position, call.args[0])
        for position, one in shown[::-1]
        for call in ast.walk(one.node)
        if isinstance(call, ast.Call) and call.args and _MEASURES.search(ast.unparse(call.func))
    ]
    for position, call in asks:
        for later, truth in truths:
            yield max(position, later), call.args[0], truth
    for (position, call), truth in zip(fits[::-1], others, strict=True):
        yield position, _Renamed(apart).visit(copy.deepcopy(call.args[0])), truth


class _Renamed(ast.NodeTransformer):
    """An expression with other names."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)


def _taken_apart(statements: Sequence[Statement]) -> dict[str, str]:
    """Of what was split, each name with the one that holds the other rows: X_train is to X_test as y_train to y_test."""
    found: dict[str, str] = {}
    chosen: dict[str, list[str]] = {}
    for one in statements:
        node = one.node
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and "train_test_split" in ast.unparse(value):
            names = [part.id if isinstance(part, ast.Name) else "" for part in target.elts]
            found.update(zip(names[::2], names[1::2], strict=False))
        elif isinstance(target, ast.Name) and not isinstance(value, ast.Name | ast.Constant):
            for name in free_names(value):
                chosen.setdefault(name, []).append(target.id)
    for names in chosen.values():
        for name in names:
            other = re.sub("train", "test", name)
            if other != name and other in names:
                found.setdefault(name, other)
    return found


def _values(asked: ast.expr, truth: ast.expr, namespace: dict[str, Any]) -> tuple[Any, Any] | None:
    """The rows and their truth as they were, None where they are no such two."""
    try:
        rows = eval(ast.unparse(asked), dict(namespace))
        values = eval(ast.unparse(truth), dict(namespace))
    except Exception:  # an expression out of another place: it is no candidate
        return None
    if kind_of(rows).family not in ("frame", "array") or kind_of(values).family not in ("series", "array"):
        return None
    if rows_in(rows) != rows_in(values) or rows_in(rows) < _LEAST or np.asarray(values).size != rows_in(rows):
        return None
    return rows, values


def _figure(model: Any, rows: Any, truth: Any) -> tuple[str, float, Literal[">=", "<="], float, str] | None:
    """What the notebook's model comes to on the rows, with a limit that it passes."""
    values = np.asarray(truth).ravel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            classes = getattr(model, "classes_", None)
            if classes is None:
                value = estimate(
                    "mae", values.astype(float), np.asarray(model.predict(rows), dtype=float).ravel()
                ).value
            else:
                scores = np.asarray(model.predict_proba(rows), dtype=float)[:, 1]
                value = estimate("auc", (values == classes[1]).astype(float), scores).value
        except (ValueError, TypeError, AttributeError):
            return None
    if not math.isfinite(value):
        return None
    if classes is None:
        size = 10 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
        limit = float(f"{math.ceil(1.25 * value / size) * size:.6g}")
        return "mae", value, "<=", limit, f"a quarter above what the notebook's model comes to ({value:.4g})"
    limit = math.floor(min((0.5 + value) / 2, value) * 100) / 100
    return "auc", value, ">=", limit, f"halfway from guessing to what the notebook's model comes to ({value:.4g})"
