"""What endpoints cost: their workers for as long as they served, their files; which of them nobody asks; what they are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway.flows.cost_rates import priced
from slipway.flows.endpoints import folder_of, revision_of
from slipway.ledger import entries
from slipway.operations.costs import EndpointCost, Idle, Used, Worth
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABTest
from slipway.records.contracts import KeptContract
from slipway.records.costs import Rates
from slipway.records.endpoints import Revision
from slipway.records.monitors import Finding
from slipway.records.scorings import Scoring
from slipway.serving.former_counts import read_lives
from slipway.serving.swap import REVISION_FILE

__all__ = ["endpoint_cost", "idle_endpoints"]

_FINDINGS = 200


def endpoint_cost(workspace: Workspace, name: str, rates: Rates) -> EndpointCost:
    """What one endpoint takes.

    Args:
        workspace: The project's.
        name: Its name; something was deployed there.
        rates: By what to reckon.
    """
    folder, newest = folder_of(workspace, name), revision_of(workspace, name)
    with workspace.ledger.read() as tx:
        spans = _scored(tx, workspace, newest) if newest.batch is not None else _served(tx, workspace, name)
        worth = _worth(tx, workspace, newest)
    cpu_s = sum(seconds * workers for seconds, workers in spans)
    used = priced(Used(cpu_s=cpu_s, size_bytes=sum(size for _, size, _ in _files(folder))), rates)
    requests = sum(life.held.requests for life in read_lives(folder))
    is_told = used.compute is not None and requests
    return EndpointCost(
        endpoint=name,
        served_s=sum(seconds for seconds, _ in spans),
        used=used,
        requests=requests,
        a_thousand=(used.compute or 0.0) / requests * 1000 if is_told else None,
        worth=worth,
    )


def idle_endpoints(workspace: Workspace, after: timedelta) -> tuple[Idle, ...]:
    """Endpoints that run and that nobody asked for a while, by the files of their logs; machine time.

    Args:
        workspace: The project's.
        after: For how long.
    """
    with workspace.ledger.read() as tx:
        names = sorted(tx.refs(workspace.project, "endpoint"))
    found = []
    for name in names:
        folder = folder_of(workspace, name)
        if revision_of(workspace, name).batch is not None or workspace.launcher.status(folder) is None:
            continue
        files = _files(folder)
        asked = [at for path, _, at in files if "log" in path.parts and "predictions" in path.as_posix()]
        began = [at for path, _, at in files if path.name == REVISION_FILE]
        last = max([*asked, *began], default=None)
        if last is None or datetime.now(UTC) - last < after:
            continue
        told = f"asked last {last:%Y-%m-%d}" if asked else f"asked never since {last:%Y-%m-%d}"
        size = sum(size for _, size, _ in files)
        command = f"slipway endpoints stop {name}"
        found.append(Idle(what="endpoint", name=name, sentence=f"runs, {told}", command=command, size_bytes=size))
    return tuple(found)


def _served(tx: ReadTransaction, workspace: Workspace, name: str) -> list[tuple[float, int]]:
    """How long each revision served, in seconds of the store's clock, and by how many workers at most."""
    revisions = sorted(entries.every(tx, Revision, project=workspace.project, name=name), key=lambda one: one.number)
    ends: list[datetime] = [one.created_at for one in revisions[1:]]
    spans = []
    for revision, until in zip(revisions, [*ends, workspace.clock.now()], strict=True):
        stops = [one.at for one in tx.events(subject=f"revision:{revision.id}") if one.verb == "endpoints.stop"]
        seconds = (min([until, *stops]) - revision.created_at).total_seconds()
        spans.append((max(0.0, seconds), revision.workers))  # clocks that disagree make no time of it
    return spans


def _scored(tx: ReadTransaction, workspace: Workspace, newest: Revision) -> list[tuple[float, int]]:
    """How long each scoring took, and by how many workers at most."""
    parent = f"{workspace.project}/{newest.name}"
    return [(one.seconds, min(newest.workers, max(1, one.parts))) for one in entries.every(tx, Scoring, parent=parent)]


def _worth(tx: ReadTransaction, workspace: Workspace, newest: Revision) -> tuple[Worth, ...]:
    """What was measured of its value: the standing of its contracts, A/B tests that ended, the last look at each KPI."""
    parent, found = f"{workspace.project}/{newest.name}", []
    for contract in entries.every(tx, KeptContract, project=workspace.project):
        if newest.name in contract.endpoints and contract.standing is not None:
            told = f"{contract.terms.kpi}: {contract.standing.verdict}. {contract.standing.sentence}"
            found.append(Worth(by="metric contract", sentence=told, at=contract.standing.at))
    for test in entries.every(tx, ABTest, parent=parent):
        if test.ended_at is not None and test.looks:
            found.append(Worth(by="A/B test", sentence=test.looks[-1].sentence, at=test.ended_at))
    kpis = [one.name for one in newest.monitors if one.kind == "kpi"]
    found += _last_looks(kpis, entries.find(tx, Finding, parent=parent, limit=_FINDINGS))
    return tuple(found)


def _last_looks(names: Sequence[str], findings: Iterable[Finding]) -> list[Worth]:
    first: dict[str, Finding] = {}
    for one in findings:
        if one.name in names and one.state != "cannot tell":
            first.setdefault(one.name, one)
    return [Worth(by=name, sentence=one.sentence, at=one.created_at) for name, one in first.items()]


def _files(folder: Path) -> list[tuple[Path, int, datetime]]:
    """The files of a folder, relative to it, with size and time of the last change; one that goes meanwhile is left out."""
    found = []
    for path in folder.rglob("*"):
        try:
            stat = path.lstat()
        except FileNotFoundError:
            continue
        if path.is_file() and not path.is_symlink():
            found.append((path.relative_to(folder), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
    return found
