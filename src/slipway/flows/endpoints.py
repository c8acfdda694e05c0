"""Endpoints as people see them: revisions, process, findings, incidents."""

from datetime import datetime
from pathlib import Path

import msgspec

from slipway.errors import NotFound, SlipwayError, near
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.endpoints import EndpointDetail, EndpointRow, Endpoints, GetEndpoint, Reports, Stop, Stopped
from slipway.ports.launcher import STATUS_FILE
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.gates import Verdict
from slipway.records.monitors import Finding, Incident
from slipway.records.rollouts import Drill
from slipway.records.scorings import Scoring
from slipway.schema.schedules import next_time
from slipway.serving.feed_counters import read_feeds
from slipway.tables.catalog import heads
from slipway.tables.personal import MASK, may_see

__all__ = [
    "folder_of", "get_endpoint", "last_status", "list_endpoints", "list_reports", "next_scoring", "report_shown", "revision_of", "stop",
]  # fmt: skip


def last_status(folder: Path) -> EndpointStatus | None:
    """What an endpoint's process said of itself last, whether it still runs or not; None where it never began."""
    try:
        return msgspec.json.decode((folder / STATUS_FILE).read_bytes(), type=EndpointStatus)
    except FileNotFoundError:
        return None


def folder_of(workspace: Workspace, name: str) -> Path:
    """Where an endpoint's files lie."""
    return workspace.root / "endpoints" / workspace.project / name


def revision_of(workspace: Workspace, name: str) -> Revision:
    """The newest revision of an endpoint.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    with workspace.ledger.read() as tx:
        known = tx.refs(workspace.project, "endpoint")
        if name in known:
            return entries.get(tx, Revision, known[name])
    raise NotFound(
        f"Nothing was ever deployed to an endpoint {name!r} in {workspace.project!r}.",
        fix=near(name, known, what="endpoints") if known else "Deploy a model first: slipway deploy MODEL",
    )


def list_endpoints(workspace: Workspace, request: Empty) -> Endpoints:
    """All endpoints of the project by name."""
    with workspace.ledger.read() as tx:
        revisions = [entries.get(tx, Revision, id) for id in tx.refs(workspace.project, "endpoint").values()]
    return Endpoints(endpoints=tuple(_row(workspace, revision) for revision in revisions))


def _row(workspace: Workspace, revision: Revision) -> EndpointRow:
    if revision.batch is None:
        return EndpointRow(revision=revision, status=workspace.launcher.status(folder_of(workspace, revision.name)))
    with workspace.ledger.read() as tx:
        last = tx.ref(workspace.project, "scoring", revision.name)
        scoring = entries.get(tx, Scoring, last) if last else None
    return EndpointRow(
        revision=revision, status=None, scoring=scoring, next_at=next_scoring(revision, workspace.clock.now())
    )


def next_scoring(revision: Revision, now: datetime) -> datetime | None:
    """When the clocks of a batch endpoint's schedule begin the next scoring, None without a clock."""
    when = revision.batch.when if revision.batch is not None else ()
    found = [next_time(one.cron, one.timezone, now) for one in when if one.kind == "cron"]
    return min((at for at in found if at is not None), default=None)


def list_reports(workspace: Workspace, request: Empty) -> Reports:
    """The newest consistency report of each endpoint; what is asked at every scrape reads nothing else."""
    project = workspace.project
    with workspace.ledger.read() as tx:
        found = [
            entries.find(tx, ConsistencyReport, parent=f"{project}/{name}", limit=1)
            for name in sorted(tx.refs(project, "endpoint"))
        ]
    return Reports(reports=tuple(report_shown(workspace, report) for some in found for report in some))


def get_endpoint(workspace: Workspace, request: GetEndpoint) -> EndpointDetail:
    """One endpoint.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    newest = revision_of(workspace, request.name)
    parent = f"{workspace.project}/{request.name}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=request.name)
        report = next(iter(entries.find(tx, ConsistencyReport, parent=parent, limit=1)), None)
        return EndpointDetail(
            revisions=tuple(sorted(found, key=lambda revision: -revision.number)),
            status=workspace.launcher.status(folder_of(workspace, request.name)),
            verdict=entries.get(tx, Verdict, newest.verdict_id) if newest.verdict_id else None,
            findings=tuple(entries.find(tx, Finding, parent=parent, limit=60)),
            incidents=tuple(entries.find(tx, Incident, parent=parent, limit=20)),
            consistency=None if report is None else report_shown(workspace, report),
            feeds=tuple(read_feeds(folder_of(workspace, request.name))),
            scorings=tuple(sorted(entries.find(tx, Scoring, parent=parent, limit=50), key=lambda one: -one.number)),
            next_at=next_scoring(newest, workspace.clock.now()),
            drills=tuple(entries.find(tx, Drill, parent=parent, limit=10)),
            simulated=_simulated(workspace, newest),
        )


def _simulated(workspace: Workspace, newest: Revision) -> tuple[str, ...]:
    """The simulated tables that what serves learned from; nothing where its manifest is gone."""
    try:
        version = registry.get(workspace, newest.served.model, str(newest.served.number))
        return registry.bundle_of(workspace, version).simulated
    except SlipwayError:
        return ()


def report_shown(workspace: Workspace, report: ConsistencyReport) -> ConsistencyReport:
    """A consistency report as the workspace's actor may see it.

    The first defect of a feature names a request's key and what was served, perhaps somebody's: it is masked where the
    project has personal columns, whichever they are, for a key is a text that no column is known of.
    """
    if may_see(workspace.actor) or not any(head.about.personal for head in heads(workspace)):
        return report
    features = tuple(msgspec.structs.replace(one, first=MASK) if one.first else one for one in report.features)
    return msgspec.structs.replace(report, features=features)


def stop(workspace: Workspace, request: Stop) -> Stopped:
    """Stop an endpoint's processes.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision = revision_of(workspace, request.name)
    folder = folder_of(workspace, request.name)
    was_running = workspace.launcher.status(folder) is not None
    workspace.launcher.stop(folder)
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "endpoints.stop", f"revision:{revision.id}", was_running=was_running)
    return Stopped(was_running=was_running)
