"""An endpoint with a quarter of a year behind it: its log, its labels, its traffic counted by hour, and a long audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from slipway.flows.endpoints import folder_of
from slipway.governance.audit import head_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models.bundle import MANIFEST, PAYLOAD_TYPE, SIGNATURE
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, MonitorSpec, Revision, Served
from slipway.records.models import Bundle, BundleFile, Decision, ModelVersion, RegisteredModel
from slipway.records.monitors import Finding
from slipway.records.people import Actor
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field, Signature
from slipway.stats.flat_profiles import Flat
from slipway.stats.profiles import Profile, profile, to_bytes
from slipway.tables.log_layouts import LogLayout, write_layout
from slipway.tables.log_rolling import roll
from slipway.tables.segments import SegmentWriter
from slipway.tables.traffic_profiles import HourKey, TrafficProfiles

__all__ = ["NAME", "fill", "happened"]

NAME, COLUMNS = "parcels", 20
_MADE_BY = Actor("bench", roles=("admin",))
_DAY_US = 86_400_000_000
_INPUTS = tuple(Field(f"x{number}", "float") for number in range(COLUMNS))


def fill(workspace: Workspace, days: int, rows_a_day: int) -> None:
    """Let an endpoint have answered for so many days until now, with a label for every row after a day."""
    random, now = np.random.default_rng(5), workspace.clock.now()
    reference = profile(_rows(random, 5000))
    kept = to_bytes(reference)
    file = BundleFile(path="profile.bin", digest=workspace.blobs.put(kept), size_bytes=len(kept))
    bundle = Bundle(
        model=NAME,
        format="lightgbm",
        task="classification",
        files=(file,),
        signature=Signature(_INPUTS, (Field("score", "float", False),)),
        decision=Decision(threshold=0.5),
    )
    manifest, digest = encode_manifest(bundle), bundle_digest(bundle)
    home = folder_of(workspace, NAME) / "bundles" / digest
    home.mkdir(parents=True)
    (home / MANIFEST).write_bytes(manifest)
    (home / SIGNATURE).write_bytes(workspace.signer.sign(manifest, PAYLOAD_TYPE))
    (home / file.path).write_bytes(kept)
    _serve(workspace, digest, workspace.blobs.put(manifest), now)
    _log(folder_of(workspace, NAME) / "log", digest, random, now, days, rows_a_day)
    _count(folder_of(workspace, NAME), reference, digest, random, now, days, rows_a_day)


def happened(workspace: Workspace, count: int) -> None:
    """Let so many things have happened, sealed by the thousand as the server does."""
    for begin in range(0, count, 1000):
        with workspace.ledger.write() as tx:
            for number in range(begin, min(begin + 1000, count)):
                events.record(tx, workspace, "runs.start", f"run:{number:032x}", name=f"run {number}")
        events.seal(workspace.ledger, workspace.signer, head=head_of(workspace))


def _rows(random: np.random.Generator, rows: int) -> dict[str, Any]:
    return {field.name: random.normal(0, 1, rows) for field in _INPUTS} | {"score": random.random(rows)}


def _serve(workspace: Workspace, digest: str, manifest: str, now: datetime) -> None:
    day = timedelta(days=1) // timedelta(microseconds=1)
    common: dict[str, Any] = {"project": workspace.project, "name": NAME, "created_at": now - timedelta(days=100)}
    version = ModelVersion(
        **common, id=f"m-{new_id()}", number=1, bundle=digest, manifest=manifest, run_id="0" * 32, actor=_MADE_BY
    )
    revision = Revision(
        **common,
        id=f"{workspace.project}/{NAME}/1",
        number=1,
        environment="prod",
        served=Served(model=NAME, number=1, bundle=digest),
        contract=Contract(fields=_INPUTS),
        actor=_MADE_BY,
        monitors=(
            MonitorSpec(kind="drift", name="drift", every_us=day, window_us=28 * day),
            MonitorSpec(kind="quality", name="quality of log_loss", metric="log_loss", label_delay_us=day),
        ),
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, version)
        entries.put(tx, revision)
        entries.put(
            tx,
            RegisteredModel(
                **common, id=f"{workspace.project}/{NAME}", actor=_MADE_BY, updated_at=common["created_at"]
            ),
        )
        tx.set_ref(workspace.project, "model", NAME, version.id, expect=None)
        tx.set_ref(workspace.project, "endpoint", NAME, revision.id, expect=None)
        for back in range(90):
            at = now - timedelta(days=back)
            entries.put(tx, _finding(workspace.project, f"quality-{back}", at))


def _finding(project: str, id: str, at: datetime) -> Finding:
    return Finding(
        id=id,
        project=project,
        name="quality of log_loss",
        created_at=at,
        parent_id=f"{project}/{NAME}",
        state="ok",
        window_from=at - timedelta(days=28),
        window_until=at,
        rows=28_000,
        sentence="The log loss is 0.5.",
        values={"value": 0.5, "low": 0.48, "high": 0.52, "limit": 0.55},
    )


def _log(log: Path, digest: str, random: np.random.Generator, now: datetime, days: int, rows_a_day: int) -> None:
    """A day's segments at a time, which become Parquet as the roller does it."""
    write_layout(log, LogLayout(revision=1, bundle=digest[:16], fields=_INPUTS, inputs=_INPUTS))
    first = int((now - timedelta(days=days)).timestamp()) * 1_000_000
    for day in range(days):
        at = np.sort(random.integers(0, _DAY_US, rows_a_day)) + first + day * _DAY_US
        values, scores = random.normal(0, 1, (rows_a_day, COLUMNS)).tolist(), random.random(rows_a_day)
        known = (random.random(rows_a_day) < scores).astype(float).tolist()
        answers, labels = SegmentWriter(log, "predictions"), SegmentWriter(log, "labels")
        named = [f"{day:04d}-{number:06d}" for number in range(rows_a_day)]
        answers.append(
            [
                PredictionRow(
                    id, us, us, 1, digest[:16], id, row, row, score, score >= 0.5, revision=1, took_us=2000 + us % 3000
                )
                for id, us, row, score in zip(named, at.tolist(), values, scores.tolist(), strict=True)
            ]
        )
        if day < days - 1:
            labels.append(
                [
                    LabelRow(
                        prediction=id, key="", value=value, observed_us=us + _DAY_US // 2, received_us=us + _DAY_US // 2
                    )
                    for id, us, value in zip(named, at.tolist(), known, strict=True)
                ]
            )
        answers.close()
        labels.close()
        roll(log)


def _count(
    home: Path, reference: Profile, digest: str, random: np.random.Generator, now: datetime, days: int, rows_a_day: int
) -> None:
    flat, hour = (
        Flat(reference),
        int(now.replace(minute=0, second=0, microsecond=0).astimezone(UTC).timestamp()) // 3600,
    )
    found = {
        HourKey(hour - back, digest, "champion", ""): flat.counts(profile(_rows(random, rows_a_day // 24), reference))
        for back in range(1, days * 24)
    }
    TrafficProfiles(home / "profiles" / digest).add({}, found)
