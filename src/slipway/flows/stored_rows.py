"""The stored rows on which a candidate is asked how it behaves: those of its evaluation, with what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput, NotFound, near
from slipway.flows import package
from slipway.flows.package import training_set_of
from slipway.ledger import entries
from slipway.models.bundle import LoadedModel
from slipway.models.evaluation import evaluated_rows
from slipway.models.frames import plain_rows
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Run
from slipway.tables.personal import MASK, Personal, check_readable

__all__ = ["StoredRows", "check_readable_behind", "personal_inputs", "personal_names", "stored_rows", "training_of"]

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
    training = training_of(workspace, bundle)
    return StoredRows(
        model=model,
        frame=frame,
        values=values,
        truth=frame[bundle.label].cast(pl.Float64).to_numpy(),
        scores=np.asarray(model.predict_rows(values), dtype=np.float64),
        training=training,
        personal=_personal(workspace, bundle, training),
    )


def training_of(workspace: Workspace, bundle: Bundle) -> TrainingSet | None:
    """The training set of a bundle's run, None where it made none of features or nothing is known of the run."""
    with workspace.ledger.read() as tx:
        if not bundle.run_id or tx.get(entries.kind_of(Run), bundle.run_id) is None:
            return None
        run = entries.get(tx, Run, bundle.run_id)
    return training_set_of(workspace, run)


def check_readable_behind(workspace: Workspace, bundle: Bundle) -> None:
    """Check that the actor may read all tables behind a bundle: else nothing of their rows is told by way of the model.

    Raises:
        Denied: One names its readers, and the actor is none.
    """
    for node in bundle.data:
        project, _, table = node.partition(":")[2].rpartition("@")[0].partition("/")
        check_readable(workspace, table, project=project)


def personal_inputs(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> frozenset[str]:
    """A version's inputs that tell of a person: personal columns, and features that read one.

    All of them where tables behind it have personal columns and nobody knows any more what its features read.
    """
    return personal_names(workspace, version, bundle) & {field.name for field in bundle.signature.inputs}


def personal_names(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> frozenset[str]:
    """The same, with fields of a request that are called as a personal column is."""
    try:
        training = package.training_of(workspace, version)
    except NotFound:
        training, is_known = None, False
    else:
        is_known = bundle.features is None or (training is not None and bool(training.reads))
    found = _personal(workspace, bundle, training)
    return found if is_known or not found else found | {field.name for field in bundle.signature.inputs}


def _personal(workspace: Workspace, bundle: Bundle, training: TrainingSet | None) -> frozenset[str]:
    """By name: the personal columns of the tables behind a bundle, and the features that read one."""
    known = Personal(workspace)
    names: set[str] = set()
    for node in bundle.data:
        project, _, table = node.partition(":")[2].rpartition("@")[0].partition("/")
        names |= known.names_ever(project, table)
    reads = training.reads if training else {}
    told = {feature for feature, columns in reads.items() if names & {one.rpartition(".")[2] for one in columns}}
    return frozenset(names | told)
