"""Places in a notebook's code that look at other rows than the one at hand, and the same code with them taken from training.

Candidates are found by their names; what they gave when they ran says which of them really look across rows: a mean
along each row is a column, a mean of a column is one number.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from slipway.flows.notebook_run import kind_of
from slipway.models.known import Known

__all__ = ["CROSSING", "Site", "accepted", "crossing_in", "rewritten", "sites_in"]

_REDUCING = frozenset(
    [
        "mean",
        "median",
        "std",
        "var",
        "sum",
        "min",
        "max",
        "count",
        "nunique",
        "unique",
        "mode",
        "quantile",
        "value_counts",
        "idxmax",
        "idxmin",
        "agg",
        "aggregate",
        "skew",
        "kurt",
        "corr",
        "cov",
        "sem",
        "mad",
        "any",
        "all",
        "item",
        "to_dict",
        "percentile",
        "nanmean",
        "nanmedian",
        "nanstd",
        "nanmin",
        "nanmax",
        "nanpercentile",
        "average",
        "n_unique",
        "len",
    ]
)
_SELECTING = frozenset(
    ["drop_duplicates", "sort_values", "sample", "nlargest", "nsmallest", "sort_index", "unique", "sort"]
)
_FRAMES = frozenset(["with_columns", "filter", "select"])
CROSSING: Mapping[str, str] = {
    "shift": "takes the value of another row", "diff": "subtracts another row", "pct_change": "divides by another row",
    "rolling": "goes over rows before it", "expanding": "goes over all rows before it", "ewm": "goes over rows before it",
    "cumsum": "adds up the rows before it", "cumcount": "counts the rows before it", "cumprod": "multiplies rows before it",
    "cummax": "goes over the rows before it", "cummin": "goes over the rows before it", "cum_sum": "adds up the rows before it",
    "rank": "compares with all rows", "transform": "gives each row a figure of its group", "ffill": "takes the row before",
    "bfill": "takes the row after", "forward_fill": "takes the row before", "backward_fill": "takes the row after",
    "interpolate": "goes between other rows", "qcut": "takes its limits from all rows", "cut": "takes its limits from all rows",
    "factorize": "numbers the values as they come", "over": "gives each row a figure of its group",
    "duplicated": "compares with other rows", "rolling_mean": "goes over rows before it", "groupby": "groups rows",
    "group_by": "groups rows", "apply": "may look at other rows", "codes": "numbers the values that there are",
    "mean": "is taken over all rows", "merge": "joins other rows", "join": "joins other rows",
}  # fmt: skip
"""Operations that look at other rows, and what they do there."""
_OF_GROUPS = frozenset({"transform", "apply"})


class Site(NamedTuple):
    """One place.

    Attributes:
        name: "cell 3, line 2: df['age'].mean()".
        kind: How it is taken from training.
        node: Its syntax.
    """

    name: str
    kind: Literal["value", "fitted", "categories", "dummies", "selected", "expression"]
    node: ast.AST
    frame: str = ""


def sites_in(cell: int, node: ast.AST) -> list[Site]:
    """Candidates in a piece of code, outer before inner."""
    found: list[Site] = []
    _visit(cell, node, "", found)
    return found


def _visit(cell: int, node: ast.AST, frame: str, found: list[Site]) -> None:
    if isinstance(node, ast.Call):
        method = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = _named(cell, node)
        if method == "fit_transform" and receiver is not None and node.args:
            found.append(Site(name, "fitted", node))
        elif method == "get_dummies" and node.args:
            chosen: Any = node.args[0]
            chosen.columns_said = next((k.value for k in node.keywords if k.arg == "columns"), None)
            found.append(Site(name, "categories", chosen))
        elif method == "to_dummies" and receiver is not None:
            found.append(Site(name, "dummies", node))
        elif method == "astype" and [getattr(arg, "value", "") for arg in node.args] == ["category"]:
            found.append(Site(name, "categories", node))
        elif method in _SELECTING and receiver is not None and not frame and not _is_expression(receiver):
            found.append(Site(name, "selected", node))
        elif method in _REDUCING and (receiver is not None or method == "len"):
            is_expression = receiver is not None and _is_expression(receiver)
            if not is_expression:
                found.append(Site(name, "value", node))
            elif frame and "over" not in _chain(node):
                found.append(Site(name, "expression", node, frame))
        if method in _FRAMES and isinstance(receiver, ast.Name):
            _visit(cell, node.func, frame, found)
            for part in [*node.args, *node.keywords]:
                _visit(cell, part, receiver.id, found)
            return
    for child in ast.iter_child_nodes(node):
        over = isinstance(node, ast.Attribute) and node.attr == "over"
        _visit(cell, child, "" if over else frame, found)


def _is_expression(node: ast.AST) -> bool:
    """Whether a chain begins at `pl.col(...)`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.BinOp):
        if isinstance(node, ast.Attribute) and node.attr in ("col", "when") and isinstance(node.value, ast.Name):
            return True
        node = node.func if isinstance(node, ast.Call) else node.left if isinstance(node, ast.BinOp) else node.value
    return False


def _chain(node: ast.AST) -> list[str]:
    return [inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)]


def _named(cell: int, node: ast.AST) -> str:
    shown = ast.unparse(node)
    return f"cell {cell}, line {getattr(node, 'lineno', 1)}: {shown if len(shown) <= 70 else shown[:67] + '...'}"


def accepted(sites: Sequence[Site], learned: Known, lengths: set[int]) -> list[Site]:
    """The sites that look across rows, of nested ones the outermost.

    Args:
        sites: Candidates, outer before inner.
        learned: What each gave when the notebook ran.
        lengths: How many rows the frames on the way have.
    """
    found: list[Site] = []
    for site in sites:
        if any(_inside(site.node, other.node) for other in found if other.kind != "categories"):
            continue
        kept = learned.taken.get(site.name, [])
        if kept and all(_is_across(site, value, lengths) for value in kept):
            found.append(site)
    return found


def _is_across(site: Site, value: Any, lengths: set[int]) -> bool:
    if site.kind != "value":
        return True
    kind = kind_of(value)
    return not (kind.family in ("frame", "series", "array") and kind.length in lengths and not kind.labels)


def _inside(node: ast.AST, other: ast.AST) -> bool:
    return any(inner is node for inner in ast.walk(other))


def rewritten(source: str, node: ast.stmt | ast.expr, sites: Sequence[Site], known: str) -> str:
    """A piece of a cell with sites taken from what is known; every other character stays.

    Args:
        source: The cell.
        node: The piece.
        sites: What is replaced in it.
        known: The name of what is known.
    """
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def span(inner: Any) -> tuple[int, int]:
        ends = (inner.lineno, inner.col_offset), (inner.end_lineno, inner.end_col_offset)
        low, high = [starts[line - 1] + len(lines[line - 1].encode()[:column].decode()) for line, column in ends]
        return low, high

    decorators = getattr(node, "decorator_list", [])
    begin, end = starts[decorators[0].lineno - 1] if decorators else span(node)[0], span(node)[1]
    inserts: list[tuple[int, int, str]] = []
    for site in sites:
        inner: Any = site.node.func.value if site.kind == "fitted" else site.node  # type: ignore[attr-defined]
        low, high = span(inner)
        if not begin <= low < end:
            continue
        before, after = _around(source, site, known, span)
        inserts += [(low, low - high, before), (high, high - low, after)]
    text = source[begin:end]
    for where, _, insert in sorted(
        inserts, key=lambda one: (one[0], -one[1]) if one[1] < 0 else (one[0], -1e9), reverse=True
    ):
        text = text[: where - begin] + insert + text[where - begin :]
    return text


def _around(source: str, site: Site, known: str, span: Callable[[Any], tuple[int, int]]) -> tuple[str, str]:
    place, node = repr(site.name), site.node
    if site.kind == "value":
        return f"{known}.value({place}, lambda: ", ")"
    if site.kind == "expression":
        return f"{known}.expression({place}, {site.frame}, ", ")"
    if site.kind == "dummies":
        return f"{known}.dummies({place}, ", ")"
    if site.kind == "categories":
        return f"{known}.categories({place}, ", f"{_columns_said(source, node, span)})"
    if site.kind == "fitted":
        return f"{known}.fitted({place}, ", ")"
    low, high = span(node.func.value)  # type: ignore[attr-defined]  # a call of a method
    return f"{known}.selected({place}, {source[low:high]}, lambda: ", ")"


def _columns_said(source: str, node: Any, span: Callable[[Any], tuple[int, int]]) -> str:
    """The `columns=...` of the `get_dummies` around an argument, as it is written there."""
    chosen = getattr(node, "columns_said", None)
    if chosen is None:
        return ""
    low, high = span(chosen)
    return f", {source[low:high]}"


def crossing_in(node: ast.AST) -> list[tuple[int, str, str]]:
    """Operations in a statement that look at other rows: line, name and what they do, the strongest first."""
    found = []
    called = {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    for inner in ast.walk(node):
        name = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""
        if name in CROSSING and (name not in _OF_GROUPS or called & {"groupby", "group_by"}):
            found.append((getattr(inner, "end_lineno", 1) or 1, name, CROSSING[name]))
    order = list(CROSSING)
    return sorted(found, key=lambda one: order.index(one[1]))
