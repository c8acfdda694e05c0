"""The loaded rows behind a prepared matrix: what was held out of training, as a request would carry it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.models.model import Model
from slipway.models.prepared import Prepared, row_tuples, rows_in, take_rows
from slipway.schema.types import frame_of

__all__ = ["held_out", "positions_behind"]


def held_out(model: Model, rows: Any, asked: Any, truth: Any, *, label: str = "truth") -> pl.DataFrame:
    """The rows that a model with `prepare` was not trained on, as they were loaded, with their truth.

    Args:
        model: It was given `prepare`.
        rows: The loaded rows, as `prepare` takes them: the held-out ones among them.
        asked: What the estimator is asked with for the held-out rows: a frame or matrix of `n` rows.
        truth: Their truth, `n` values; of a classifier its classes.
        label: The name of the column that holds the truth.

    Returns:
        The model's inputs of `n` rows, in the order of `asked`, and the column `label`: the truth as a number, for a
        classifier whether it is the second of its classes. `sw.evaluate(model, frame, label=label)` takes it.

    Raises:
        InvalidInput: The model has no `prepare`, a row of `asked` comes of no loaded row, or there is another number of
            truths.
    """
    prepared = model.prepared
    if prepared is None:
        raise InvalidInput(
            "The model has no prepare.",
            why="What it is asked with are the rows themselves.",
            fix="sw.evaluate(model, rows, label=...)",
        )
    values = truth.to_list() if hasattr(truth, "to_list") else np.asarray(truth).ravel().tolist()
    if len(values) != rows_in(asked):
        raise InvalidInput(
            f"There are {rows_in(asked):,} held-out rows, and the truth of {len(values):,}.",
            fix="Give the truth of the same rows, in their order.",
        )
    where = positions_behind(prepared, rows, asked)
    names = [field.name for field in model.signature.inputs]
    if isinstance(rows, np.ndarray):
        frame = pl.DataFrame({name: rows[where, index] for index, name in enumerate(names)})
    elif hasattr(rows, "iloc"):
        frame = frame_of(rows[names].iloc[where].reset_index(drop=True), "The loaded rows")
    else:
        frame = rows[where].select(names)
    classes = getattr(model.estimator, "classes_", None)
    known = [value == classes[1] for value in values] if classes is not None else [float(value) for value in values]
    return frame.with_columns(pl.Series(label, [bool(value) for value in known] if classes is not None else known))


def positions_behind(prepared: Prepared, rows: Any, asked: Any) -> list[int]:
    """For each row that an estimator is asked with, the position of a loaded row that becomes it.

    Rows that become the same are one to the estimator; each is taken once, as long as there are others.

    Raises:
        InvalidInput: One comes of no loaded row.
    """
    kept = prepared.kept(rows, range(rows_in(rows)))
    behind: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, values in zip(kept, row_tuples(prepared.native(take_rows(rows, kept))), strict=True):
        behind[values].append(position)
    for positions in behind.values():
        positions.reverse()
    found = []
    for number, values in enumerate(row_tuples(asked)):
        alike = behind.get(values)
        if not alike:
            raise InvalidInput(
                f"Row {number} of {rows_in(asked):,} held-out rows comes of no loaded row: {repr(values)[:200]}.",
                why="It was made on another way than rows of a request are.",
                fix="Make training and held-out rows by the same lines.",
            )
        found.append(alike.pop() if len(alike) > 1 else alike[0])
    return found
