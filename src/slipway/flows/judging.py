"""Judging a version for an endpoint: the declared gate, the collected evidence, the approvals, one verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from slipway.errors import GateRefused, NotFound
from slipway.flows.approve import approvals_of, authors_of
from slipway.flows.evidence import champion_of, collect
from slipway.flows.floors import floor_in
from slipway.flows.scoped_rate import at_scoped_rate
from slipway.flows.who_can import answered_for, is_hopeless, is_waiting, words_of
from slipway.gates.floors import effective
from slipway.gates.judge import judge, verdict
from slipway.governance.asked import asked
from slipway.governance.telling import tell_of_verdict
from slipway.ledger import entries, events, lineage
from slipway.ledger.sealed_records import kept
from slipway.monitoring.declare import Drift
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.gates import Approval, CheckSpec, Evidence, GateSpec, Outcome, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.models import Bundle, ModelVersion

__all__ = ["declared_endpoint", "judge_version", "judge_words", "refusal"]

_MANY = 10_000
_MEANT = "dev"  # the environment that commands mean without --env
_ENDS_WITH_COMMAND = re.compile(r"(?:^|: )slipway (?!.*\.$)")


def declared_endpoint(workspace: Workspace, name: str, *, model: str = "") -> DeclaredEndpoint:
    """What the project declared of an endpoint.

    One that was never declared has the gates that the project declared for the model elsewhere in the environment, all of
    them: another name is no way round. Where there are none, the environment's floor is its gate. Drift of its inputs is
    watched in any case: what it takes to tell is in the bundle.
    """
    id = declared_id(workspace.project, workspace.environment, name)
    with workspace.ledger.read() as tx:
        try:
            return entries.get(tx, DeclaredEndpoint, id)
        except NotFound:
            others = entries.find(tx, DeclaredEndpoint, project=workspace.project, limit=_MANY)
    home = declared_id(workspace.project, workspace.environment, "")
    gates = [one.gate for one in others if one.id.startswith(home) and one.model == (model or name) and one.gate]
    checks = [check for gate in gates for check in gate.checks]
    return DeclaredEndpoint(
        id=id,
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        model=model or name,
        gate=GateSpec(checks=tuple(check for n, check in enumerate(checks) if check not in checks[:n]))
        if gates
        else None,
        monitors=(Drift().spec(),),
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
    with workspace.ledger.read() as tx:
        gate = at_scoped_rate(tx, workspace.project, declared.name, gate)
    is_known, is_itself = _champion(workspace, version, declared.name)
    now = workspace.clock.now()
    approvals = approvals_of(workspace, version.bundle)
    if standing is not None and any(
        (one.actor.name, one.name) == (standing.actor.name, standing.role) for one in approvals
    ):
        standing = None  # what its giver says of these very bytes goes before what they said of the policy
    if standing is not None:
        approvals.append(_word(standing, version))
    evidence = collect(workspace, version, bundle, gate, endpoint=declared.name)
    outcomes = _outcomes(workspace, version, gate, approvals, evidence, is_known=is_known, is_champion=is_itself)
    ruling = verdict(
        [_here(workspace.environment, one) for one in outcomes],
        gate=gate,
        subject=version.bundle,
        environment=workspace.environment,
        actor=workspace.actor,
        project=workspace.project,
        model=version.name,
        at=now,
    )
    if keep:
        authors = authors_of(workspace, version)
        with workspace.ledger.write() as tx:
            entries.put(tx, ruling, expect=0)
            lineage.link(tx, f"bundle:{version.bundle}", f"verdict:{ruling.id}", "judged")
            if standing is not None:
                lineage.link(tx, f"standing:{standing.id}", f"verdict:{ruling.id}", "approved")
            tell_of_verdict(tx, workspace, version, ruling, waits_for=_waits_for(gate, ruling), authors=authors)
            about = f"bundle:{version.bundle}"
            events.record(tx, workspace, "gates.judge", about, passed=ruling.passed, kept=kept(ruling))
    return ruling


def judge_words(workspace: Workspace, version: ModelVersion, checks: Sequence[CheckSpec]) -> tuple[Outcome, ...]:
    """Judge the words alone that a gate asks people for; no verdict is made of it.

    Args:
        workspace: Where the words are.
        version: What they are about.
        checks: The gate's checks of kind "approval".

    Returns:
        One outcome a check.
    """
    approvals = approvals_of(workspace, version.bundle)
    return _outcomes(workspace, version, GateSpec(checks=tuple(checks)), approvals, ())


def _outcomes(
    workspace: Workspace,
    version: ModelVersion,
    gate: GateSpec,
    approvals: Sequence[Approval],
    evidence: Sequence[Evidence],
    *,
    is_known: bool = False,
    is_champion: bool = False,
) -> tuple[Outcome, ...]:
    """What the judge says, with the names of those whose matter it is."""
    now, authors = workspace.clock.now(), authors_of(workspace, version)
    outcomes = judge(
        gate,
        evidence,
        approvals,
        subject=version.bundle,
        at=now,
        champion_known=is_known,
        is_champion=is_champion,
        model=version.name,
        number=version.number,
        authors=authors,
    )
    with workspace.ledger.read() as tx:
        return answered_for(asked(tx, workspace), gate.checks, outcomes, words_of(approvals, authors, now))


def _champion(workspace: Workspace, version: ModelVersion, endpoint: str) -> tuple[bool, bool]:
    """Whether another version is the champion, and whether this very one is."""
    try:
        champion = champion_of(workspace, version.name, endpoint=endpoint)
    except NotFound:  # what is called champion is gone: the comparisons with it then cannot tell
        return True, False
    is_itself = champion is not None and champion.bundle == version.bundle
    return champion is not None and not is_itself, is_itself


def _waits_for(gate: GateSpec, ruling: Verdict) -> dict[str, int]:
    """The roles whose words are all that is missing, and of how many people; none where something else is, or nothing."""
    judged = zip(gate.checks, ruling.outcomes, strict=True)
    against = [check for check, outcome in judged if outcome.result in ("refused", "cannot tell")]
    is_only_words = all(check.kind == "approval" for check in against) and not any(map(is_hopeless, ruling.outcomes))
    counts = [(check.role, max(check.count, 1)) for check in against] if is_only_words else []
    return {role: max(count for other, count in counts if other == role) for role, _ in counts}


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


def _here(environment: str, outcome: Outcome) -> Outcome:
    """With the environment in the command that comes next, where it is not the one that commands mean by themselves."""
    if environment == _MEANT or not _ENDS_WITH_COMMAND.search(outcome.fix) or "--env" in outcome.fix:
        return outcome
    return msgspec.structs.replace(outcome, fix=f"{outcome.fix} --env {environment}")


def refusal(version: ModelVersion, ruling: Verdict) -> GateRefused:
    """The error that says what a verdict found against a version."""
    against = [outcome for outcome in ruling.outcomes if outcome.result in ("refused", "cannot tell")]
    against.sort(key=is_waiting)  # what nobody's word mends is said first
    first = against[0]
    left = len(against) - 1
    more = f" ({left} more check{'s' if left > 1 else ''} did not pass.)" if left else ""
    helped = f" Who can help: {first.helper}." if first.helper else ""
    return GateRefused(
        f"{version.name} {version.number} was refused for {ruling.environment}: {first.check}.",
        why=f"{first.result.capitalize()}: {first.found}.{more}{helped}",
        fix=first.fix or f"See the evidence: slipway models show {version.name}",
        verdict=ruling,
    )
