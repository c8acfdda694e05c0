"""The rows that a model was trained on, as its run stored them, and the choice of some to be asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from slipway.errors import NotFound
from slipway.flows.trained_on import training_set_of
from slipway.ledger import artifacts, entries
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.models import ModelVersion
from slipway.records.runs import Run, StepRun
from slipway.schema.fingerprints import of_frame
from slipway.tables.row_batches import Batches

__all__ = ["TrainedRows", "choose", "spread", "trained_rows"]

_STEPS = ("training_set", "training_batches")
_MANY = 100_000
_ROW = "row of the training set"  # with blanks, so that no column is called so


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRows:
    """A training set as it is stored.

    Args:
        training: What is known of it.
        frame: Its rows: key, decision time, request fields, features in order, label. Read lazily where it was stored in parts.
        others: The run's other training sets.
    """

    training: TrainingSet
    frame: pl.LazyFrame
    others: tuple[pl.LazyFrame, ...] = ()


def trained_rows(workspace: Workspace, version: ModelVersion) -> TrainedRows:
    """The rows that a version was trained on.

    Raises:
        NotFound: It was not trained on a training set of features, or its rows are gone; the sentence says which.
    """
    training = None
    if version.run_id:
        with workspace.ledger.read() as tx:
            known = tx.get(entries.kind_of(Run), version.run_id) is not None
            run = entries.get(tx, Run, version.run_id) if known else None
            steps = entries.find(tx, StepRun, parent=version.run_id, limit=_MANY) if run is not None else []
        training = training_set_of(workspace, run) if run is not None else None
    if training is None:
        raise NotFound(
            f"No training set is stored of {version.name} {version.number}.",
            why="Rows that are asked again come from features.training_set(...) in the pipeline that made it.",
            fix="Release it from such a pipeline: slipway run PIPELINE",
        )
    found: list[tuple[bool, pl.LazyFrame]] = []
    for artifact in {one.digest: one for step in steps if step.name in _STEPS for one in step.outputs}.values():
        try:
            rows = artifacts.load(workspace.blobs, [artifact])
        except NotFound:
            continue  # erased with a person's rows; another of the run's may be whole
        is_batches = isinstance(rows, Batches)
        own = rows.node == training.stored if is_batches else of_frame(rows) == training.fingerprint
        found.append((own, rows.scan() if is_batches else rows.lazy()))
    own_frames = [frame for own, frame in found if own]
    if not own_frames:
        raise NotFound(
            f"The training rows of {version.name} {version.number} are not stored any more.",
            why="They were erased, purged, or made outside of a step.",
            fix="Train it again, which stores them: slipway run PIPELINE",
        )
    return TrainedRows(training=training, frame=own_frames[0], others=tuple(frame for own, frame in found if not own))


def spread(rows: pl.Series, count: int) -> pl.Series:
    """So many of a column's values, evenly spread, in their order."""
    count = max(0, min(count, len(rows)))
    return rows.gather([turn * len(rows) // count for turn in range(count)])


def choose(stored: TrainedRows, columns: Sequence[str], count: int) -> pl.DataFrame:
    """Some of the rows, in the order of their decisions: those at the edges of each column, the others evenly spread.

    Edges are, for each column, one row without a value, and those of its least and greatest value.

    Args:
        stored: The rows.
        columns: Whose edges.
        count: How many rows at most.

    Returns:
        The rows with all their columns.
    """
    indexed = stored.frame.with_row_index(_ROW)
    schema = stored.frame.collect_schema()
    edges = []
    for name in dict.fromkeys(column for column in columns if column in schema):
        missing = pl.col(name).is_null()
        edges.append(pl.when(missing.any()).then(missing.cast(pl.UInt8).arg_max()).alias(f"null {name}"))
        if schema[name].is_numeric():
            edges += [pl.col(name).arg_min().alias(f"least {name}"), pl.col(name).arg_max().alias(f"greatest {name}")]
    by_time = indexed.select(_ROW, stored.training.at).sort(stored.training.at, maintain_order=True)
    ordered = by_time.collect()[_ROW]
    first = indexed.select(edges).collect().row(0) if edges else ()
    taken = list(dict.fromkeys(int(row) for row in first if row is not None))[: max(1, count // 2)]
    others = ordered.filter(~ordered.is_in(taken))
    taken += spread(others, min(count, len(ordered)) - len(taken)).to_list()
    wanted = pl.Series(_ROW, sorted(taken), pl.UInt32)
    return (
        indexed.filter(pl.col(_ROW).is_in(wanted.implode()))
        .collect()
        .drop(_ROW)
        .sort(stored.training.at, maintain_order=True)
    )
