"""What was serving when, and why: read from revisions, verdicts and words given, which nobody writes twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.flows.approve import approvals_of
from slipway.flows.endpoints import revision_of
from slipway.ledger import entries
from slipway.models.manifest import decode_manifest
from slipway.operations.audit import Arm, AskServing, Served, Serving
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import BreakGlass, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.models import Bundle, ModelVersion
from slipway.records.record import Record
from slipway.records.runs import CodeVersion
from slipway.schema.moments import moment

__all__ = ["serving"]

R = TypeVar("R", bound=Record)

_STOP = "endpoints.stop"
_STANDING = "standing:"


def serving(workspace: Workspace, request: AskServing) -> Serving:
    """What an endpoint was to serve at a moment or over a period, who let it, and on which evidence.

    Raises:
        NotFound: Nothing was ever deployed there, or not yet then.
        InvalidInput: A moment cannot be read or is still to come, the period ends before it begins, or both are asked for.
    """
    since, until = _asked(workspace, request)
    revision_of(workspace, request.endpoint)
    with workspace.ledger.read() as tx:
        found = list(entries.every(tx, Revision, project=workspace.project, name=request.endpoint))
    revisions = sorted(found, key=lambda revision: revision.number)
    ends = [after.created_at for _, after in pairwise(revisions)]
    spans = list(zip(revisions, [*ends, None], strict=True))
    wanted = [
        (revision, end)
        for revision, end in spans
        if (until is None or revision.created_at < until or revision.created_at == since)
        and (since is None or end is None or end > since)
    ]
    if not wanted:
        first = revisions[0]
        raise NotFound(
            f"Nothing served at {request.endpoint!r} yet at {until:%Y-%m-%d %H:%M} UTC.",
            fix=f"Its first revision is of {first.created_at:%Y-%m-%d %H:%M} UTC, by {first.actor}.",
        )
    told = tuple(_served(workspace, revision, end, until) for revision, end in wanted)
    return Serving(endpoint=request.endpoint, served=told)


def _asked(workspace: Workspace, request: AskServing) -> tuple[datetime | None, datetime | None]:
    """The period, both ends with it; a moment is one of no length."""
    if request.at and (request.since or request.until):
        raise InvalidInput("A moment and a period are asked for.", fix="Give --at, or --since and --until.", field="at")
    if request.at:
        at = moment(request.at)
        _refuse_future(workspace, at, "at")
        return at, at
    since = moment(request.since, field="since") if request.since else None
    until = moment(request.until, field="until") if request.until else None
    if since is not None:
        _refuse_future(workspace, since, "since")
    if since is not None and until is not None and until <= since:
        raise InvalidInput(
            f"The period from {request.since} until {request.until} has no length.",
            fix="Let it end after it begins.",
            field="until",
        )
    return since, until


def _refuse_future(workspace: Workspace, at: datetime, field: str) -> None:
    now = workspace.clock.now()
    if at > now:
        raise InvalidInput(
            f"{at:%Y-%m-%d %H:%M} UTC is still to come.",
            fix=f"It is {now:%Y-%m-%d %H:%M} UTC: ask for that or earlier.",
            field=field,
        )


def _served(workspace: Workspace, revision: Revision, end: datetime | None, until: datetime | None) -> Served:
    known_until = min((at for at in (end, until) if at is not None), default=None)
    bundle, note = _bundle_of(workspace, revision)
    with workspace.ledger.read() as tx:
        version = next(iter(_versions(tx, revision)), None)
        ruling = _found(tx, Verdict, revision.verdict_id)
        links = tx.links(f"verdict:{revision.verdict_id}", towards=True) if ruling else []
        words = [link.source.removeprefix(_STANDING) for link in links if link.source.startswith(_STANDING)]
        standing = [_found(tx, StandingApproval, id) for id in words]
        uses = entries.find(tx, BreakGlass, project=revision.project, name=revision.name, limit=10_000)
        stops = [event.at for event in tx.events(subject=f"revision:{revision.id}") if event.verb == _STOP]
    return Served(
        since=revision.created_at,
        until=end,
        revision=revision.number,
        environment=revision.environment,
        arms=_arms(revision),
        actor=revision.actor,
        reason=revision.reason,
        stopped_at=next((at for at in stops if until is None or at <= until), None),
        verdict=ruling,
        approvals=tuple(
            given
            for given in approvals_of(workspace, revision.served.bundle)
            if known_until is None or given.created_at <= known_until
        ),
        standing=tuple(word for word in standing if word is not None),
        broken=next((use for use in uses if ruling is not None and use.verdict_id == ruling.id), None),
        data=bundle.data if bundle else (),
        code=bundle.code if bundle else CodeVersion(),
        run_id=(bundle.run_id if bundle else "") or (version.run_id if version else ""),
        note=note,
    )


def _arms(revision: Revision) -> tuple[Arm, ...]:
    beside = revision.challengers
    share = sum(one.fraction for one in beside)
    served = [(revision.served, 1.0 - share), *((one.served, one.fraction) for one in beside)]
    return tuple(Arm(model=one.model, version=one.number, bundle=one.bundle, share=part) for one, part in served)


def _versions(tx: ReadTransaction, revision: Revision) -> Sequence[ModelVersion]:
    served = revision.served
    return entries.find(tx, ModelVersion, project=revision.project, name=served.model, number=served.number, limit=1)


def _bundle_of(workspace: Workspace, revision: Revision) -> tuple[Bundle | None, str]:
    """A bundle's digest is that of its manifest's bytes, so it is found also where its version was purged."""
    try:
        return decode_manifest(workspace.blobs.get(revision.served.bundle)), ""
    except (NotFound, Corrupt) as problem:
        return None, f"What it was made of is not known any more: {problem.what}"


def _found(tx: ReadTransaction, kind: type[R], id: str) -> R | None:
    return entries.get(tx, kind, id) if id and entries.etag(tx, kind, id) else None
