"""Rows of a log as Parquet with flat, typed columns, and back.

Spark reads no unsigned numbers and no nanoseconds, so there are none: 64-bit numbers, microseconds in UTC, text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import polars as pl

from slipway.errors import Corrupt, InvalidInput
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, PushedRow, ShadowRow
from slipway.records.schema import FieldType
from slipway.tables.log_layouts import Columns
from slipway.tables.log_merged import MERGED, Merged

__all__ = [
    "FRAME",
    "KINDS",
    "OWN",
    "SEGMENT",
    "TIME",
    "as_rows",
    "as_table",
    "columns_in",
    "to_write",
    "with_double",
    "without_double",
]

T = TypeVar("T")
KINDS: Mapping[str, type[Any]] = {
    "predictions": PredictionRow,
    "labels": LabelRow,
    "shadows": ShadowRow,
    "failures": FailureRow,
    "events": PushedRow,
}
TIME = {"predictions": "at", "labels": "observed_at", "shadows": "at", "failures": "at", "events": "received_at"}
"""By which column rows are put into days: business time, and the machine's where a row has no other."""

SEGMENT, FRAME = "log_segment", "log_frame"
"""From which segment a row came, and where its frame began there."""

_INSTANT = pl.Datetime("us", "UTC")
_TYPES: Mapping[Any, pl.DataType] = {str: pl.String(), int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean()}
_FIELD_TYPES: Mapping[FieldType, pl.DataType] = {
    "bool": pl.Boolean(), "int": pl.Int64(), "float": pl.Float64(), "string": pl.String(), "category": pl.String(),
    "datetime": _INSTANT, "date": pl.Date(), "duration": pl.Duration("us"), "object": pl.String(),
}  # fmt: skip
_PYTHON: Mapping[FieldType, Any] = {"datetime": datetime, "date": date, "duration": timedelta}
_DYNAMIC = ("request", "features")
_KEY = "slipway.columns"
_encode_json = msgspec.json.Encoder().encode


def _is_instant(name: str) -> bool:
    return name.endswith("_us") and name != "took_us"  # how long something took is a number


def _column(name: str) -> str:
    """Instants lose the unit in their name: their type says it."""
    if name == "at_us":
        return "at"
    return f"{name.removesuffix('_us')}_at" if _is_instant(name) else name


def _schema(kind: str) -> dict[str, pl.DataType]:
    hints = get_type_hints(KINDS[kind])
    found: dict[str, pl.DataType] = {}
    for name in KINDS[kind].__struct_fields__:
        if name not in _DYNAMIC:
            plain = next((dtype for kind, dtype in _TYPES.items() if kind in (hints[name], *_parts(hints[name]))), None)
            found[_column(name)] = _INSTANT if _is_instant(name) else plain or pl.String()
    return found


def _parts(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__args__", ())


_SCHEMAS = {kind: _schema(kind) for kind in KINDS}
OWN = (*_SCHEMAS["predictions"], SEGMENT, FRAME, "log_day", "label", "labelled_at")
"""Columns of predictions that no field of a request and no input of a model is called."""


def as_table(
    kind: str, rows: Sequence[Any], places: Sequence[tuple[str, int]], columns: Columns | None = None
) -> pl.DataFrame:
    """Rows of one kind, and of one layout, as flat columns.

    Args:
        kind: Which.
        rows: Of the kind's struct.
        places: From which segment each came, and where its frame began.
        columns: For predictions: where their values go.

    Raises:
        InvalidInput: A row does not fit its layout.
    """
    made = []
    for name in KINDS[kind].__struct_fields__:
        if name in _DYNAMIC:
            continue
        values = [getattr(row, name) for row in rows]
        dtype = _SCHEMAS[kind][_column(name)]
        if name == "row":
            made.append(pl.Series("row", [_encode_json(value).decode() for value in values], pl.String))
        elif dtype == _INSTANT:
            made.append(pl.Series(_column(name), values, pl.Int64).cast(_INSTANT))
        else:
            made.append(pl.Series(_column(name), values, dtype))
    if columns is not None:
        made += _values(rows, columns)
    made.append(pl.Series(SEGMENT, [place[0] for place in places], pl.String))
    made.append(pl.Series(FRAME, [place[1] for place in places], pl.Int64))
    return pl.DataFrame(made)


def _values(rows: Sequence[PredictionRow], columns: Columns) -> list[pl.Series]:
    """The request's fields, which may be fewer at the end in a row of an older contract, and the model's inputs."""
    width = len(columns.inputs)
    if any(len(row.request) > len(columns.fields) or len(row.features) != width for row in rows):
        raise InvalidInput(
            "Rows of the prediction log have another number of values than their revision's layout.",
            fix="They stay in their segment; move it away if nobody needs them.",
        )
    made = []
    for i, (column, (name, kind)) in enumerate(zip(columns.of_inputs, columns.inputs, strict=True)):
        made.append(_series(column, name, kind, [row.features[i] for row in rows]))
    for i, (column, (name, kind)) in enumerate(zip(columns.of_fields, columns.fields, strict=True)):
        values = [row.request[i] if i < len(row.request) else None for row in rows]
        made.append(_series(column, name, kind, values))
    return made


def _series(column: str, name: str, kind: FieldType, values: list[Any]) -> pl.Series:
    try:
        if kind == "object":
            return pl.Series(column, [None if one is None else _encode_json(one).decode() for one in values], pl.String)
        if kind in _PYTHON:  # MessagePack carries dates and durations as text
            python: Any = _PYTHON[kind]
            values = msgspec.convert(values, list[python | None])
        return pl.Series(column, values, _FIELD_TYPES[kind])
    except (TypeError, pl.exceptions.PolarsError, msgspec.ValidationError) as problem:
        raise InvalidInput(
            f"Rows of the prediction log do not fit their layout: {name!r} is no {kind}: {str(problem).splitlines()[0]}.",
            fix="They stay in their segment; move it away if nobody needs them.",
        ) from problem


def without_double(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """A table of predictions without the request's fields that are, in every row, the model's input of the same name."""
    inputs = {name: column for column, (name, _) in zip(columns.of_inputs, columns.inputs, strict=True)}
    doubles = [
        (column, inputs[name])
        for column, (name, _) in zip(columns.of_fields, columns.fields, strict=True)
        if name in inputs and frame[column].dtype == frame[inputs[name]].dtype
    ]
    same = frame.select(pl.col(ours).eq_missing(pl.col(theirs)).all().alias(ours) for ours, theirs in doubles)
    return frame.drop(name for name in same.columns if same[name].item()) if doubles else frame


def with_double(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The same table with those fields."""
    inputs = {name: column for column, (name, _) in zip(columns.of_inputs, columns.inputs, strict=True)}
    return frame.with_columns(
        pl.col(inputs[name]).alias(column)
        for column, (name, _) in zip(columns.of_fields, columns.fields, strict=True)
        if column not in frame.columns
    )


def to_write(columns: Columns | None, merged: Merged | None = None) -> dict[str, str]:
    """What is kept in a Parquet file beside its rows."""
    kept = {} if columns is None else {_KEY: _encode_json(columns).decode()}
    return kept if merged is None else kept | {MERGED: _encode_json(merged).decode()}


def columns_in(path: Path) -> Columns:
    """Where the values of predictions are in a Parquet file.

    Raises:
        Corrupt: It does not say so.
    """
    try:
        return msgspec.json.decode(pl.read_parquet_metadata(path)[_KEY], type=Columns)
    except (KeyError, msgspec.DecodeError, pl.exceptions.PolarsError) as problem:
        raise Corrupt(
            f"The Parquet file {path} is no file of a prediction log: {type(problem).__name__}: {problem}.",
            fix="Move it away, or restore it from a backup.",
        ) from problem


def as_rows(frame: pl.DataFrame, row_type: type[T], columns: Columns | None = None) -> list[T]:
    """Rows of a table as structs, their values as a segment has them.

    Args:
        frame: As it was read from a Parquet file; it need have only what the struct asks for.
        row_type: The kind's struct, or one of its first fields.
        columns: For predictions: where their values are.
    """
    if not frame.height:
        return []
    given = []
    for name in row_type.__struct_fields__:  # type: ignore[attr-defined]  # a struct
        if name == "request":
            assert columns is not None
            given.append(_lists(frame, _request_columns(frame, columns)))
        elif name == "features":
            assert columns is not None
            given.append(
                _lists(frame, [(c, kind) for c, (_, kind) in zip(columns.of_inputs, columns.inputs, strict=True)])
            )
        elif name == "row":
            given.append([msgspec.json.decode(one) for one in frame["row"].to_list()])
        elif _column(name) in frame.columns:
            series = frame[_column(name)]
            given.append((series.dt.epoch("us") if series.dtype == _INSTANT else series).to_list())
        else:  # a file of before there was this column
            break
    return [row_type(*values) for values in zip(*given, strict=True)]


def _request_columns(frame: pl.DataFrame, columns: Columns) -> list[tuple[str, FieldType]]:
    inputs = {name: column for column, (name, _) in zip(columns.of_inputs, columns.inputs, strict=True)}
    return [
        (column if column in frame.columns else inputs[name], kind)
        for column, (name, kind) in zip(columns.of_fields, columns.fields, strict=True)
    ]


def _lists(frame: pl.DataFrame, columns: Sequence[tuple[str, FieldType]]) -> list[list[Any]]:
    found = []
    for column, kind in columns:
        values = frame[column].to_list()
        if kind == "object":
            values = [None if one is None else msgspec.json.decode(one) for one in values]
        elif kind in ("date", "duration"):
            values = [None if one is None else msgspec.to_builtins(one) for one in values]
        found.append(values)
    return [list(row) for row in zip(*found, strict=True)] if found else [[] for _ in range(frame.height)]
