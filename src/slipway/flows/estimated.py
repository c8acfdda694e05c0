"""What a monitor of estimated quality judges by: the model's held-out rows, else live rows whose labels are in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from slipway.models.evaluation import SCORED, evaluated_rows
from slipway.monitoring.estimated import Labelled, estimated
from slipway.monitoring.judge import SCORE, Found, named_as_logged, profile_columns
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Bundle
from slipway.stats.profiles import Profile

__all__ = ["estimated_quality", "held_out_rows"]


def estimated_quality(
    workspace: Workspace,
    bundle: Bundle,
    own: pl.DataFrame,
    reference: Profile | None,
    monitor: MonitorSpec,
    now: datetime,
) -> Found:
    """What a monitor of estimated quality finds on what a model answered within its window.

    Args:
        workspace: Where the rows are kept that the model was evaluated on.
        bundle: The model.
        own: What it answered, with labels where they are in.
        reference: The profile made at training.
        monitor: The monitor.
        now: Business time.
    """
    since = now - timedelta(microseconds=monitor.window_us)
    recent = own.filter((pl.col("at") > since) & (pl.col("at") <= now) & pl.col(SCORE).is_finite())
    columns: dict[str, Any] = {}
    if reference is not None and recent.height:
        logged = named_as_logged(reference, recent.columns)
        inputs = tuple(column for column in logged.columns if column.name != SCORE and column.name in recent.columns)
        reference = Profile(rows=logged.rows, columns=inputs)
        columns = profile_columns(recent, reference)
    labelled = held_out_rows(workspace, bundle) or _live(own, bundle, since)
    return estimated(
        recent, columns, monitor, labelled, reference, decision=bundle.decision, evaluation=tuple(bundle.metrics)
    )


def held_out_rows(workspace: Workspace, bundle: Bundle) -> Labelled | None:
    """The rows that a model was evaluated on, with its scores; None where it never was, or they were erased."""
    if not bundle.evaluated or not bundle.label or not workspace.blobs.has(bundle.evaluated):
        return None
    rows = evaluated_rows(workspace.blobs.get(bundle.evaluated))
    rows = rows.with_columns(pl.col(bundle.label).cast(pl.Float64))
    rows = rows.filter(pl.col(bundle.label).is_finite() & pl.col(SCORED).is_finite())
    time = _time_of(rows, bundle)
    return Labelled(
        labels=rows[bundle.label].to_numpy(),
        scores=rows[SCORED].cast(pl.Float64).to_numpy(),
        inputs=_numbers(rows, bundle),
        blocks=None if time is None else rows[time].cast(pl.Date).dt.epoch("d").cast(pl.Int64).to_numpy(),
        source="the rows that it was evaluated on",
    )


def _live(own: pl.DataFrame, bundle: Bundle, since: datetime) -> Labelled | None:
    """Answered rows from before the window whose labels are in."""
    rows = own.filter((pl.col("at") <= since) & pl.col("label").is_finite() & pl.col(SCORE).is_finite())
    if bundle.task == "classification":
        rows = rows.filter(pl.col("label").is_in([0.0, 1.0]))
    if rows.is_empty():
        return None
    return Labelled(
        labels=rows["label"].to_numpy(),
        scores=rows[SCORE].to_numpy(),
        inputs=_numbers(rows, bundle),
        blocks=rows["at"].dt.epoch("d").cast(pl.Int64).to_numpy(),
        source="answered rows whose labels came in",
    )


def _numbers(rows: pl.DataFrame, bundle: Bundle) -> dict[str, Any]:
    names = [field.name for field in bundle.signature.inputs if field.name in rows.columns]
    kept = [name for name in names if rows[name].dtype.is_numeric() or rows[name].dtype == pl.Boolean]
    return {name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in kept}


def _time_of(rows: pl.DataFrame, bundle: Bundle) -> str | None:
    """The column of decision times: the one whose least value is where the held-out rows are known to begin."""
    if bundle.held_out_from is None:
        return None
    for name in rows.columns:
        kind = rows[name].dtype
        is_instant = isinstance(kind, pl.Datetime) and kind.time_zone is not None and not rows[name].null_count()
        if is_instant and rows[name].min() == bundle.held_out_from:
            return name
    return None
