"""What probably caused an incident: what changed before it began, the nearest in time and in lineage first.

Ranking is a pure function of what changed; gathering reads it from the ledger. It says what is likely, never what is so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from slipway.errors import SlipwayError
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureDefinition, FeatureSetSpec, View, Windows
from slipway.records.monitors import Incident
from slipway.records.sources import Sync
from slipway.records.tables import TableVersion

__all__ = ["Change", "Suspect", "gather", "meanwhile", "rank", "suspects"]

Sort = Literal["model", "deployment", "feature", "table", "sync"]

_LOOKED_BACK = timedelta(days=14)
_HALF = timedelta(hours=24)
_SLACK = timedelta(hours=1)
_ROWS = 30
_LIKELY: dict[str, dict[Sort, float]] = {
    "broken feed": {"sync": 1.0, "table": 1.0, "feature": 0.9, "deployment": 0.3, "model": 0.3},
    "skew": {"feature": 1.0, "table": 0.8, "deployment": 0.7, "model": 0.7, "sync": 0.6},
    "quality": {"model": 1.0, "feature": 0.8, "deployment": 0.7, "table": 0.5, "sync": 0.5},
    "estimated quality": {"table": 0.8, "sync": 0.8, "feature": 0.8, "model": 0.8, "deployment": 0.6},
    "kpi": {"model": 1.0, "deployment": 0.8, "feature": 0.7, "table": 0.5, "sync": 0.5},
    "drift": {"table": 0.9, "sync": 0.9, "feature": 0.9, "model": 0.6, "deployment": 0.5},
    "service": {"deployment": 1.0, "model": 1.0, "feature": 0.5, "table": 0.2, "sync": 0.2},
    "no results": {"deployment": 1.0, "model": 1.0, "feature": 0.5, "table": 0.2, "sync": 0.2},
}
_NEAR = {"its own": 1.0, "read by it": 0.6, "elsewhere": 0.2}


class Change(Struct, frozen=True, kw_only=True):
    """Something that changed.

    Args:
        sort: What sort of thing.
        sentence: What, in words.
        at: When.
        node: As lineage calls it.
        command: What shows it.
        near: How it is related to what the incident is about: "its own" feed, view or endpoint; "read by it"; or not known.
    """

    sort: Sort
    sentence: str
    at: datetime
    node: str = ""
    command: str = ""
    near: Literal["its own", "read by it", "elsewhere"] = "read by it"


class Suspect(Struct, frozen=True, kw_only=True):
    """A change that may be the cause, with how much speaks for it, from 0 to 1."""

    change: Change
    weight: float


def rank(kind: str, changes: Iterable[Change], since: datetime, *, most: int = 3) -> tuple[Suspect, ...]:
    """The changes that may have caused something, the likeliest first.

    Each is weighed by its sort, by its relation and by its age: half as much a day before. What came later than an hour
    after the beginning is no cause; what is older than two weeks would have shown itself.

    Args:
        kind: The kind of cause of the incident.
        changes: What changed.
        since: When it began.
        most: How many at most.
    """
    likely = _LIKELY.get(kind, {})
    found = []
    for one in changes:
        before = since - one.at
        if not -_SLACK <= before <= _LOOKED_BACK:
            continue
        age = math.pow(0.5, max(before, timedelta()) / _HALF)
        found.append(Suspect(change=one, weight=round(likely.get(one.sort, 0.5) * _NEAR[one.near] * age, 4)))
    found.sort(key=lambda one: (-one.weight, one.change.at, one.change.node))
    return tuple(found[:most])


def suspects(workspace: Workspace, incident: Incident) -> tuple[Suspect, ...]:
    """What probably caused an incident; () where nothing changed before it, or it is of no endpoint."""
    endpoint = incident.parent_id.partition("/")[2]
    if ":" in endpoint or incident.cause in ("rollout", "break-glass", "scoring"):
        return ()
    return rank(incident.cause, gather(workspace, incident, endpoint), incident.since or incident.created_at)


def meanwhile(workspace: Workspace, incident: Incident, *, most: int = 3) -> tuple[Change, ...]:
    """What changed while a closed incident was open, the newest first; () of one that is open, or of no endpoint.

    Args:
        workspace: The project's.
        incident: Which one.
        most: How many at most.
    """
    endpoint = incident.parent_id.partition("/")[2]
    if incident.closed_at is None or ":" in endpoint:
        return ()
    between = [
        one for one in gather(workspace, incident, endpoint) if incident.created_at <= one.at <= incident.closed_at
    ]
    return tuple(sorted(between, key=lambda one: (one.at, one.node), reverse=True)[:most])


def gather(workspace: Workspace, incident: Incident, endpoint: str) -> list[Change]:
    """What changed at an endpoint and at all that it reads, as the ledger knows it.

    Args:
        workspace: The project's.
        incident: Which part of it is concerned.
        endpoint: The endpoint's name.
    """
    with workspace.ledger.read() as tx:
        revisions = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=_ROWS)
    if not revisions:
        return []
    features = _features_of(workspace, max(revisions, key=lambda one: one.number))
    with workspace.ledger.read() as tx:
        return [*_of_revisions(revisions), *_of_features(tx, workspace, features, incident)]


def _features_of(workspace: Workspace, revision: Revision) -> FeatureSetSpec | None:
    try:
        version = registry.get(workspace, revision.served.model, revision.served.number)
        return registry.bundle_of(workspace, version).features
    except SlipwayError:  # what made it is gone; what else changed is told all the same
        return None


def _of_revisions(revisions: Iterable[Revision]) -> Iterator[Change]:
    before: Revision | None = None
    for one in sorted(revisions, key=lambda one: one.number):
        is_new = before is not None and before.served != one.served
        began = is_new or before is None
        what = f"{one.served.model} {one.served.number} began to serve" if began else "another revision was published"
        yield Change(
            sort="model" if is_new else "deployment",
            sentence=f"{what} (revision {one.number}, {one.reason}, by {one.actor.name})",
            at=one.created_at,
            node=f"revision:{one.id}",
            command=f"slipway endpoints show {one.name}",
            near="its own",
        )
        before = one


def _of_features(
    tx: ReadTransaction, workspace: Workspace, features: FeatureSetSpec | None, incident: Incident
) -> Iterator[Change]:
    tables: dict[str, bool] = {}
    for part in features.parts if features else ():
        is_own = _is_about(part, incident)
        names = [part.name]
        if isinstance(part, Windows):
            names = [f"{part.name}_{one.name}" for one in part.aggregates]
        read = (part.source,) if isinstance(part, Windows) else part.sources if isinstance(part, View) else ()
        for table in read:
            tables[table] = tables.get(table, False) or is_own
        for name in names:
            for known in entries.find(tx, FeatureDefinition, project=workspace.project, name=name, limit=3):
                if known.number > 1:
                    yield Change(
                        sort="feature",
                        sentence=f"{name} was defined anew (number {known.number})",
                        at=known.created_at,
                        node=f"feature:{known.id}",
                        command=f"slipway features show {name}",
                        near="its own" if is_own else "read by it",
                    )
    for table, is_own in tables.items():
        yield from _of_table(tx, workspace, table, "its own" if is_own else "read by it")


def _is_about(part: object, incident: Incident) -> bool:
    if isinstance(part, Windows):
        return incident.about in (f"windows over {part.source}", part.name)
    if isinstance(part, View):
        return incident.about in (f"feature view {part.name}", part.name)
    return getattr(part, "name", None) in incident.columns


def _of_table(
    tx: ReadTransaction, workspace: Workspace, table: str, near: Literal["its own", "read by it"]
) -> Iterator[Change]:
    owner, _, name = table.rpartition("/")
    project = owner or workspace.project
    for one in entries.find(tx, TableVersion, project=project, name=name, limit=_ROWS):
        if one.number > 1:
            yield Change(
                sort="table",
                sentence=f"version {one.number} of the table {table} came in, {one.rows:,} rows",
                at=one.created_at,
                node=f"table:{one.id}",
                command=f"slipway data diff {name} {one.number - 1} {one.number}",
                near=near,
            )
    for sync in entries.find(tx, Sync, project=project, name=name, limit=_ROWS):
        if sync.state == "failed":
            yield Change(
                sort="sync",
                sentence=f"a sync of the table {table} failed: {sync.sentence}",
                at=sync.ended_at or sync.created_at,
                node=f"sync:{sync.id}",
                command=f"slipway data sync {name}",
                near=near,
            )
