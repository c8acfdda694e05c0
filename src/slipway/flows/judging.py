"""Judging a version for an endpoint: the declared gate, the collected evidence, the approvals, one verdict."""

from __future__ import annotations

from slipway.errors import GateRefused, NotFound
from slipway.flows.approve import approvals_of, authors_of
from slipway.flows.evidence import champion_of, collect
from slipway.flows.floors import floor_in
from slipway.gates.floors import effective
from slipway.gates.judge import judge, verdict
from slipway.governance.telling import tell_of_verdict
from slipway.ledger import entries, events, lineage
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.gates import Approval, GateSpec, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.models import Bundle, ModelVersion

__all__ = ["declared_endpoint", "judge_version", "refusal"]


def declared_endpoint(workspace: Workspace, name: str, *, model: str = "") -> DeclaredEndpoint:
    """What the project declared of an endpoint; one that was never declared has the environment's floor as its gate."""
    id = declared_id(workspace.project, workspace.environment, name)
    with workspace.ledger.read() as tx:
        try:
            return entries.get(tx, DeclaredEndpoint, id)
        except NotFound:
            return DeclaredEndpoint(
                id=id, project=workspace.project, name=name, created_at=workspace.clock.now(), model=model or name
            )


def judge_version(
    workspace: Workspace,
    version: ModelVersion,
    bundle: Bundle,
    declared: DeclaredEndpoint,
    *,
    keep: bool,
    standing: StandingApproval | None = None,
) -> Verdict:
    """Judge a version by an endpoint's gate.

    Args:
        workspace: Where evidence and approvals are.
        version: What is judged.
        bundle: Its manifest.
        declared: The endpoint's declaration.
        keep: Whether the verdict goes into the ledger.
        standing: The standing approval under which the version was made; it counts as its giver's word.
    """
    gate = effective(declared.gate, workspace.environment, floor_in(workspace))
    is_known, is_itself = _champion(workspace, version, declared.name)
    now = workspace.clock.now()
    approvals = approvals_of(workspace, version.bundle)
    if standing is not None and any(
        (one.actor.name, one.name) == (standing.actor.name, standing.role) for one in approvals
    ):
        standing = None  # what its giver says of these very bytes goes before what they said of the policy
    if standing is not None:
        approvals.append(_word(standing, version))
    outcomes = judge(
        gate,
        collect(workspace, version, bundle, gate, endpoint=declared.name),
        approvals,
        subject=version.bundle,
        at=now,
        champion_known=is_known,
        is_champion=is_itself,
        model=version.name,
        number=version.number,
        authors=authors_of(workspace, version),
    )
    ruling = verdict(
        outcomes,
        gate=gate,
        subject=version.bundle,
        environment=workspace.environment,
        actor=workspace.actor,
        project=workspace.project,
        model=version.name,
        at=now,
    )
    if keep:
        with workspace.ledger.write() as tx:
            entries.put(tx, ruling, expect=0)
            lineage.link(tx, f"bundle:{version.bundle}", f"verdict:{ruling.id}", "judged")
            if standing is not None:
                lineage.link(tx, f"standing:{standing.id}", f"verdict:{ruling.id}", "approved")
            tell_of_verdict(tx, workspace, version, ruling, waits_for=_waits_for(gate, ruling))
            events.record(tx, workspace, "gates.judge", f"bundle:{version.bundle}", passed=ruling.passed)
    return ruling


def _champion(workspace: Workspace, version: ModelVersion, endpoint: str) -> tuple[bool, bool]:
    """Whether another version is the champion, and whether this very one is."""
    try:
        champion = champion_of(workspace, version.name, endpoint=endpoint)
    except NotFound:  # what is called champion is gone: the comparisons with it then cannot tell
        return True, False
    is_itself = champion is not None and champion.bundle == version.bundle
    return champion is not None and not is_itself, is_itself


def _waits_for(gate: GateSpec, ruling: Verdict) -> tuple[str, ...]:
    """The roles whose words are all that is missing; () where something else is, or nothing."""
    judged = zip(gate.checks, ruling.outcomes, strict=True)
    against = [check for check, outcome in judged if outcome.result in ("refused", "cannot tell")]
    is_only_words = all(check.kind == "approval" for check in against)
    return tuple(dict.fromkeys(check.role for check in against)) if is_only_words else ()


def _word(standing: StandingApproval, version: ModelVersion) -> Approval:
    comment = f"standing approval of the policy until {standing.until:%Y-%m-%d}"
    return Approval(
        id=standing.id,
        project=standing.project,
        name=standing.role,
        created_at=standing.created_at,
        bundle=version.bundle,
        actor=standing.actor,
        decision="approved",
        comment=f"{comment}; {standing.comment}" if standing.comment else comment,
        expires_at=standing.until,
    )


def refusal(version: ModelVersion, ruling: Verdict) -> GateRefused:
    """The error that says what a verdict found against a version."""
    against = [outcome for outcome in ruling.outcomes if outcome.result in ("refused", "cannot tell")]
    first = against[0]
    more = f" ({len(against) - 1} more checks did not pass.)" if len(against) > 1 else ""
    helped = f" Who can help: {first.helper}." if first.helper else ""
    return GateRefused(
        f"{version.name} {version.number} was refused for {ruling.environment}: {first.check}.",
        why=f"{first.result.capitalize()}: {first.found}.{more}{helped}",
        fix=first.fix or f"See the evidence: slipway models show {version.name}",
        verdict=ruling,
    )
