"""Reading Polars and pandas frames as plain values, without importing either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from slipway.errors import InvalidInput, near
from slipway.records.schema import Field, FieldType
from slipway.schema.encoding import is_null

__all__ = ["column_names", "field_of", "is_frame", "plain_rows", "take"]

_PREFIXES: tuple[tuple[str, FieldType], ...] = (
    ("int", "int"), ("uint", "int"), ("float", "float"), ("decimal", "float"), ("bool", "bool"), ("null", "float"),
    ("cat", "category"), ("enum", "category"), ("str", "string"),
)  # fmt: skip


def is_frame(value: Any) -> bool:
    """Whether a value is a DataFrame of Polars or pandas."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.partition(".")[0] in ("polars", "pandas")


def column_names(frame: Any, names: Iterable[str]) -> tuple[str, ...]:
    """The names, all of which the frame has.

    Raises:
        InvalidInput: It lacks one.
    """
    known = [str(name) for name in frame.columns]
    wanted = tuple(names)
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"The frame has no column {name!r}.", fix=near(name, known, what="columns"), field=name)
    return wanted


def field_of(name: str, series: Any) -> Field:
    """A column's field, nullable when it holds a missing value.

    Categories are those of a pandas category or a Polars Enum in their own order, and of a Polars Categorical the
    values present, sorted. A column of Python objects is what its values are.

    Raises:
        InvalidInput: Its type is not a number, a boolean, a text or a category, or it mixes types.
    """
    dtype = str(series.dtype).lower()
    values = _values(series)
    nullable = any(is_null(value) for value in values)
    if dtype == "object":
        return Field(name, _type_of_values(name, values), nullable)
    for prefix, kind in _PREFIXES:
        if dtype.startswith(prefix):
            return Field(name, kind, nullable, _categories(series, values) if kind == "category" else ())
    raise InvalidInput(
        f"The column {name!r} is of type {series.dtype}.",
        why="A model's inputs are numbers, booleans, texts and categories.",
        fix="Derive a feature from it: the hour of an instant, the days since a date.",
        field=name,
    )


def take(frame: Any, positions: Sequence[int]) -> Any:
    """The rows at the given positions, as a frame of the same kind."""
    if type(frame).__module__.partition(".")[0] == "pandas":
        return frame.iloc[list(positions)]
    return frame[list(positions)]


def plain_rows(frame: Any, names: Sequence[str]) -> list[list[Any]]:
    """The frame's rows as plain Python values, missing ones as None, columns in the order of `names`."""
    columns = [[None if is_null(value) else _plain(value) for value in _values(frame[name])] for name in names]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(len(frame))]


def _values(series: Any) -> list[Any]:
    return list(series.to_list())


def _plain(value: Any) -> Any:
    # pandas' object columns may hold NumPy's scalars, and Polars' decimals are no plain numbers.
    if hasattr(value, "item"):
        return value.item()
    return float(value) if type(value).__name__ == "Decimal" else value


def _type_of_values(name: str, values: list[Any]) -> FieldType:
    kinds = {type(_plain(value)) for value in values if not is_null(value)}
    if kinds <= {str}:
        return "string"
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    if kinds <= {int, float}:
        return "float"
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidInput(
        f"The column {name!r} holds values of the types {shown}.",
        why="An input has one type.",
        fix=f"Convert it before training, for example `frame[{name!r}].astype(str)`.",
        field=name,
    )


def _categories(series: Any, values: list[Any]) -> tuple[str, ...]:
    declared = getattr(getattr(series, "cat", None), "categories", None)  # pandas
    if declared is None:
        declared = getattr(series.dtype, "categories", None)  # a Polars Enum
    if declared is None or str(series.dtype).lower().startswith("categorical"):
        return tuple(sorted({value for value in values if value is not None}))
    return tuple(str(value) for value in declared)
