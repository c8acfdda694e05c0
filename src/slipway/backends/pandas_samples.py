"""Rows that a model from elsewhere is asked with: read from a file as pandas reads it, and drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slipway.errors import InvalidInput

__all__ = ["as_columns", "drawn", "from_array", "from_split", "read_sample", "with_categories"]

_WITH_NA = frozenset(
    {"boolean", "string", "Float32", "Float64", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
)
_PARQUET = (".parquet", ".pq")
# Since 3.1 numbers are read to the last bit unasked, and asking is deprecated.
_EXACT: Any = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}


def read_sample(path: Path) -> pd.DataFrame:
    """The rows of a CSV or Parquet file; numbers of a CSV are read to the last bit, and 01001 is a text.

    Raises:
        InvalidInput: There is no such file, it cannot be read, or it has no rows.
    """
    try:
        found = pd.read_parquet(path) if path.suffix.lower() in _PARQUET else _read_csv(path)
    except (OSError, ValueError) as problem:
        raise InvalidInput(
            f"The sample {path} cannot be read: {' '.join(str(problem).split())[:200]}.",
            fix="Give a CSV file with a line of names, or a Parquet file.",
            field="sample",
        ) from problem
    if not len(found):
        raise InvalidInput(f"The sample {path} has no rows.", fix="Give rows that the model was asked with.")
    return found.reset_index(drop=True).rename(columns=str)


def _read_csv(path: Path) -> pd.DataFrame:
    """A CSV file, in which a column that has a number with a zero before it is of texts: a code, such as a zip code's."""
    found = pd.read_csv(path, **_EXACT)
    numbers = [name for name in found.columns if found[name].dtype.kind in "iuf"]
    if not numbers:
        return found
    written = pd.read_csv(path, dtype=str)
    codes = [name for name in numbers if written[name].str.match(r"\s*[+-]?0[0-9]", na=False).any()]
    return pd.read_csv(path, dtype=dict.fromkeys(codes, str), **_EXACT) if codes else found


def from_split(said: dict[str, Any]) -> pd.DataFrame | None:
    """The rows of an input example as MLflow keeps it: {"columns": [...], "data": [...]}, or {"inputs": [...]}."""
    data = said.get("data", said.get("inputs"))
    if not isinstance(data, list) or not data or not isinstance(data[0], list):
        return None
    columns = said.get("columns") or [f"x{place}" for place in range(len(data[0]))]
    return pd.DataFrame(data, columns=[str(name) for name in columns]).infer_objects()


def from_array(values: Any) -> pd.DataFrame:
    """An array's rows, their columns called x0, x1 and so on."""
    return pd.DataFrame(values, columns=[f"x{place}" for place in range(values.shape[1])])


def with_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its texts as categories, as LightGBM is taught them."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.astype(dict.fromkeys(texts, "category"))


def drawn(frame: pd.DataFrame, wanted: int) -> tuple[pd.DataFrame, list[str]]:
    """So many rows of a frame, and what each is called.

    Of more rows some by chance, always the same ones. Where there are fewer, all of them and others that are made by
    drawing each column by itself: values that the column has, in combinations that it may not have.

    Args:
        frame: At least one row.
        wanted: How many.
    """
    chance = np.random.default_rng(0)
    if len(frame) >= wanted:
        places = np.sort(chance.choice(len(frame), wanted, replace=False))
        return frame.iloc[places].reset_index(drop=True), [f"row {place + 1}" for place in places]
    more = wanted - len(frame)
    made = {name: frame[name].iloc[chance.integers(0, len(frame), more)].array for name in frame.columns}
    names = [f"row {place + 1}" for place in range(len(frame))]
    names += [f"recombined row {place + 1}" for place in range(more)]
    return pd.concat([frame, pd.DataFrame(made)], ignore_index=True).astype(frame.dtypes.to_dict()), names


def as_columns(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame as plain JSON, from which another Python with another pandas builds it again."""
    return [_column(str(name), frame[name]) for name in frame.columns]


def _column(name: str, series: pd.Series[Any]) -> dict[str, Any]:
    kind = str(series.dtype)
    is_plain = series.dtype.kind in "biuf" and kind.islower()
    made: dict[str, Any] = {"name": name, "type": kind if is_plain or kind in _WITH_NA else "object"}
    made["values"] = [None if pd.isna(value) else _plain(value) for value in series]
    if isinstance(series.dtype, pd.CategoricalDtype):
        return made | {"type": "category", "categories": [_plain(one) for one in series.cat.categories]}
    # JSON has no such numbers. A missing one of a plain column is NaN there anyway.
    odd = {} if is_plain and not np.isinf(series).any() else _not_finite(series, with_nan=made["type"] == "object")
    return made | {"odd": odd} if odd else made


def _not_finite(series: pd.Series[Any], *, with_nan: bool) -> dict[str, str]:
    """The values that are no finite numbers, by their places: "nan", "inf" or "-inf"."""
    return {
        str(place): str(float(value))
        for place, value in enumerate(series)
        if isinstance(value, float | np.floating) and not math.isfinite(value) and (with_nan or not math.isnan(value))
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
