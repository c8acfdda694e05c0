"""The window that does for training and requests alike what a cell does across rows, with the notebook's own names."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from slipway.code.cell_flow import Statement, root_name
from slipway.flows.notebook_prepare import Preparing

__all__ = ["proposed_window"]

_GROUPS = ("groupby", "group_by", "over")
_OF_EARLIER = ("shift", "diff", "ffill", "forward_fill", "pct_change")
_ACROSS = (
    "rolling",
    "expanding",
    "ewm",
    "groupby",
    "group_by",
    "transform",
    "over",
    "rolling_mean",
    "cumsum",
    "cum_sum",
)
_FIGURES = ("mean", "sum", "count", "min", "max", "size")
_UNITS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_TRIED = 2000


def proposed_window(statements: Sequence[Statement], made: Preparing, node: ast.AST, name: str, column: str) -> str:
    """What to do about a statement that looks at other rows, as a sentence; the declaration has all names that are known.

    Args:
        statements: All statements.
        made: The way of the rows, and the loaded ones.
        node: The statement.
        name: The operation: "shift", "transform".
        column: The column that it makes.
    """
    if name not in (*_OF_EARLIER, *_ACROSS, "cumcount", "duplicated"):
        return "Compute it from one row, or from figures of training rows that are assigned to a name first."
    time = _time_column(statements, made)
    keys = _keys(node)
    values = [text for text in _read_columns(node) if text not in keys]
    value = values[0] if values else "COLUMN"
    if not time and (table := _table_by_key(node, name, keys, values, column)):
        return table
    width = _width(made.raw, time, keys, node)
    feature = column if column.isidentifier() else "NAME"
    if name in _OF_EARLIER:
        aggregate = f'sw.last("{value}", "{width}")'
    elif name in ("cumcount", "duplicated"):
        aggregate = f'sw.count("{width}")'
    else:
        called = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr in _FIGURES]
        texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in _FIGURES]
        figure = next(iter([*texts, *called]), "sum" if name in ("cumsum", "cum_sum") else "mean")
        aggregate = f'sw.count("{width}")' if figure in ("count", "size") else f'sw.{figure}("{value}", "{width}")'
    by = f"[{', '.join(repr(key) for key in keys)}]" if keys else "[KEY]"
    table = _table(statements, made)
    told = (
        "Declare a window, which is computed alike for training and requests, and leave the column out of the cell: "
        f'sw.windows("{table}", time="{time or "TIME"}", by={by}, {feature}={aggregate}).'
    )
    open_names = [
        word for word in ("TIME", "KEY", "COLUMN", "NAME", "TABLE", "WIDTH") if re.search(rf"\b{word}\b", told)
    ]
    if open_names:
        return f"{told} The notebook does not say what {' and '.join(open_names)} {'is' if len(open_names) == 1 else 'are'}."
    return (
        f"{told} Rows count from {time} on: name the column of the time at which they were known, where that is later."
    )


def _table_by_key(node: ast.AST, name: str, keys: Sequence[str], values: Sequence[str], column: str) -> str:
    """For `df.groupby("k")["v"].transform("mean")` of rows without a time: a table that training gives, "" where it is none."""
    texts = [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in (*_FIGURES, "median", "std")
    ]
    frame = next(
        (root_name(part) for part in ast.walk(node) if isinstance(part, ast.Attribute) and part.attr == "groupby"), None
    )
    if name != "transform" or len(keys) != 1 or not values or not texts or frame is None or not column.isidentifier():
        return ""
    return (
        f"Take a table by key from training: {column}_by = {frame}.groupby({keys[0]!r})[{values[0]!r}].{texts[0]}(), then "
        f"{frame}[{column!r}] = {frame}[{keys[0]!r}].map({column}_by). Each row gets the same value, and a request does too."
    )


def _table(statements: Sequence[Statement], made: Preparing) -> str:
    """The loaded file's or data set's name."""
    for position in made.way.loading:
        one = statements[position]
        for inner in ast.walk(one.node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and Path(inner.value).suffix:
                return re.sub(r"\W+", "_", Path(inner.value).stem).strip("_").lower() or "TABLE"
        names = [name for name in sorted(one.reads) if name not in ("pd", "np", "pl")]
        if names:
            return names[0]
    return "TABLE"


def _time_column(statements: Sequence[Statement], made: Preparing) -> str:
    """The column of the rows' time: of instants, or one that the notebook makes into them or sorts by; "" for none."""
    raw = made.raw
    if not hasattr(raw, "columns"):
        return ""
    columns = [str(name) for name in raw.columns]
    for name in columns:
        if str(raw[name].dtype).lower().startswith("date"):
            return name
    for called in (("to_datetime", "strptime", "parse_dates"), ("sort_values", "sort")):
        for one in statements[: made.way.asked]:
            for inner in ast.walk(one.node):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func).split(".")[-1] in called:
                    texts = [part.value for part in ast.walk(inner) if isinstance(part, ast.Constant)]
                    found = [text for text in texts if text in columns and _seconds(raw, str(text)) is not None]
                    if found:
                        return str(found[-1])
    return ""


def _seconds(raw: Any, name: str) -> Any:
    """A column of instants or of texts that say them as seconds, None where it is no such column."""
    pandas = sys.modules.get("pandas")
    values = raw[name].to_list()[:_TRIED] if name in raw.columns else []
    if pandas is None or not values or not all(isinstance(value, str) or hasattr(value, "year") for value in values):
        return None
    try:
        found = pandas.to_datetime(values, utc=True).to_numpy().astype("M8[s]").astype(np.int64)
    except (ValueError, TypeError):  # texts of another kind
        return None
    return found


def _keys(node: ast.AST) -> list[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _GROUPS:
            return [part.value for arg in call.args for part in ast.walk(arg) if isinstance(part, ast.Constant) and isinstance(part.value, str)]  # fmt: skip
    return []


def _read_columns(node: ast.AST) -> list[str]:
    subscripts = [
        part.slice.value
        for part in ast.walk(node)
        if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant) and isinstance(part.ctx, ast.Load)
    ]
    named = [
        call.args[0].value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "col"
        and call.args and isinstance(call.args[0], ast.Constant)
    ]  # fmt: skip
    return [str(text) for text in [*subscripts, *named] if isinstance(text, str)]


def _width(raw: Any, time: str, keys: Sequence[str], node: ast.AST) -> str:
    """How far back the rows lie at which the statement looks: `rolling("7D")`, or a count of rows as they follow in time."""
    rows = 1
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] in ("shift", "diff", "rolling"):
            first = next(iter([*call.args, *(k.value for k in call.keywords if k.arg in ("window", "periods"))]), None)
            if isinstance(first, ast.Constant) and isinstance(first.value, int):
                rows = max(rows, abs(first.value))
            elif isinstance(first, ast.Constant) and re.fullmatch(r"\d+(?:min|[smhdwDHW])", str(first.value)):
                return str(first.value).lower().replace("min", "m")
    seconds = _seconds(raw, time) if time else None
    if seconds is None:
        return "WIDTH"
    groups: dict[tuple[Any, ...], list[int]] = {}
    columns = [raw[key].to_list()[: len(seconds)] for key in keys if key in raw.columns]
    for at, key in zip(seconds.tolist(), zip(*columns, strict=True) if columns else [()] * len(seconds), strict=True):
        groups.setdefault(key, []).append(at)
    gaps = np.concatenate([np.diff(sorted(found)) for found in groups.values()])
    gaps = gaps[gaps > 0]
    if not gaps.size:
        return "WIDTH"
    wanted = timedelta(seconds=float(np.median(gaps)) * rows).total_seconds()
    unit, size = next((unit, size) for unit, size in _UNITS if wanted >= size or unit == "s")
    return f"{math.ceil(wanted / size)}{unit}"
