"""Whether a training learns at all: on little data, with a bound on what it must reach, twice the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.hashing import combine, fingerprint
from slipway.models.inputs import label_values
from slipway.models.model import Model
from slipway.stats.intervals import LOSSES

__all__ = ["check_learns", "check_overfits", "check_repeats"]

_BATCH = 32


def check_learns(train: Callable[..., Model], rows: pl.DataFrame, *, label: str, by: float = 0.05) -> float:
    """A training on little data answers these very rows better than the best constant does.

    A model that does not even that has mixed up its labels, lost its inputs, or learns nothing.

    Args:
        train: Takes rows and gives the model: a step or a plain function.
        rows: A few hundred are enough.
        label: The column of the truth.
        by: By which share the loss (log loss, or mean absolute error of a regression) must be below the constant's.

    Returns:
        The share by which it is.

    Raises:
        AssertionError: It is not.
        InvalidInput: The label is missing or constant.
    """
    truth, name, loss = _loss_of(train, rows, label)
    constant = _constant(name, truth, label)
    less = 1 - loss / constant
    if not less >= by:
        raise AssertionError(
            f"Trained on {rows.height:,} rows and asked the same, the {name} is {loss:.4g}; the best constant answer has "
            f"{constant:.4g}. That is {less:.1%} less, where {by:.1%} are asked: it hardly learns."
        )
    return less


def check_overfits(train: Callable[..., Model], rows: pl.DataFrame, *, label: str, to: float = 0.5) -> float:
    """A training on a tiny batch comes near to knowing it by heart: what cannot even that lacks inputs or capacity.

    Args:
        train: Takes rows and gives the model; let it have few rows a leaf and no early stop here.
        rows: The first 32 with each truth in turn are taken.
        label: The column of the truth.
        to: To which share of the constant's loss it must come down.

    Returns:
        The share to which it does.

    Raises:
        AssertionError: It does not.
        InvalidInput: The label is missing or constant.
    """
    turns = pl.int_range(pl.len()).over(label)
    batch = rows.with_columns(__turn=turns).sort("__turn", maintain_order=True).head(_BATCH).drop("__turn")
    truth, name, loss = _loss_of(train, batch, label)
    constant = _constant(name, truth, label)
    share = loss / constant
    if not share <= to:
        raise AssertionError(
            f"Trained on {batch.height} rows alone and asked the same, the {name} is {loss:.4g}, {share:.1%} of what the best "
            f"constant answer has; {to:.1%} are asked: it cannot learn even these by heart."
        )
    return share


def check_repeats(function: Callable[..., Any], *args: Any, **more: Any) -> None:
    """Called twice with the same, a function gives the same, to the last bit: its randomness hangs on its seed.

    Args:
        function: A step or a plain function; a step runs as the function that it is.
        args: What it takes; likewise `more`.
        more: By name.

    Raises:
        AssertionError: The two differ.
        InvalidInput: What it gives cannot be compared.
    """
    plain = getattr(function, "function", function)
    first, second = (_told(plain(*args, **more)) for _ in range(2))
    if first != second:
        raise AssertionError(
            f"{getattr(plain, '__name__', plain)} gave something else the second time: give every random draw a seed, and let "
            "nothing depend on the time, on threads, or on the order of a set."
        )


def _told(value: Any) -> str:
    """A fingerprint of what a function gave."""
    if isinstance(value, tuple):
        return combine(*(_told(one) for one in value))
    if hasattr(value, "slipway_fingerprint"):
        return str(value.slipway_fingerprint())
    if isinstance(value, pl.DataFrame):
        return fingerprint({name: value[name].to_list() for name in value.columns})
    if isinstance(value, np.ndarray):
        return fingerprint([value.tolist(), str(value.dtype), list(value.shape)])
    return fingerprint(value)


def _loss_of(train: Callable[..., Model], rows: pl.DataFrame, label: str) -> tuple[np.ndarray, str, float]:
    plain = getattr(train, "function", train)
    model = plain(rows)
    if not isinstance(model, Model):
        raise InvalidInput(
            f"The training gave a {type(model).__name__}, and no model.", fix="Let it return sw.Model(...)."
        )
    truth = label_values(rows, label)
    name = "log_loss" if model.task == "classification" else "mae"
    return truth, name, float(np.mean(LOSSES[name](truth, model.predict(rows))))


def _constant(name: str, truth: np.ndarray, label: str) -> float:
    """The loss of the best answer that is the same for all rows."""
    best = truth.mean() if name == "log_loss" else np.median(truth)
    found = float(np.mean(LOSSES[name](truth, np.full(truth.shape, best))))
    if truth.size == 0 or not np.ptp(truth):
        raise InvalidInput(
            f"All {truth.size} rows have the same {label!r}.", fix="Give rows of which some are and some are not."
        )
    return found
