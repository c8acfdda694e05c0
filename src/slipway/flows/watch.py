"""Watch: read what an endpoint answered and which labels came, judge by its monitors, open and close incidents."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from slipway.flows.endpoints import folder_of, revision_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models import bundle as bundles
from slipway.monitoring import judge
from slipway.monitoring.judge import Found
from slipway.operations.endpoints import Watch, Watched
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec, Revision
from slipway.records.models import Bundle
from slipway.records.monitors import Finding, Incident
from slipway.stats.profiles import Profile, from_bytes
from slipway.tables import prediction_log
from slipway.tables.strays import stray_labels

__all__ = ["answered_rows", "watch"]

_OWNERS = {"drift": "data engineer", "quality": "data scientist", "kpi": "business owner"}


def answered_rows(workspace: Workspace, revision: Revision, bundle: Bundle) -> pl.DataFrame:
    """What a revision's bundle answered at its endpoint, with the labels that came: see `prediction_log.joined`.

    Earlier revisions may have served the same bundle under another contract; then the columns are those of all. Where
    the contract has a key, a case that was asked again for the same decision time counts once, with its last answer.
    """
    log = folder_of(workspace, revision.name) / "log"
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=100_000)
    by_contract: dict[bytes, list[Revision]] = {}
    for found in known:
        if found.served.bundle == revision.served.bundle:
            by_contract.setdefault(msgspec.json.encode(found.contract), []).append(found)
    frames = [
        prediction_log.predictions(
            log,
            same[0].contract,
            bundle.signature,
            bundle=revision.served.bundle,
            revisions={found.number for found in same},
        )
        for same in by_contract.values()
    ]
    shared = [name for name in frames[0].columns if all(name in frame.columns for frame in frames)]
    answered = pl.concat([frame.select(shared) for frame in frames])
    if revision.contract.key:
        answered = answered.sort("answered_at", maintain_order=True)
        answered = answered.unique(["key", "at"], keep="last", maintain_order=True)
    return prediction_log.joined(answered, prediction_log.labels(log))


def watch(workspace: Workspace, request: Watch) -> Watched:
    """Judge what an endpoint's present model has answered so far.

    Raises:
        NotFound: Nothing was ever deployed there.
        Corrupt: The log or the bundle is damaged.
    """
    folder = folder_of(workspace, request.name)
    revision = _serving(workspace, request.name, folder)
    home = folder / "bundles" / revision.served.bundle
    bundle = bundles.verify(home, expect=revision.served.bundle, signer=workspace.signer)
    rows = answered_rows(workspace, revision, bundle)
    reference = _reference(home)
    now = workspace.clock.now()
    found = [
        _finding(workspace, revision, monitor, _judge(monitor, rows, reference, bundle, now), rows)
        for monitor in revision.monitors
    ]
    with workspace.ledger.write() as tx:
        for finding in found:
            entries.put(tx, finding, expect=0)
        for monitor, finding in zip(revision.monitors, found, strict=True):
            _update_incident(tx, workspace, monitor, finding)
        _close_unwatched(tx, workspace, revision)
        events.record(
            tx,
            workspace,
            "endpoints.watch",
            f"revision:{revision.id}",
            findings={finding.name: finding.state for finding in found},
        )
        incidents = entries.find(tx, Incident, parent=f"{workspace.project}/{request.name}", state="open", limit=1000)
    strays = stray_labels(folder / "log")
    return Watched(
        predictions=rows.height,
        labels=rows.height - rows["label"].null_count(),
        findings=tuple(found),
        incidents=tuple(incidents),
        unmatched=strays.labels,
        unmatched_example=strays.example,
    )


def _serving(workspace: Workspace, name: str, folder: Path) -> Revision:
    """The revision that answers; the newest where the process does not run. A refused one has answered nothing."""
    newest = revision_of(workspace, name)
    status = workspace.launcher.status(folder)
    if status is None or status.revision in (0, newest.number):
        return newest
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=name, number=status.revision, limit=1)
    return found[0] if found else newest


def _reference(home: Path) -> Profile | None:
    path = home / "profile.bin"
    return from_bytes(path.read_bytes()) if path.exists() else None


def _judge(monitor: MonitorSpec, rows: pl.DataFrame, reference: Profile | None, bundle: Bundle, now: datetime) -> Found:
    if monitor.kind != "drift":
        return judge.quality(rows, monitor, now=now, evaluation=bundle.metrics, decision=bundle.decision)
    if reference is None:
        told = "the bundle has no reference profile"
        return Found(state="cannot tell", sentence=told, rows=rows.height, values={})
    return judge.drift(rows, reference)


def _finding(
    workspace: Workspace, revision: Revision, monitor: MonitorSpec, found: Found, rows: pl.DataFrame
) -> Finding:
    now = workspace.clock.now()
    first, last = (rows["at"].min(), rows["at"].max()) if rows.height else (None, None)
    return Finding(
        id=new_id(),
        project=workspace.project,
        name=monitor.name,
        created_at=now,
        parent_id=f"{workspace.project}/{revision.name}",
        state=found.state,
        window_from=first if isinstance(first, datetime) else now,
        window_until=last + timedelta(microseconds=1) if isinstance(last, datetime) else now,
        rows=found.rows,
        sentence=found.sentence,
        values=found.values,
    )


def _update_incident(tx: WriteTransaction, workspace: Workspace, monitor: MonitorSpec, finding: Finding) -> None:
    """One open incident per endpoint and monitor: opened by an alert, closed when the monitor no longer alerts.

    A monitor that cannot tell leaves an incident as it is.
    """
    found = entries.find(tx, Incident, parent=finding.parent_id, name=monitor.name, state="open", limit=1)
    if finding.state == "alert" and not found:
        incident = Incident(
            id=new_id(),
            project=finding.project,
            name=monitor.name,
            created_at=finding.created_at,
            parent_id=finding.parent_id,
            findings=(finding.id,),
            sentence=finding.sentence,
            owner=_OWNERS[monitor.kind],
        )
        entries.put(tx, incident, expect=0)
        events.record(tx, workspace, "incidents.open", f"incident:{incident.id}", monitor=monitor.name)
    elif finding.state == "alert":
        more = msgspec.structs.replace(found[0], findings=(*found[0].findings, finding.id), sentence=finding.sentence)
        entries.put(tx, more)
    elif finding.state != "cannot tell" and found:
        _close(tx, workspace, found[0], f"{finding.state}: {finding.sentence}")


def _close_unwatched(tx: WriteTransaction, workspace: Workspace, revision: Revision) -> None:
    """Nobody would ever close an incident of a monitor that is no longer declared."""
    names = {monitor.name for monitor in revision.monitors}
    parent = f"{workspace.project}/{revision.name}"
    for incident in entries.find(tx, Incident, parent=parent, state="open", limit=1000):
        if incident.name not in names:
            _close(tx, workspace, incident, "its monitor is no longer declared")


def _close(tx: WriteTransaction, workspace: Workspace, incident: Incident, why: str) -> None:
    entries.put(tx, msgspec.structs.replace(incident, state="closed", closed_at=workspace.clock.now()))
    events.record(tx, workspace, "incidents.close", f"incident:{incident.id}", monitor=incident.name, why=why)
