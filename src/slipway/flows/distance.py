"""How far two values of steps are apart: numbers by their difference, models by what they answer to the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import SlipwayError
from slipway.models.model import Model
from slipway.pipelines.comparison import Apart, scaled

__all__ = ["apart"]

_ANSWERS = "the answers to its reference rows"


def apart(old: Any, new: Any) -> Apart | None:
    """How far two values are apart.

    Only fractions are measured: whole numbers, texts, dates and the like are the same or they are not.

    Args:
        old: Plain values, frames, series, arrays, models, or lists, tuples and mappings of these.
        new: The value that is compared with it.

    Returns:
        None where they have not the same shape, or differ in what is no fraction.
    """
    if isinstance(old, Model) and isinstance(new, Model):
        return _models(old, new)
    if isinstance(old, pl.LazyFrame) and isinstance(new, pl.LazyFrame):
        return apart(old.collect(), new.collect())
    if isinstance(old, pl.DataFrame) and isinstance(new, pl.DataFrame):
        return _frames(old, new)
    if isinstance(old, pl.Series) and isinstance(new, pl.Series):
        return _frames(old.to_frame("values"), new.to_frame("values"))
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return _arrays(old, new)
    if type(old) is not type(new):
        return None
    if type(old).__module__.partition(".")[0] == "pandas":
        return _pandas(old, new)
    if isinstance(old, float | np.floating):
        return scaled(float(old), float(new))
    if isinstance(old, Mapping):
        if list(old) != list(new):
            return None
        return _worst((str(key), apart(old[key], new[key])) for key in old)
    if isinstance(old, list | tuple):
        if len(old) != len(new):
            return None
        return _worst(("", apart(first, second)) for first, second in zip(old, new, strict=True))
    return Apart() if _is_same(old, new) else None


def _models(old: Model, new: Model) -> Apart | None:
    """The greatest difference of two models' answers to the reference rows of the first, and of their evaluations."""
    known = [case for case in old.state.cases if case.answer is not None]
    try:
        answers = new.predict_rows([case.row for case in known])
    except SlipwayError:  # they do not take the same rows
        return None
    pairs = [(float(case.answer or 0.0), answer) for case, answer in zip(known, answers, strict=True)]
    told = [(_ANSWERS, scaled(first, second)) for first, second in pairs]
    if not told or (old.evaluation is None) != (new.evaluation is None):
        return None
    if old.evaluation is not None and new.evaluation is not None:
        measured = [
            {(one.metric, one.slice): one.value for one in each.metrics} for each in (old.evaluation, new.evaluation)
        ]
        if measured[0].keys() != measured[1].keys():
            return None
        told += [
            (f"its {name} {slice}".rstrip(), scaled(value, measured[1][name, slice]))
            for (name, slice), value in measured[0].items()
        ]
    return _worst(told)


def _frames(old: pl.DataFrame, new: pl.DataFrame) -> Apart | None:
    if old.schema != new.schema or old.height != new.height:
        return None
    return _worst((f"column {name}", _columns(old[name], new[name])) for name in old.columns)


def _columns(old: pl.Series, new: pl.Series) -> Apart | None:
    if not old.dtype.is_float():
        return Apart() if old.equals(new, null_equal=True) else None
    if not (old.is_null() == new.is_null()).all():
        return None
    return _arrays(old.fill_null(0.0).to_numpy(), new.fill_null(0.0).to_numpy())


def _pandas(old: Any, new: Any) -> Apart | None:
    if hasattr(old, "columns"):
        if list(old.columns) != list(new.columns) or not old.index.equals(new.index):
            return None
        pairs = [(f"column {name}", old.iloc[:, at], new.iloc[:, at]) for at, name in enumerate(old.columns)]
        return _worst((name, _pandas(first, second)) for name, first, second in pairs)
    if not hasattr(old, "to_numpy") or len(old) != len(new) or old.dtype != new.dtype:
        return None
    if getattr(old.dtype, "kind", "") == "f" and (old.isna() == new.isna()).all():
        return _arrays(old.to_numpy(dtype=np.float64, na_value=np.nan), new.to_numpy(dtype=np.float64, na_value=np.nan))
    return Apart() if old.equals(new) else None


def _arrays(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> Apart | None:
    if old.shape != new.shape or old.dtype != new.dtype:
        return None
    if old.dtype.kind not in "fc":
        return Apart() if np.array_equal(old, new) else None
    if not old.size:
        return Apart()
    with np.errstate(all="ignore"):
        difference = np.abs(old - new)
        alike = (old == new) | (np.isnan(old) & np.isnan(new))
        difference = np.where(alike, 0.0, np.where(np.isfinite(difference), difference, math.inf))
        size = np.abs(np.where(np.isfinite(old), old, 1.0))
        relative = np.where(difference > 0, difference / size, 0.0)
        over = difference / np.maximum(1.0, size)
    return Apart(float(difference.max()), float(relative.max()), float(over.max()))


def _worst(parts: Iterable[tuple[str, Apart | None]]) -> Apart | None:
    """The greatest of several; None as soon as one cannot be told."""
    worst = Apart()
    for where, part in parts:
        if part is None:
            return None
        if part.scaled > worst.scaled:
            place = " of ".join(name for name in (part.where, where) if name)
            worst = Apart(part.absolute, part.relative, part.scaled, place)
    return worst


def _is_same(old: object, new: object) -> bool:
    try:
        return bool(old == new)
    except (TypeError, ValueError):  # an object that compares to something without a truth of its own
        return False
