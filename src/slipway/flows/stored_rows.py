"""The stored rows on which a candidate is asked how it behaves: those of its evaluation, with what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput, NotFound, near
from slipway.flows.trained_on import personal_of, training_behind
from slipway.models.bundle import LoadedModel
from slipway.models.evaluation import evaluated_rows
from slipway.models.frames import plain_rows
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.tables.personal import MASK

__all__ = ["StoredRows", "stored_rows"]

_MOST = 10_000
"""Rows that are asked; of more, so many that lie evenly among them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRows:
    """Rows that a model was evaluated on, as it takes them.

    Args:
        model: The model.
        frame: The rows with all their columns, at most 10,000.
        values: The inputs of each row, in the signature's order.
        truth: The labels, shape `(n_rows,)`.
        scores: The model's answers, shape `(n_rows,)`.
        training: What the model was trained on, None where that was no training set of features.
        personal: The columns and features that tell of a person.
    """

    model: LoadedModel
    frame: pl.DataFrame
    values: list[list[Any]]
    truth: NDArray[np.float64]
    scores: NDArray[np.float64]
    training: TrainingSet | None
    personal: frozenset[str]

    @property
    def names(self) -> list[str]:
        """The inputs, in the signature's order."""
        return [field.name for field in self.model.signature.inputs]

    def position(self, column: str) -> int | None:
        """Where a column stands among the inputs, None where it is none."""
        return self.names.index(column) if column in self.names else None

    def made_of(self, column: str) -> list[str]:
        """The inputs that are made of a column without being it."""
        reads = self.training.reads if self.training else {}
        ends = f".{column}"
        return [
            name for name in self.names if name != column and any(one.endswith(ends) for one in reads.get(name, ()))
        ]

    def ask(self, values: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        """The model's answers to rows of inputs."""
        return np.asarray(self.model.predict_rows(values), dtype=np.float64)

    def with_value(self, position: int, value: Any) -> list[list[Any]]:
        """All rows with one input set to a value."""
        return [[*row[:position], value, *row[position + 1 :]] for row in self.values]

    def row_named(self, index: int) -> str:
        """A row by its key; by its number where the key is personal or unknown."""
        key = self.training.key if self.training else ()
        if not key or set(key) & self.personal or not set(key) <= set(self.frame.columns):
            return f"row {index + 1} of the evaluated rows"
        return ", ".join(f"{name}={self.frame[name][index]}" for name in key)

    def shown(self, column: str, value: Any) -> str:
        """A value of a column as everybody may see it."""
        if column in self.personal:
            return MASK
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def stored_rows(workspace: Workspace, model: LoadedModel) -> StoredRows:
    """The rows that a model was evaluated on.

    Raises:
        NotFound: It never was, or they were erased.
        InvalidInput: They lack an input.
    """
    bundle = model.bundle
    if not bundle.evaluated:
        raise NotFound("It was never evaluated.", fix="Evaluate it in the pipeline: sw.evaluate(model, rows, ...).")
    if not workspace.blobs.has(bundle.evaluated):
        raise NotFound("The rows that it was evaluated on were erased.", fix="Train and evaluate it again.")
    frame = evaluated_rows(workspace.blobs.get(bundle.evaluated))
    if frame.height > _MOST:
        frame = frame[np.linspace(0, frame.height - 1, _MOST).astype(np.int64)]
    names = [field.name for field in model.signature.inputs]
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise InvalidInput(
            f"The evaluated rows lack {lacking[0]!r}.", fix=near(lacking[0], frame.columns, what="columns")
        )
    values = plain_rows(frame, names)
    training = training_behind(workspace, bundle)
    return StoredRows(
        model=model,
        frame=frame,
        values=values,
        truth=frame[bundle.label].cast(pl.Float64).to_numpy(),
        scores=np.asarray(model.predict_rows(values), dtype=np.float64),
        training=training,
        personal=personal_of(workspace, bundle, training),
    )
