"""Approve: a person's word for one bundle, bound to its digest."""

from datetime import timedelta
from typing import Literal, cast

from slipway.errors import Denied, InvalidInput, near
from slipway.governance.raci import check_holds, check_speaks
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.ledger.sealed_records import kept
from slipway.models import registry
from slipway.operations.governance import Grant, Granted
from slipway.ports.workspace import Workspace
from slipway.records.gates import Approval
from slipway.records.models import ModelVersion
from slipway.records.people import Person
from slipway.records.runs import Run

__all__ = ["approvals_of", "authors_of", "grant"]

_DECISIONS = ("approved", "rejected")


def grant(workspace: Workspace, request: Grant) -> Granted:
    """Approve or reject a model version in a role.

    Raises:
        InvalidInput: Neither "approved" nor "rejected", or the days do not fit.
        Denied: Whoever asks made the bundle, does not hold the role, or is not who slipway.toml makes accountable.
        NotFound: No such model or version.
    """
    if request.decision not in _DECISIONS:
        raise InvalidInput(
            f"{request.decision!r} is no decision.",
            fix=near(request.decision, _DECISIONS, what="decisions"),
            field="decision",
        )
    if not 1 <= request.days <= 366:
        raise InvalidInput(
            f"An approval cannot count for {request.days} days.", fix="Give 1 to 366: --days 30.", field="days"
        )
    version = registry.get(workspace, request.model, request.version)
    _check_giver(workspace, version, request)
    now = workspace.clock.now()
    approval = Approval(
        id=new_id(),
        project=workspace.project,
        name=request.role,
        created_at=now,
        bundle=version.bundle,
        actor=workspace.actor,
        decision=cast("Literal['approved', 'rejected']", request.decision),
        comment=request.comment,
        expires_at=now + timedelta(days=request.days) if request.decision == "approved" else None,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, approval, expect=0)
        lineage.link(tx, f"bundle:{version.bundle}", f"approval:{approval.id}", request.decision)
        events.record(
            tx,
            workspace,
            "approvals.grant",
            f"bundle:{version.bundle}",
            model=version.name,
            number=version.number,
            role=request.role,
            decision=request.decision,
            kept=kept(approval),
        )
    return Granted(approval=approval)


def authors_of(workspace: Workspace, version: ModelVersion) -> tuple[str, ...]:
    """Who made a version: who registered it, and who ran what it came from. Nobody, while the store knows nobody.

    A team of one approves its own work; as soon as there is somebody else, they do.
    """
    with workspace.ledger.read() as tx:
        if not entries.find(tx, Person, limit=1):
            return ()
        has_run = version.run_id and entries.etag(tx, Run, version.run_id)
        run = entries.as_stored(tx, Run, version.run_id) if has_run else None
    return tuple(dict.fromkeys([version.actor.name, *([run.actor.name] if run else []), *version.made_by]))


def _check_giver(workspace: Workspace, version: ModelVersion, request: Grant) -> None:
    giver = workspace.actor
    if request.decision == "approved" and giver.name in authors_of(workspace, version):
        raise Denied(
            f"{giver.name} made {version.name} {version.number}, and cannot approve it.",
            why="Who answers for a model is not who made it.",
            fix="Ask somebody else whose role may approve: slipway people list",
        )
    if request.decision == "approved":  # against a model anybody with the right may speak
        check_speaks(workspace, request.role)
    check_holds(workspace, request.role)


def approvals_of(workspace: Workspace, bundle: str) -> list[Approval]:
    """The approvals and rejections bound to a bundle's digest, oldest first."""
    with workspace.ledger.read() as tx:
        links = tx.links(f"bundle:{bundle}", towards=False)
        ids = [link.target.partition(":")[2] for link in links if link.target.startswith("approval:")]
        found = [entries.get(tx, Approval, id) for id in ids]
    return sorted(found, key=lambda approval: (approval.created_at, approval.id))
