"""The filled store's endpoint with six weeks of traffic, counted: one input is gone for the last two days, with its incident."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from filled_store import BUNDLE, NASTY, fill
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.health import HEALTH_FILE
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.bundle import MANIFEST, PAYLOAD_TYPE, SIGNATURE
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec
from slipway.records.health import Counted, HealthState, ServiceSpec
from slipway.records.models import BundleFile
from slipway.records.monitors import Finding, Incident
from slipway.stats.flat_profiles import Flat
from slipway.stats.profiles import profile, to_bytes
from slipway.tables.traffic_profiles import HourKey, TrafficProfiles

NAME = "flight-delays"
PARENT = f"flights/{NAME}"
DAYS, ROWS = 42, 1000
INCIDENT = "d1"


def _rows(random: np.random.Generator, rows: int, *, is_gone: bool = False) -> dict[str, Any]:
    distance = random.normal(900, 300, rows)
    if is_gone:
        distance[random.random(rows) < 0.4] = np.nan
    carrier = random.choice(["AA", "UA", NASTY], rows, p=(0.5, 0.4, 0.1))
    return {"carrier": carrier.tolist(), "distance": distance, "score": random.random(rows)}


def watch_over(workspace: Workspace, now: datetime) -> None:
    """Fill a store, and let its endpoint have been watched until then."""
    fill(workspace)
    random = np.random.default_rng(3)
    reference = profile(_rows(random, 6000))
    digest = _served(workspace, to_bytes(reference))
    with workspace.ledger.write() as tx:
        for record in _found(now):
            entries.put(tx, record, expect=0)
        old = entries.get(tx, Incident, "i1")  # while a feed is broken nothing is learnt
        entries.put(tx, msgspec.structs.replace(old, state="closed", closed_at=old.created_at))
    _count(workspace, reference, digest[:16], now, random)
    _count_requests(workspace, now)


def _served(workspace: Workspace, reference: bytes) -> str:
    """Let the endpoint serve a bundle with a reference profile, and be watched; gives the bundle's digest."""
    file = BundleFile(path="profile.bin", digest=workspace.blobs.put(reference), size_bytes=len(reference))
    bundle = msgspec.structs.replace(BUNDLE, files=(file,))
    manifest, digest = encode_manifest(bundle), bundle_digest(bundle)
    revision = revision_of(workspace, NAME)
    version = registry.get(workspace, NAME, str(revision.served.number))
    served = msgspec.structs.replace(revision.served, bundle=digest)
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(revision, served=served, monitors=_monitors()))
        kept = workspace.blobs.put(manifest)
        entries.put(tx, msgspec.structs.replace(version, bundle=digest, manifest=kept))
    home = folder_of(workspace, NAME) / "bundles" / digest
    home.mkdir(parents=True)
    (home / MANIFEST).write_bytes(manifest)
    (home / SIGNATURE).write_bytes(workspace.signer.sign(manifest, PAYLOAD_TYPE))
    (home / file.path).write_bytes(reference)
    return digest


def _count(workspace: Workspace, reference: Any, bundle: str, now: datetime, random: np.random.Generator) -> None:
    flat = Flat(reference)
    today = int(now.timestamp()) // 86_400
    found = {}
    for day in range(today - DAYS, today):
        rows = profile(_rows(random, ROWS, is_gone=day >= today - 2), reference)
        found[HourKey(day * 24 + 12, bundle, "champion", "")] = flat.counts(rows)
    profiles = TrafficProfiles(folder_of(workspace, NAME) / "profiles" / bundle)
    profiles.add({}, found)


def _count_requests(workspace: Workspace, now: datetime) -> None:
    hour = int(now.timestamp()) // 3600
    hours = {
        hour - back: Counted(requests=100, errors=90 if back == 3 else 1 if back == 5 else 0, watched_s=3600.0)
        for back in range(72)
    }
    state = HealthState(looked_at=now, state="up", hours=hours)
    (folder_of(workspace, NAME) / HEALTH_FILE).write_bytes(msgspec.msgpack.encode(state))


def _monitors() -> tuple[MonitorSpec, ...]:
    day = 86_400_000_000
    return (
        MonitorSpec(kind="drift", name="drift", every_us=day, window_us=28 * day),
        MonitorSpec(kind="quality", name="quality of log_loss", metric="log_loss", label_delay_us=day),
        MonitorSpec(kind="estimated", name="estimated log_loss", metric="log_loss"),
        MonitorSpec(kind="kpi", name="revenue per seat", metric="cost", label_delay_us=day),
        MonitorSpec(kind="service", name="service", service=ServiceSpec()),
    )


def _common(id: str, name: str, at: datetime) -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": at, "parent_id": PARENT}


def _found(now: datetime) -> list[Finding | Incident]:
    found: list[Finding | Incident] = []
    for back in range(10):
        at = now - timedelta(days=back)
        for name, state, values in (
            ("quality of log_loss", "alert" if back < 2 else "ok", {"value": 0.5, "low": 0.48, "high": 0.52, "limit": 0.51}),
            ("estimated log_loss", "ok", {"value": 0.49, "low": 0.47, "high": 0.51, "metric": "log_loss"}),
            ("revenue per seat", "ok", {"value": 3.0, "low": 2.8, "high": 3.2, "before": 3.1, "metric_value": 0.5}),
        ):  # fmt: skip
            found.append(
                Finding(
                    **_common(f"w{back}-{name[:5]}", name, at),
                    state=state,  # type: ignore[arg-type]
                    window_from=at - timedelta(days=28),
                    window_until=at,
                    rows=28_000,
                    sentence=f"{name} as {NASTY} had it.",
                    values=values,
                )
            )
    began = now - timedelta(days=2)
    found.append(
        Incident(
            **_common(INCIDENT, "drift", began),
            sentence=f"distance is missing in 40 % of the rows since yesterday {NASTY}. Mend the feed.",
            owner="data engineer",
            cause="broken feed",
            about="request",
            monitors=("drift",),
            since=began - timedelta(hours=6),
            columns=("distance",),
            rows=800,
            acknowledged_by="ada",
            acknowledged_at=began + timedelta(hours=1),
            feedback="useful",
            feedback_by="grace",
            feedback_at=began + timedelta(hours=2),
            comment=NASTY,
            told_at=began,
        )
    )
    return found


def at(workspace: Workspace) -> datetime:
    """The workspace's business time, to the hour."""
    return workspace.clock.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
