"""Traffic: what an endpoint was asked, as hourly profiles over its present model's reference, counted on from the log."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from slipway.flows.endpoints import folder_of
from slipway.flows.logged_rows import layout_of
from slipway.monitoring.judge import named_as_logged, profile_columns
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.models import Bundle
from slipway.records.predictions import PredictionRow
from slipway.stats.flat_profiles import Counts, Flat
from slipway.stats.grouped_profiles import counts_by_group
from slipway.stats.profiles import Profile
from slipway.tables.log_rows import read_parts
from slipway.tables.prediction_log import PREDICTIONS, answers_frame, as_answers, by_models
from slipway.tables.traffic_profiles import HOUR_US, HourKey, TrafficProfiles

__all__ = ["KEPT", "NO_PART", "count_traffic", "counted"]

KEPT = timedelta(days=70)
"""How much business time is kept: eight weeks of like windows, and what is judged."""
NO_PART = "(other)"
"""What rows are counted under whose segment is none that training knew by name."""
_READ_ROWS = 50_000
_DIGITS = 16
_HOURS_A_DAY = 24
_BY = ["_hour", "bundle", "arm", "_part"]


def count_traffic(
    workspace: Workspace, revision: Revision, bundle: Bundle, reference: Profile, now: datetime, segment: str = ""
) -> TrafficProfiles:
    """Count what the endpoint's log has gained, whichever model with the same inputs answered it.

    A model that is new is compared with the weeks before it too: the log is counted over its reference from the
    beginning, once.

    Args:
        workspace: Where the endpoint's folder lies.
        revision: What serves.
        bundle: Its model.
        reference: The profile that its bundle keeps.
        now: Business time; days longer ago than `KEPT` are forgotten.
        segment: An input whose values are counted apart, "" for none.
    """
    home = folder_of(workspace, revision.name)
    name = revision.served.bundle[:_DIGITS]
    profiles = TrafficProfiles(home / "profiles" / name, about=segment)
    since = now - KEPT
    layout, flat = layout_of(workspace, revision.name), Flat(reference)
    with profiles.held():
        while True:
            kept, rows, cursor = read_parts(
                home / "log", PREDICTIONS, PredictionRow, profiles.progress().cursor, limit=_READ_ROWS, since=since
            )
            frames = [as_answers(part) for part in kept if part.columns and _is_same(part.columns.inputs, bundle)]
            groups: dict[tuple[int, str], list[PredictionRow]] = {}
            for row in rows:
                groups.setdefault((row.revision, row.bundle), []).append(row)
            for of, group in groups.items():
                contract, signature = layout(*of)
                if signature.inputs == bundle.signature.inputs:
                    frames.append(answers_frame(group, contract, signature))
            read = sum(part.frame.height for part in kept) + len(rows)
            if read or cursor != profiles.progress().cursor:
                profiles.add(cursor, counted(frames, flat, since, segment))
            if read < _READ_ROWS:
                break
        profiles.forget(_hour(since))
        _forget_former(home / "profiles", name, _hour(since))
    return profiles


def counted(frames: Collection[pl.DataFrame], flat: Flat, since: datetime, segment: str = "") -> dict[HourKey, Counts]:
    """Rows as counts by hour, bundle, arm and segment.

    Args:
        frames: Answered rows, from the prediction log.
        flat: The layout over the reference.
        since: Earlier decisions do not count.
        segment: The input whose values are counted apart.
    """
    found: dict[HourKey, Counts] = {}
    parts = next((column.categories for column in flat.reference.columns if column.name == segment), ())
    for frame in frames:
        models = by_models(frame).filter(pl.col("at") >= since)
        logged = named_as_logged(flat.reference, models.columns)
        is_known = bool(segment) and segment in models.columns
        part = pl.col(segment).cast(pl.String) if is_known else pl.lit("")
        keyed = models.with_columns(
            (pl.col("at").dt.epoch("us") // HOUR_US).alias("_hour"),
            pl.when(part.is_in(list(parts))).then(part).otherwise(pl.lit(NO_PART if is_known else "")).alias("_part"),
        )
        keyed = keyed.sort(_BY)  # each group is a slice then
        groups = keyed.group_by(_BY, maintain_order=True).len()
        each = counts_by_group(flat, logged, profile_columns(keyed, logged), groups["len"].to_list())
        for (hour, asked, arm, of, _), counts in zip(groups.iter_rows(), each, strict=True):
            key = HourKey(int(hour), str(asked), str(arm), str(of))
            found[key] = found[key] + counts if key in found else counts
    return found


def _is_same(inputs: Collection[tuple[str, str]], bundle: Bundle) -> bool:
    return list(inputs) == [(field.name, field.type) for field in bundle.signature.inputs]


def _hour(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp()) // 3600


def _forget_former(folder: Path, present: str, before: int) -> None:
    """Remove the profiles of models whose traffic is all longer ago than anybody looks."""
    for path in folder.glob("*/"):
        if path.name != present:
            days = [int(one.stem) for one in path.glob("[0-9]*.bin")]
            if (max(days, default=0) + 1) * _HOURS_A_DAY <= before:
                shutil.rmtree(path, ignore_errors=True)
