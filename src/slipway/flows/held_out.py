"""Held out: from which decision time on a table's rows judge a model fairly, because none of them taught it."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import polars as pl

from slipway.ledger import artifacts, entries
from slipway.models.model import Model
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.runs import Artifact, Run, StepRun
from slipway.tables.row_batches import Batches

__all__ = ["held_out_from"]

_STEPS = ("training_set", "training_batches")
_MANY = 100_000
_ROWS = "slipway:rows"


def held_out_from(workspace: Workspace, model: Model, run: Run, training: TrainingSet | None) -> datetime | None:
    """The least decision time among the rows that a model was evaluated on, where every later row was held out too.

    Args:
        workspace: Where the run's training sets are kept.
        model: The model, with the rows that it was evaluated on.
        run: The run that made it.
        training: The training set of that run, None when it made none.

    Returns:
        None where it cannot be told: the model was never evaluated; the evaluated rows lack the key or the decision time
        of the training set; some row of a training set of the run was decided at or after the first evaluated one and was
        not among them; or the model was fitted on more rows than there are before it.
    """
    if training is None or not model.evaluated:
        return None
    if model.judged_on is not None:
        return _held_out_of(workspace, model.judged_on, model.state.rows, run, training)
    names = list(dict.fromkeys((*training.key, training.at)))
    judged = _columns(model.evaluated, names)
    taught = _training_sets(workspace, run, training, names)
    if judged is None or any(rows.schema != judged.schema for rows in taught):
        return None
    first = judged[training.at].min()
    if not isinstance(first, datetime):
        return None
    later = [rows.filter(pl.col(training.at) >= first) for rows in taught]
    before = sum(rows.height for rows in taught) - sum(rows.height for rows in later)
    if model.state.rows > before or not all(_all_among(rows, judged, names) for rows in later):
        return None
    return first.astimezone(UTC)


def _held_out_of(
    workspace: Workspace, judged: Batches, fitted: int, run: Run, training: TrainingSet
) -> datetime | None:
    """The same where the evaluated rows are chosen rows of the one training set that the run stored: by their positions."""
    with workspace.ledger.read() as tx:
        steps = [step for step in entries.find(tx, StepRun, parent=run.id, limit=_MANY) if step.name in _STEPS]
    kept = {artifact.digest: artifact for step in steps for artifact in step.outputs}
    found = [artifacts.load(workspace.blobs, [artifact]) for artifact in kept.values()]
    stored = {one.node if isinstance(one, Batches) else "" for one in found}
    if stored != {judged.node} or training.stored != judged.node or any(not step.outputs for step in steps):
        return None
    firsts = [frame[training.at].min() for frame in judged.select([training.at])]
    first = min((one for one in firsts if isinstance(one, datetime)), default=None)
    if first is None:
        return None
    is_judged, whole, later, start = judged.positions(), judged.whole(), 0, 0
    for frame in whole.select([training.at]):
        is_later = (frame[training.at] >= first).fill_null(value=False).to_numpy()
        if not is_judged[start : start + frame.height][is_later].all():
            return None
        later, start = later + int(is_later.sum()), start + frame.height
    return first.astimezone(UTC) if fitted <= whole.rows - later else None


def _training_sets(workspace: Workspace, run: Run, training: TrainingSet, names: list[str]) -> list[pl.DataFrame]:
    """The named columns of every training set that the run made or found; none where they are not all stored.

    One that was made inside another step has no step of its own: then what the run remembers is not among them.
    """
    with workspace.ledger.read() as tx:
        steps = [step for step in entries.find(tx, StepRun, parent=run.id, limit=_MANY) if step.name in _STEPS]
    kept = [step.outputs[0] for step in steps if step.outputs]
    frames = {artifact.digest: _rows_of(workspace, artifact, names) for artifact in kept}
    found = [frame for frame in frames.values() if frame is not None]
    if len(kept) < len(steps) or len(found) < len(frames):
        return []
    remembered = (training.rows, training.first_at, training.last_at)
    if remembered not in [(one.height, one[training.at].min(), one[training.at].max()) for one in found]:
        return []
    return found


def _rows_of(workspace: Workspace, artifact: Artifact, names: list[str]) -> pl.DataFrame | None:
    if artifact.format != Batches.slipway_format:
        return _columns(workspace.blobs.get(artifact.digest), names)
    rows = artifacts.load(workspace.blobs, [artifact]).scan()
    return rows.select(names).collect() if set(names) <= set(rows.collect_schema()) else None


def _columns(data: bytes, names: list[str]) -> pl.DataFrame | None:
    """Columns of a Parquet file, no other is decoded; None where one is missing."""
    if not set(names) <= set(pl.read_parquet_schema(BytesIO(data))):
        return None
    return pl.read_parquet(BytesIO(data), columns=names).select(names)


def _all_among(rows: pl.DataFrame, others: pl.DataFrame, names: list[str]) -> bool:
    """Whether each row is there at least as often among the others: keys are declared, and not always unique."""
    counted = rows.group_by(names).agg(pl.len().alias(_ROWS))
    found = others.group_by(names).agg(pl.len().alias(f"{_ROWS}:there"))
    both = counted.join(found, on=names, how="left", nulls_equal=True)
    return bool(both.select((pl.col(f"{_ROWS}:there").fill_null(0) >= pl.col(_ROWS)).all()).item())
