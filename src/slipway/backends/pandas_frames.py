"""Building the pandas frame that an estimator was fitted on, out of plain values.

The same row must look to the estimator as it did in training: a category that was missing as None comes as None and
not as NaN, 3 in a float column as 3.0, and columns in the order of training. An encoder that learned None and meets
NaN gives a wrong answer without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import polars as pl

from slipway.errors import InvalidInput
from slipway.ports.model_format import FrameColumn

__all__ = ["build", "from_polars", "layout_of", "pandas_frame", "to_polars"]

_NULL = {"none": None, "nan": float("nan"), "na": pd.NA}
_NUMERIC = "biuf"
_PLAIN = frozenset({float, int, type(None)})
_TEXT = pd.Series(["a"]).dtype  # it differs between releases of pandas


def pandas_frame(sample: Any) -> pd.DataFrame:
    """A pandas frame of training rows, from pandas or Polars.

    Polars' texts become Python strings with None where they are missing, as an estimator sees them that is fitted on
    the Polars frame itself.
    """
    if isinstance(sample, pd.DataFrame):
        return sample
    columns = {}
    for name in sample.columns:
        series = sample[name]
        values = series.to_numpy()
        columns[str(name)] = pd.Series(list(values), dtype=object) if values.dtype.kind == "O" else pd.Series(values)
    return pd.DataFrame(columns)


def from_polars(frame: pl.DataFrame) -> pd.DataFrame:
    """What Polars' own `to_pandas` gives, without pyarrow, which is larger than both: lists and structs stay Python's."""
    return pd.DataFrame({name: _of_polars(frame[name]) for name in frame.columns}, index=range(frame.height))


def to_polars(frame: pd.DataFrame) -> pl.DataFrame:
    """What Polars' own `from_pandas` gives, without pyarrow: the index is left out, NaN is null.

    Raises:
        TypeError: A column mixes types.
    """
    return pl.DataFrame([_to_polars(str(name), series) for name, series in frame.items()])


def _of_polars(series: pl.Series) -> Any:
    kind = series.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        known = (
            kind.categories
            if isinstance(kind, pl.Enum)
            else series.drop_nulls().cast(pl.String).unique(maintain_order=True)
        )
        return pd.Series(pd.Categorical(series.cast(pl.String).to_list(), categories=known.to_list()))
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        apart = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return pd.Series(apart.to_numpy()).dt.tz_localize("UTC").dt.tz_convert(kind.time_zone)
    if isinstance(kind, pl.Date):
        return pd.Series(series.to_numpy().astype("datetime64[ms]"))
    if kind.is_float() or kind.is_integer() or isinstance(kind, pl.Datetime | pl.Duration):
        return pd.Series(series.to_numpy())
    if isinstance(kind, pl.String):
        return pd.Series(series.to_list(), dtype=_TEXT)
    is_whole = series.null_count() == 0
    return pd.Series(series.to_list(), dtype=bool if isinstance(kind, pl.Boolean) and is_whole else object)


def _to_polars(name: str, series: pd.Series[Any]) -> pl.Series:
    kind = series.dtype
    if isinstance(kind, pd.DatetimeTZDtype):
        zone = str(kind.tz)
        apart = pl.Series(name, series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return apart.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    if isinstance(kind, np.dtype) and kind != np.dtype(object):
        return pl.Series(name, series.to_numpy(), nan_to_null=True)
    values = [None if value is pd.NA or value is pd.NaT or value != value else value for value in series.astype(object)]
    return pl.Series(name, values, dtype=pl.Categorical if isinstance(kind, pd.CategoricalDtype) else None)


def layout_of(sample: Any) -> tuple[FrameColumn, ...]:
    """What must be known to build such a frame again.

    Raises:
        InvalidInput: A column's type cannot come in a request.
    """
    return tuple(_column(str(name), series) for name, series in pandas_frame(sample).items())


def build(layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """A frame of the given rows, each with one plain value (None, bool, int, float, str) a column.

    A null in a column whose type has no place for one (int64, bool) makes it float64 or object, as pandas itself would
    have done in training.

    Raises:
        InvalidInput: A value does not fit; row and column are named.
    """
    if (at_once := _of_floats(layout, rows)) is not None:
        return at_once
    values = list(zip(*rows, strict=True)) if rows else [() for _ in layout]
    return pd.DataFrame({column.name: _series(column, held) for column, held in zip(layout, values, strict=True)})


def _of_floats(layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> pd.DataFrame | None:
    """The same frame at once, in a thirtieth of the time, where all columns are floats and all values numbers or null."""
    if not rows or any(column.dtype != "float64" for column in layout):
        return None
    if not _PLAIN.issuperset(map(type, chain.from_iterable(rows))):
        return None
    try:
        # By columns in memory, as pandas lays out columns that it is given one by one: sums depend on the order.
        values = np.array(rows, dtype=np.float64, order="F")
    except _MISFITS:
        return None
    return pd.DataFrame(values, columns=[column.name for column in layout])


def _column(name: str, series: pd.Series[Any]) -> FrameColumn:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return FrameColumn(name, "category", "nan", _texts(name, dtype.categories), bool(dtype.ordered))
    known = isinstance(dtype, pd.StringDtype | pd.BooleanDtype) or (
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)
    )
    if dtype != np.dtype(object) and not known:
        raise InvalidInput(
            f"The column {name!r} is of type {dtype}.",
            why="A model's inputs are numbers, booleans, texts and categories.",
            fix="Derive a feature from it: the hour of an instant, the days since a date.",
            field=name,
        )
    return FrameColumn(name, str(dtype), _missing(series))


def _texts(name: str, categories: Any) -> tuple[str, ...]:
    if not all(isinstance(category, str) for category in categories):
        raise InvalidInput(
            f"The categories of {name!r} are not texts: {list(categories)[:5]!r}.",
            fix=f"Train with `frame[{name!r}].astype(str).astype('category')`, or with plain numbers.",
            field=name,
        )
    return tuple(categories)


def _missing(series: pd.Series[Any]) -> Literal["none", "nan", "na"]:
    if isinstance(series.dtype, pd.api.extensions.ExtensionDtype):
        return "na" if series.dtype.na_value is pd.NA else "nan"
    if series.dtype != np.dtype(object):
        return "nan"
    nulls = series[series.isna()]
    counts = {
        "none": sum(value is None for value in nulls),
        "na": sum(value is pd.NA for value in nulls),
        "nan": sum(isinstance(value, float) for value in nulls),
    }
    # A column of Python objects that never lacked a value: None is what a person writes.
    most = max(counts, key=lambda kind: counts[kind])
    return cast('Literal["none", "nan", "na"]', most if counts[most] else "none")


_MISFITS = (TypeError, ValueError, OverflowError)  # of pandas and NumPy; an InvalidInput is a ValueError too


def _series(column: FrameColumn, values: Sequence[Any]) -> pd.Series[Any]:
    try:
        return _typed(column, values)
    except _MISFITS as problem:
        index = next((index for index, value in enumerate(values) if not _fits(column, value)), 0)
        raise InvalidInput(
            f"Row {index} gives {values[index]!r} for {column.name!r}.",
            why=f"The model was fitted with {column.dtype} there.",
            fix="Give a value of this type, or null.",
            field=column.name,
        ) from problem


def _fits(column: FrameColumn, value: Any) -> bool:
    try:
        _typed(column, [value])
    except _MISFITS:
        return False
    return True


def _typed(column: FrameColumn, values: Sequence[Any]) -> pd.Series[Any]:
    if column.dtype == "category":
        kind = pd.CategoricalDtype(list(column.categories), ordered=column.ordered)
        known = set(column.categories)
        return pd.Series(pd.Categorical([v if v in known else None for v in values], dtype=kind))
    null = _NULL[column.missing]
    filled = [null if value is None else value for value in values]
    if column.dtype == "object":
        return pd.Series(filled, dtype=object)
    dtype = pd.api.types.pandas_dtype(column.dtype)
    if isinstance(dtype, np.dtype):
        return _numpy_series(dtype, values, filled)
    if isinstance(dtype, pd.StringDtype):
        _only_texts(values)
    return pd.Series(filled, dtype=dtype)


def _numpy_series(dtype: np.dtype[Any], values: Sequence[Any], filled: list[Any]) -> pd.Series[Any]:
    for value in values:
        if isinstance(value, str) or (dtype.kind in "biu" and isinstance(value, float) and value % 1 != 0):
            raise InvalidInput(f"{value!r} is not of type {dtype}.", fix="Give a number of this type.")
    if dtype.kind in "biu" and any(value is None for value in values):
        return pd.Series(values, dtype=object) if dtype.kind == "b" else pd.Series(filled, dtype=np.float64)
    if dtype.kind in "iu":
        return pd.Series([int(value) for value in values], dtype=dtype)
    return pd.Series(filled, dtype=dtype)


def _only_texts(values: Sequence[Any]) -> None:
    for value in values:
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{value!r} is not a text.", fix="Give a text, or null.")
