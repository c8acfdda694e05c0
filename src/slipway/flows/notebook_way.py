"""The way of the rows through a notebook: from where they are loaded to what its model is asked with."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from slipway.code.cell_flow import Statement, free_names, gathered, root_name
from slipway.errors import InvalidInput
from slipway.flows.notebook_run import Kind, Ran

__all__ = ["Way", "find_way", "slice_of"]

_ROWS = ("frame", "series", "array")
_ASKS = ("predict_proba", "predict", "decision_function", "score")
_KEEPING = frozenset(
    [
        "filter",
        "drop_nulls",
        "dropna",
        "query",
        "head",
        "tail",
        "sample",
        "drop_duplicates",
        "unique",
        "limit",
        "slice",
        "sort",
        "sort_values",
        "with_columns",
        "select",
        "drop",
        "rename",
        "reset_index",
        "loc",
        "iloc",
        "copy",
        "merge",
        "join",
        "collect",
        "lazy",
        "to_numpy",
        "values",
        "train_test_split",
        "fillna",
        "fill_null",
    ]
)
_TABLES = frozenset(
    [
        "groupby",
        "group_by",
        "agg",
        "aggregate",
        "value_counts",
        "pivot_table",
        "pivot",
        "crosstab",
        "describe",
        "resample",
        "nunique",
    ]
)
_SELECTING = frozenset(["loc", "iloc", "sample", "head", "tail", "query", "filter", "drop"])


@dataclass(slots=True)
class Way:
    """How a row becomes what the model is asked with.

    Args:
        rows: The name that the loaded rows have.
        loading: The positions of the statements that load them and what stands beside them.
        path: The positions of the statements between, in order.
        same: Of a statement that takes rows apart: what each name stands for, for one row.
        known: Names that come from training, with the position of the statement that uses them first.
        definitions: The positions of functions that the path calls and that read data.
        result: What the model is asked with, as text.
        asked: The position of the statement that asks or fits the model.
        label: The truth that the model is fitted on, None where no cell says it.
        row_names: Every name that holds rows somewhere.
        lists: Of a statement that gathers frames in a list: the same with those that are the rows.
    """

    rows: str
    loading: list[int]
    path: list[int]
    same: dict[int, list[tuple[str, str]]]
    known: dict[str, int]
    definitions: list[int]
    result: ast.expr
    asked: int
    label: ast.expr | None = None
    row_names: set[str] = field(default_factory=set)
    lists: dict[int, str] = field(default_factory=dict)


def find_way(
    statements: Sequence[Statement], ran: Ran, plots: frozenset[int], module: Iterable[int], model: str
) -> Way:
    """Follow the rows backwards from the model.

    Raises:
        InvalidInput: Nothing shows what the model is asked with, or it does not come from rows that are loaded.
    """
    origins = _origins(statements, ran)
    asked, wanted, label = _asked(statements, ran, origins, plots, model)
    names = [name for name in _in_order(wanted) if name in origins[asked]]
    root = origins[asked][names[0]]
    way = Way("", [], [], {}, {}, [], wanted, asked, label)
    fixed = {name for position in module for name in statements[position].binds}
    _follow(way, statements, ran, plots, origins, root, fixed, set(names))
    for name in sorted(free_names(wanted) - set(names) - fixed):
        way.known.setdefault(name, asked)
    way.path.reverse()
    way.row_names = {name for held in origins for name in held}
    way.loading = sorted({root, *way.loading})
    return way


def _follow(
    way: Way,
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    origins: Sequence[dict[str, int]],
    root: int,
    fixed: set[str],
    needed: set[str],
) -> None:
    """Go backwards from the model to where the rows are loaded."""
    defined = {
        name: p for p, one in enumerate(statements) if isinstance(one.node, ast.FunctionDef) for name in one.binds
    }
    lists = {name: p for p, one in enumerate(statements[: way.asked]) for name in gathered(one.node)}
    for position in range(way.asked - 1, -1, -1):
        one = statements[position]
        touched = (one.binds | one.changes | _changed_by_call(one, ran)) & needed
        if position in plots or not touched:
            continue
        if position == root:
            way.rows = sorted(touched)[0]
            if len(touched) > 1:
                raise _unclear(one, f"loads {', '.join(sorted(touched))}", "the model is asked with both")
            return
        beside = set().union(*(gathered(statements[lists[name]].node)[name] for name in one.reads & lists.keys()))
        if _brings_rows(one, ran.kinds[position], origins[position], root, beside | lists.keys()):
            way.loading.append(position)
            continue
        way.path.append(position)
        parts = _same_rows(statements, position, ran.kinds[position], touched)
        if held := next(iter(gathered(one.node).items()), None):
            needed -= {held[0]}
            kept = [part.id for part in one.node.value.elts if part.id in needed]  # type: ignore[attr-defined]  # names
            way.lists[position] = f"{held[0]} = [{', '.join(kept)}]"
            continue
        if parts:
            way.same[position] = [(name, ast.unparse(source)) for name, source in parts]
            needed -= {name for name, _ in parts}
            reads = set().union(*(free_names(source) for _, source in parts))
        else:
            needed -= one.binds
            reads = {
                name for name in one.reads | one.keeps if name not in beside or origins[position].get(name) == root
            }
        for name in sorted(reads - fixed):
            is_list = name in lists and lists[name] < position
            is_filled = is_list or (
                name in one.changes and ran.kinds[position].get(name, Kind("code")).family == "other"
            )
            if origins[position].get(name) == root or is_filled:
                needed.add(name)  # rows, or a list or dictionary that the way itself fills
            elif name in defined and defined[name] < position:
                way.definitions.append(defined[name])
                way.known.update(dict.fromkeys(statements[defined[name]].reads - fixed, position))
            elif name in ran.kinds[position]:
                way.known[name] = position
    raise _unclear(
        statements[way.asked], f"asks the model with {', '.join(sorted(needed))}", "where that is loaded is not seen"
    )


def slice_of(
    statements: Sequence[Statement], ran: Ran, plots: frozenset[int], names: Iterable[str], before: int
) -> list[int]:
    """The positions of all statements that it takes to have some names as they are before a statement.

    Where one of them draws random numbers, those that drew before it are among them.
    """
    needed, found = set(names), list[int]()
    for position in range(before - 1, -1, -1):
        one = statements[position]
        if position in plots:
            continue
        seen = {name for other in statements if other.cell == one.cell for name in other.changes}
        touched = one.binds | one.changes | ((ran.changed.get(one.cell, frozenset()) - seen) & one.reads)
        if touched & needed or (ran.draws[position] and any(ran.draws[p] for p in found)):
            found.append(position)
            needed = (needed - (one.binds - one.keeps)) | one.reads
    return found[::-1]


def _origins(statements: Sequence[Statement], ran: Ran) -> list[dict[str, int]]:
    """Before each statement, and at the end: which names hold rows, and at which statement these were loaded."""
    found: list[dict[str, int]] = []
    now: dict[str, int] = {}
    for position, one in enumerate(statements):
        found.append(dict(now))
        before, after = ran.kinds[position], ran.kinds[position + 1]
        sources = [name for name in _in_order(one.node) if name in now and name in one.reads]
        for name in one.binds:
            kind = after.get(name, Kind("other"))
            is_import = isinstance(one.node, ast.Import | ast.ImportFrom)  # data that a package holds is no cell's yet
            made = None if is_import else _origin(one, position, kind, sources, now, before)
            if made is None:
                now.pop(name, None)
            else:
                now[name] = made
        for name in one.deletes:
            now.pop(name, None)
    found.append(dict(now))
    return found


def _origin(
    one: Statement, position: int, kind: Kind, sources: list[str], now: dict[str, int], before: dict[str, Kind]
) -> int | None:
    if kind.family not in _ROWS or kind.length < 2:
        return None
    if not sources:
        return position
    main = before[sources[0]]
    methods = _methods(getattr(one.node, "value", None))
    if "DataFrame" in methods[:1] and main.family == "array":
        return position
    if kind.length == main.length and (kind.labels == main.labels or kind.family == "array"):
        return now[sources[0]]
    if _TABLES & set(methods) or (kind.labels and kind.labels != main.labels):
        return None
    if (methods and methods[0] in _KEEPING) or isinstance(getattr(one.node, "value", None), ast.Subscript | ast.Tuple):
        return now[sources[0]]
    return None


def _methods(node: ast.AST | None) -> list[str]:
    """The methods of a chain, the last one first."""
    found = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Attribute):
            found.append(node.attr)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                found.append(node.func.id)
            node = node.func
        else:
            node = node.value
    return found


def _in_order(node: ast.AST) -> Iterator[str]:
    """Names that are read, as they stand in the code; of an assignment those on its right side first."""
    parts = [node.value, *node.targets] if isinstance(node, ast.Assign) else [node]
    for part in parts:
        for inner in ast.walk(part):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                yield inner.id


def _asked(
    statements: Sequence[Statement], ran: Ran, origins: Sequence[dict[str, int]], plots: frozenset[int], model: str
) -> tuple[int, ast.expr, ast.expr | None]:
    """Where the model is asked or fitted, with what, and the truth that it was fitted on."""
    asks: list[tuple[int, int, ast.expr]] = []
    fitted: set[int] = set()
    label: ast.expr | None = None
    for position, one in enumerate(statements):
        if position in plots or isinstance(one.node, ast.FunctionDef | ast.ClassDef):
            continue
        for call in ast.walk(one.node):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            method, own = call.func.attr, _belongs(call, one, model)
            if method not in (*_ASKS, "fit") or not any(name in origins[position] for name in free_names(call.args[0])):
                continue
            if method == "fit" and len(call.args) > 1:
                label = call.args[1] if own or label is None else label
            if method == "fit" and len(call.args) < 2:
                continue  # a transformer
            if method == "fit" and own:
                fitted |= {origins[position][name] for name in free_names(call.args[0]) if name in origins[position]}
            rank = (4 if method in _ASKS[:3] else 3 if method == "score" else 2) + (4 if own else 0)
            asks.append((rank, position, call.args[0]))
    if not asks:
        raise InvalidInput(
            f"Nothing in the notebook shows what the model {model!r} is asked with.",
            why="Neither its fit nor its predict stands in a cell by itself with rows that are loaded.",
            fix=f"Let a cell say {model}.fit(X, y) or {model}.predict(X), outside of functions.",
        )
    asks = [ask for ask in asks if not _some_rows(ask[2])] or asks
    known = {
        (p, expression): {origins[p][n] for n in free_names(expression) if n in origins[p]} for _, p, expression in asks
    }
    asks = [
        ask for ask in asks if not fitted or fitted & known[ask[1], ask[2]]
    ] or asks  # other rows than it learned from
    _, position, wanted = max(asks, key=lambda ask: ask[:2])
    return position, wanted, label


def _some_rows(node: ast.expr) -> bool:
    """Whether a few rows are asked for, to look at the answers: `X_test[:5]`, `X_test.head()`, `X.iloc[[3]]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr in ("iloc", "loc"):
        rows = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
        return not (isinstance(rows, ast.Slice) and rows.lower is None and rows.upper is None)
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice | ast.UnaryOp) or isinstance(getattr(node.slice, "value", None), int)
    return isinstance(node, ast.Call) and _methods(node)[:1] in (["head"], ["tail"], ["sample"], ["reshape"])


def _belongs(call: ast.Call, one: Statement, model: str) -> bool:
    is_assigned = isinstance(one.node, ast.Assign) and one.node.value is call and model in one.binds
    return root_name(call.func) == model or is_assigned


def _changed_by_call(one: Statement, ran: Ran) -> frozenset[str]:
    """What the cell changed though its syntax does not show it, if this statement may have done it."""
    return ran.changed.get(one.cell, frozenset()) & one.reads if isinstance(one.node, ast.Expr | ast.Assign) and any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) for inner in ast.walk(one.node)
    ) else frozenset()  # fmt: skip


def _brings_rows(one: Statement, kinds: dict[str, Kind], origins: dict[str, int], root: int, beside: set[str]) -> bool:
    """Whether a statement adds what lies beside the rows: `df["target"] = data.target`."""
    length = next((kinds[name].length for name in one.reads if origins.get(name) == root and name in kinds), 0)
    for name in one.reads - beside:  # of a list of frames each is changed by itself
        kind = kinds.get(name)
        if kind is None or origins.get(name) == root:
            continue
        if length in kind.holds or (kind.family in ("series", "array") and kind.length == length):
            return True
    return False


def _same_rows(
    statements: Sequence[Statement], position: int, kinds: dict[str, Kind], touched: frozenset[str]
) -> list[tuple[str, ast.expr]]:
    """For a statement that takes rows apart: each name that is needed of it, with the rows before."""
    one = statements[position]
    node = one.node
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return []
    target, value = node.targets[0], node.value
    if isinstance(value, ast.Call) and _methods(value)[:1] == ["train_test_split"] and isinstance(target, ast.Tuple):
        names = [part.id if isinstance(part, ast.Name) else "" for part in target.elts]
        pairs = [(name, value.args[i // 2]) for i, name in enumerate(names) if i // 2 < len(value.args)]
        return [(name, source) for name, source in pairs if name in touched]
    if isinstance(target, ast.Name) and (source := _selected_from(value)) and source != target.id:
        others = [
            other
            for other in statements
            if other is not one
            and isinstance(other.node, ast.Assign)
            and isinstance(other.node.targets[0], ast.Name)
            and other.node.targets[0].id != source
            and _selected_from(other.node.value) == source
            and not _plain_columns(other.node.value, kinds)
        ]
        if others and not _plain_columns(value, kinds):
            return [(target.id, ast.Name(source, ast.Load()))]
    return []


def _selected_from(value: ast.expr) -> str | None:
    """The name of the rows of which an expression takes some: `df[mask]`, `df.iloc[:100]`, `df.sample(frac=0.8)`."""
    while (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in ("copy", "reset_index")
    ):
        value = value.func.value
    if isinstance(value, ast.Subscript):
        inner = value.value
        if isinstance(inner, ast.Attribute) and inner.attr in _SELECTING:
            inner = inner.value
        return inner.id if isinstance(inner, ast.Name) else None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _SELECTING:
        if value.func.attr == "drop" and not any("index" in ast.unparse(arg) for arg in value.args):
            return None  # it drops columns
        return value.func.value.id if isinstance(value.func.value, ast.Name) else None
    return None


def _plain_columns(value: ast.expr, kinds: dict[str, Kind]) -> bool:
    """Whether columns are chosen, not rows: `df["x"]`, `df[["x", "y"]]`, `df[features]`."""
    if not isinstance(value, ast.Subscript) or not isinstance(value.value, ast.Name):
        return False
    chosen = value.slice
    if isinstance(chosen, ast.Name):
        return kinds.get(chosen.id, Kind("other")).family == "other"  # a list of names; a mask is a series or an array
    return isinstance(chosen, ast.Constant | ast.List) or (
        isinstance(chosen, ast.BinOp) and isinstance(chosen.op, ast.Add)
    )


def _unclear(one: Statement, does: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The rows cannot be followed: {one.place} {does}, and {why}.",
        why="What serves a request is made of the cells between loading and fitting.",
        fix="Load the rows into one frame, and make the model's input out of it in cells of their own.",
        field=f"cell {one.cell}",
    )
