"""Deploy: judge, publish a signed revision, let the endpoint's process serve it; and the way back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import msgspec

from slipway.errors import BackendError, Conflict, GateRefused, InvalidInput, NotFound
from slipway.flows import rollouts
from slipway.flows.abtest_state import refuse_while_testing
from slipway.flows.approve import approvals_of
from slipway.flows.behind import fallback_for
from slipway.flows.break_glass import break_glass
from slipway.flows.callers import check_breaks, tell_breaks
from slipway.flows.contracts import request_fields
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.evidence import CHAMPION
from slipway.flows.judging import declared_endpoint, judge_version, refusal
from slipway.flows.old_system import check_fields
from slipway.flows.publish import publish_revision
from slipway.flows.revision_changes import change_of
from slipway.flows.rollout_due import is_due, refuse_unlike
from slipway.flows.rollout_words import worded
from slipway.flows.score import spec_of
from slipway.flows.scored_rows import point_back
from slipway.flows.trained_on import training_of
from slipway.flows.turns import check_seen, turn
from slipway.ids import check_name
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.endpoints import Check, Deploy, Deployed, Rollback
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.gates import Verdict
from slipway.records.models import Bundle, ModelVersion
from slipway.records.rollouts import RevisionChange
from slipway.records.schema import Field
from slipway.serving.reach import read_reach

__all__ = ["check", "contract_of", "deploy", "draft_of", "earlier", "go_back", "rollback"]

_GUARDED = "prod"


def deploy(workspace: Workspace, request: Deploy) -> Deployed:
    """Judge a model version and, when its gate lets it through, let it serve.

    Where the endpoint declares a roll-out and something serves already, the version begins as its challenger; the
    controller takes it from there. Deployments of one endpoint take turns: each is judged against what the one before it made the champion.

    Raises:
        NotFound: No such model or version.
        InvalidInput: A name or port that cannot be.
        GateRefused: A check refused or could not tell; the verdict is on the error and in the ledger.
        Conflict: The endpoint is prod's, a roll-out is under way, others deploy to it all the time, or its contract would
            break a caller that was seen lately.
        BackendError: The endpoint's process did not take the revision; the former one still serves.
    """
    _check_port(request.port)
    version = registry.get(workspace, request.model, request.version)
    bundle = registry.bundle_of(workspace, version)
    name = check_name(request.endpoint or version.name, "endpoint")
    declared = declared_endpoint(workspace, name, model=version.name)
    if request.dry_run:
        return _only_judged(workspace, request, version, bundle, declared)
    with turn(workspace, name):
        _check_place(workspace, declared, request.expect)
        if not request.at_once and not request.break_glass:
            rollouts.refuse_while_under_way(workspace, name)
            refuse_while_testing(workspace, name)
        ruling = judge_version(workspace, version, bundle, declared, keep=True)
        is_broken = bool(request.break_glass) and not ruling.passed
        if is_broken:
            broken = break_glass(workspace, version, ruling, endpoint=name, reason=request.break_glass)
        elif not ruling.passed:
            raise refusal(version, ruling)
        draft = draft_of(workspace, version, bundle, declared)
        if request.port and draft.port not in (0, request.port):
            workspace.say(f"{name} answers on port {draft.port} until it is stopped; {request.port} counts from then.")
        draft = msgspec.structs.replace(draft, port=request.port or draft.port, verdict_id=ruling.id)
        if is_broken:
            draft = msgspec.structs.replace(draft, reason=f"break-glass: {broken.reason}")
        audited = check_breaks(workspace, draft, request.breaking)
        former = _present(workspace, name)
        if not is_broken and _is_rolled_out(workspace, request, declared, draft):
            begun = rollouts.begin(
                workspace, declared, draft, also=lambda tx, rollout: audited(tx, rollout.is_under_way)
            )
            if not begun.is_under_way:
                raise BackendError(
                    f"{version.name} {version.number} cannot be rolled out at {name!r}; the champion serves on.",
                    why=begun.reason,
                    fix=f"Read {folder_of(workspace, name) / 'front.log'}, and deploy again.",
                )
            revision = revision_of(workspace, name)
            status = workspace.launcher.status(folder_of(workspace, name))
            return Deployed(verdict=ruling, revision=revision, status=status, change=change_of(former, revision))
        revision, status = publish_revision(
            workspace, draft, [version], "endpoints.deploy", also=lambda tx, revision: audited(tx)
        )
        if registry.aliases(workspace, version.name).get(CHAMPION) != version.number:
            registry.set_alias(workspace, version.name, CHAMPION, version.number, reason=f"serves {name}")
    change = change_of(former, revision, told=_again(former, draft))
    return Deployed(verdict=ruling, revision=revision, status=status, change=change)


def _is_rolled_out(workspace: Workspace, request: Deploy, declared: DeclaredEndpoint, draft: Revision) -> bool:
    if request.at_once:
        return False
    refuse_unlike(workspace, declared, draft)
    return is_due(workspace, declared, draft)


def _only_judged(
    workspace: Workspace, request: Deploy, version: ModelVersion, bundle: Bundle, declared: DeclaredEndpoint
) -> Deployed:
    """What would be said of a deployment now; nothing is changed."""
    if request.gate is not None:
        declared = msgspec.structs.replace(declared, gate=request.gate)
    ruling = judge_version(workspace, version, bundle, declared, keep=False)
    draft = draft_of(workspace, version, bundle, declared)
    tell_breaks(workspace, draft)
    change = _would_change(workspace, request, declared, draft) if ruling.passed else None
    return Deployed(verdict=ruling, revision=None, status=None, change=change)


def _would_change(workspace: Workspace, request: Deploy, declared: DeclaredEndpoint, draft: Revision) -> RevisionChange:
    """What a deployment would change now, and what would keep it from it."""
    present = _present(workspace, draft.name)
    try:
        _check_place(workspace, declared, request.expect)
        if not request.at_once:
            rollouts.refuse_while_under_way(workspace, draft.name, is_dry=True)
            refuse_unlike(workspace, declared, draft)
    except (Conflict, NotFound) as problem:
        return change_of(present, draft, obstacle=str(problem))
    if present is not None and not request.at_once and is_due(workspace, declared, draft):
        begun = rollouts.planned(workspace, declared, draft)
        first = msgspec.structs.replace(draft, served=present.served, challenger=rollouts.challenger(workspace, begun))
        way = f"canary at {begun.percent} % of the rows" if begun.percent else "in shadow"
        return change_of(present, first, told=(f"The declared roll-out begins {way}.",))
    return change_of(present, draft, told=_again(present, draft))


def _again(present: Revision | None, draft: Revision) -> tuple[str, ...]:
    """Says so where the version serves already."""
    if present is None or present.served.bundle != draft.served.bundle:
        return ()
    served = f"{draft.served.model} {draft.served.number}"
    return (f"{served} serves already, as revision {present.number}: who answers is the same before and after.",)


def _present(workspace: Workspace, name: str) -> Revision | None:
    with workspace.ledger.read() as tx:
        id = tx.ref(workspace.project, "endpoint", name)
        return entries.get(tx, Revision, id) if id else None


def check(workspace: Workspace, request: Check) -> Deployed:
    """What the gate would say of a model version now; nothing is changed.

    Raises:
        NotFound: No such model or version.
    """
    wanted = Deploy(model=request.model, version=request.version, endpoint=request.endpoint, dry_run=True)
    return deploy(workspace, wanted)


def rollback(workspace: Workspace, request: Rollback) -> Deployed:
    """Let an earlier revision serve again, as a new revision equal to it. Its verdict is still its own.

    Raises:
        NotFound: Nothing was deployed there, or no such revision.
        GateRefused: Somebody rejected that bundle since.
        Conflict: There is nothing to go back to, or the endpoint or the revision is another environment's.
        BackendError: The endpoint's process did not take the revision; the present one still serves.
    """
    present = revision_of(workspace, request.name)
    if request.scores:
        spec_of(present)
    with nullcontext() if request.dry_run else turn(workspace, request.name):
        return go_back(workspace, request)


def go_back(
    workspace: Workspace, request: Rollback, *, also: Callable[[WriteTransaction, Revision], None] = lambda tx, _: None
) -> Deployed:
    """What `rollback` does, for who holds the endpoint's turn.

    Args:
        workspace: Whose endpoint.
        request: Which, and to what.
        also: What else is written with the revision.

    Raises:
        NotFound: Nothing was deployed there, or no such revision.
        GateRefused: Somebody rejected that bundle since.
        Conflict: There is nothing to go back to, or the endpoint or the revision is another environment's.
        BackendError: The endpoint's process did not take the revision; the present one still serves.
    """
    check_seen(workspace, request.name, request.expect)
    _check_environment(workspace, request.name)
    found = earlier(workspace, request.name, request.to)
    _refuse_rejected(workspace, found)
    ruling = _passed(workspace, found)
    reason = f"rollback to {found.number}" + (f": {request.reason}" if request.reason else "")
    draft = msgspec.structs.replace(
        found,
        reason=reason,
        actor=workspace.actor,
        created_at=workspace.clock.now(),
        challenger=None,
        beside=(),
        split=None,
    )
    present, rolling = revision_of(workspace, request.name), rollouts.under_way(workspace, request.name)
    told = [f"It equals revision {found.number}."]
    if rolling is not None:
        told.append(f"The roll-out of {rollouts.challenger_name(rolling)} ends.")
    change = change_of(present, draft, told=told)
    if request.dry_run:
        return Deployed(verdict=ruling, revision=None, status=None, change=change)
    version = registry.get(workspace, draft.served.model, draft.served.number)
    audited = check_breaks(workspace, draft, reason)  # the way back stays open, and says whom it breaks

    def written(tx: WriteTransaction, revision: Revision) -> None:
        audited(tx)
        also(tx, revision)
        if rolling is not None:
            why = f"{workspace.actor} went back to revision {found.number}" + (
                f": {request.reason}" if request.reason else "."
            )
            rollouts.put_ended(tx, workspace, worded(workspace, rolling, "rollback", request.reason), why)

    revision, status = publish_revision(workspace, draft, [version], "endpoints.rollback", also=written)
    registry.set_alias(workspace, version.name, CHAMPION, version.number, reason=reason)
    if request.scores:
        point_back(workspace, revision, reason=reason)
    return Deployed(verdict=ruling, revision=revision, status=status, change=change)


def _passed(workspace: Workspace, found: Revision) -> Verdict:
    """The verdict by which an earlier revision serves; one that its gate refused does not come back."""
    with workspace.ledger.read() as tx:
        ruling = entries.get(tx, Verdict, found.verdict_id)
    if not ruling.passed:
        raise GateRefused(
            f"Revision {found.number} of {found.name!r} was let through by break-glass: its gate refused it.",
            why="Going back there would let it serve without anybody's word for it now.",
            fix=f"Go back further: slipway rollback {found.name} --to N",
            verdict=ruling,
        )
    return ruling


def earlier(workspace: Workspace, name: str, to: int = 0) -> Revision:
    """The revision to go back to.

    Args:
        workspace: Whose endpoint.
        name: The endpoint.
        to: Its number; 0 for the last one that answered otherwise than the newest.

    Raises:
        NotFound: There is no such revision.
        Conflict: There is nothing to go back to, or it is another environment's.
    """
    newest = revision_of(workspace, name)
    wanted = to or _one_before(workspace, newest)
    if wanted == 0:
        raise Conflict(
            f"{name!r} has never served anything else: there is nothing to go back to.",
            fix=f"Stop it instead: slipway endpoints stop {name}",
        )
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=name, number=wanted, limit=1)
    if not found:
        raise NotFound(f"{name!r} has no revision {wanted}.", fix=f"Its revisions are 1 to {newest.number}.")
    if workspace.environment == _GUARDED != found[0].environment:
        raise Conflict(
            f"Revision {wanted} of {name!r} was let through for {found[0].environment}, not for {_GUARDED}.",
            why="What another environment lets through was not judged by this one's gate.",
            fix=f"Let it be judged: slipway deploy {found[0].served.model} --version {found[0].served.number} "
            f"--endpoint {name} --env {_GUARDED}",
        )
    return found[0]


def _one_before(workspace: Workspace, newest: Revision) -> int:
    """The number of the last revision that answered otherwise than the newest; 0 where there is none.

    The steps of a roll-out are revisions too; going back means ending it, or undoing the promotion, not its last step.
    """

    def without_marks(revision: Revision) -> Revision:
        return msgspec.structs.replace(
            revision,
            id="",
            number=0,
            created_at=newest.created_at,
            actor=newest.actor,
            reason="",
            verdict_id="",
            challenger=None if revision is not newest else revision.challenger,
            beside=() if revision is not newest else revision.beside,
            split=None if revision is not newest else revision.split,
        )

    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=newest.name, limit=100_000)
    for earlier in sorted(known, key=lambda revision: -revision.number):
        if earlier.number < newest.number and without_marks(earlier) != without_marks(newest):
            return earlier.number
    return 0


def _refuse_rejected(workspace: Workspace, revision: Revision) -> None:
    """What a person has rejected since it served does not come back."""
    latest = {(given.name, given.actor.name): given for given in approvals_of(workspace, revision.served.bundle)}
    against = [given for given in latest.values() if given.decision == "rejected"]
    if against:
        raise GateRefused(
            f"Revision {revision.number} of {revision.name!r} serves a bundle that {against[0].actor} rejected "
            f"as {against[0].name}.",
            why=against[0].comment or "A rejection counts for the way back too.",
            fix=f"Go back further with --to, or talk to {against[0].actor}: who rejected may approve again.",
        )


def _check_place(workspace: Workspace, declared: DeclaredEndpoint, expect: int | None) -> None:
    """What is deployed goes where it may, and where whoever asks believes that it goes."""
    check_seen(workspace, declared.name, expect)
    _check_environment(workspace, declared.name)
    _check_kind(workspace, declared)


def _check_environment(workspace: Workspace, name: str) -> None:
    """What serves in prod is replaced only by what prod's own gate lets through."""
    present = _present(workspace, name)
    if present is not None and present.environment == _GUARDED != workspace.environment:
        raise Conflict(
            f"The endpoint {name!r} serves in {_GUARDED}, and this is {workspace.environment}.",
            why=f"What {workspace.environment} lets through was not judged for {_GUARDED}.",
            fix=f"Add --env {_GUARDED}, or give the endpoint another name.",
        )


def _check_kind(workspace: Workspace, declared: DeclaredEndpoint) -> None:
    """What answers requests stays so, and what scores tables too: the log of one name has one meaning."""
    present = _present(workspace, declared.name)
    if present is not None and (present.batch is None) != (declared.batch is None):
        is_now = "answers requests" if present.batch is None else "scores a table"
        raise Conflict(
            f"The endpoint {declared.name!r} {is_now}, and is now declared as the other kind.",
            why="Its revisions and its log go on under one name.",
            fix="Give the other kind a name of its own.",
        )


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise InvalidInput(f"There is no port {port}.", fix="Give one from 1 to 65535, or 0 for any.", field="port")


def contract_of(workspace: Workspace, version: ModelVersion, bundle: Bundle, declared: DeclaredEndpoint) -> Contract:
    """The request's fields: what the model needs, and the declared key."""
    fields = list(request_fields(bundle))
    known = {field.name for field in fields}
    columns = {field.name: field for field in _columns(workspace, version)}
    for name in declared.key:
        if name not in known:
            found = columns.get(name, Field(name, "string"))
            fields.append(msgspec.structs.replace(found, nullable=False))
    return Contract(
        fields=tuple(fields), key=declared.key, strict=declared.strict, label_window_us=declared.label_window_us
    )


def _columns(workspace: Workspace, version: ModelVersion) -> tuple[Field, ...]:
    training = training_of(workspace, version)
    return training.columns if training else ()


def draft_of(workspace: Workspace, version: ModelVersion, bundle: Bundle, declared: DeclaredEndpoint) -> Revision:
    """The revision by which an endpoint would serve a version at once, without its number."""
    status = workspace.launcher.status(folder_of(workspace, declared.name))
    port = int(status.url.rpartition(":")[2]) if status and status.url else 0
    if port == read_reach(workspace.root).port:
        port = 0  # it is no address of its own
    served = Served(model=version.name, number=version.number, bundle=version.bundle)
    contract = contract_of(workspace, version, bundle, declared)
    check_fields(declared.name, declared.old_system, contract)
    return Revision(
        id="",
        project=workspace.project,
        name=declared.name,
        created_at=workspace.clock.now(),
        number=0,
        environment=workspace.environment,
        served=served,
        contract=contract,
        workers=declared.workers,
        least=declared.least,
        idle_us=declared.idle_us,
        simulation=declared.simulation,
        port=port,
        actor=workspace.actor,
        monitors=declared.monitors,
        streams=declared.streams,
        log=declared.log,
        fallback=fallback_for(workspace, bundle, served, contract, declared),
        memory_bytes=declared.memory_bytes,
        batch=declared.batch,
        caller_rate=declared.caller_rate,
        old_system=declared.old_system,
    )
