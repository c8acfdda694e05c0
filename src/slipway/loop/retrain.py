"""Retraining: a pipeline of the project snapshot runs in a process of its own, and what it made is put forward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound, SlipwayError
from slipway.flows import rollouts
from slipway.flows.abtest_state import refuse_while_testing
from slipway.flows.callers import check_breaks
from slipway.flows.deploy import draft_of
from slipway.flows.endpoints import revision_of
from slipway.flows.evidence import CHAMPION
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.flows.publish import publish_revision
from slipway.flows.rollout_due import is_due
from slipway.flows.standing import standing_for
from slipway.flows.turns import turn
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.loop import CONTROLLER
from slipway.loop.actions import put_action
from slipway.loop.failed_retrainings import follow_retraining
from slipway.loop.limits import began_with
from slipway.loop.policy import Answer
from slipway.models import registry
from slipway.operations.rollouts import ListRetrainings, Retrainings, Started, StartRetraining
from slipway.pipelines import staging
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.runner import TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision, Served
from slipway.records.gates import Verdict
from slipway.records.loop import Action, ActionKind, Retraining, StandingApproval
from slipway.records.models import ModelVersion
from slipway.records.rollouts import Rollout

__all__ = ["absorb", "list_retrainings", "retrainings_of", "running", "settle", "start", "start_by_hand"]

_ATTEMPTS = 3
_BEGINS = {"shadow": "and is compared unseen with", "canary": "and answers some rows beside"}
_SETTLES_WITHIN_S = 1800.0


def list_retrainings(workspace: Workspace, request: ListRetrainings) -> Retrainings:
    """An endpoint's retrainings, newest first."""
    return Retrainings(retrainings=tuple(retrainings_of(workspace, request.endpoint, limit=request.limit)))


def retrainings_of(workspace: Workspace, endpoint: str, *, limit: int = 1000) -> list[Retraining]:
    """An endpoint's retrainings, newest first."""
    with workspace.ledger.read() as tx:
        return entries.find(tx, Retraining, parent=f"{workspace.project}/{endpoint}", limit=limit)


def running(workspace: Workspace, endpoint: str) -> Retraining | None:
    """The retraining under way, None where there is none."""
    with workspace.ledger.read() as tx:
        parent = f"{workspace.project}/{endpoint}"
        found = entries.find(tx, Retraining, parent=parent, state="running", limit=1)
    return found[0] if found else None


def start_by_hand(workspace: Workspace, request: StartRetraining) -> Started:
    """Train an endpoint's model again because somebody says so.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: No reason is given.
        Conflict: No retraining is declared, one or a roll-out is under way, or it serves in another environment.
    """
    if not request.reason.strip():
        raise InvalidInput(
            "A retraining was asked for without a reason.", fix="Say why: --reason '...'", field="reason"
        )
    present_revision = revision_of(workspace, request.endpoint)
    if present_revision.environment != workspace.environment:
        there = present_revision.environment
        raise Conflict(
            f"The endpoint {request.endpoint!r} serves in {there}, and this is {workspace.environment}.",
            why=f"What {there} has approved is not what {workspace.environment} declares.",
            fix=f"Add --env {there}.",
        )
    declared = declared_endpoint(workspace, request.endpoint)
    with turn(workspace, request.endpoint):
        rollouts.refuse_while_under_way(workspace, request.endpoint)
        refuse_while_testing(workspace, request.endpoint)
        present = running(workspace, request.endpoint)
        if present is not None:
            raise Conflict(
                f"The model of {request.endpoint!r} is being trained again already ({present.trigger}).",
                fix=f"Wait for it: slipway endpoints show {request.endpoint}",
            )
        reason = request.reason.strip()

        def told(tx: WriteTransaction, begun: Retraining) -> None:
            sentence = f"{workspace.actor} asked for it: {reason}. Data until {begun.until:%Y-%m-%d} counts."
            subjects = (f"retraining:{begun.id}",)
            asking = {"trigger": "hand"}
            put_action(tx, workspace, request.endpoint, "retrain", sentence, evidence=asking, subjects=subjects)

        begun = start(workspace, declared, f"by hand: {reason}", also=told)
    return Started(retraining=begun)


def start(
    workspace: Workspace,
    declared: DeclaredEndpoint,
    trigger: str,
    *,
    found: Answer | None = None,
    also: Callable[[WriteTransaction, Retraining], None] = lambda tx, begun: None,
) -> Retraining:
    """Begin a retraining. The endpoint's turn must be held.

    Its record is written before its process starts: a controller that is killed in between finds it and starts it.

    Args:
        workspace: Whose endpoint.
        declared: Its declaration.
        trigger: What asked for it, in words.
        found: What the policy said, None where a person asked.
        also: What else is written with its record.

    Raises:
        Conflict: The endpoint declares no retraining, or no snapshot of its project is stored.
    """
    if declared.retrain is None or not declared.snapshot:
        missing = "no retraining" if declared.retrain is None else "no snapshot of its project"
        raise Conflict(
            f"The endpoint {declared.name!r} has {missing} in {declared.project!r}.",
            why="A retraining runs a declared pipeline from the stored code, without anybody's checkout.",
            fix="Declare retrain=sw.Retrain(...) and run its pipeline once: slipway run PIPELINE",
        )
    now = workspace.clock.now()
    until = now.replace(hour=0, minute=0, second=0, microsecond=0)
    standing, _ = standing_for(workspace, declared)
    begun = Retraining(
        id=new_id(),
        project=workspace.project,
        name=declared.name,
        created_at=now,
        parent_id=f"{workspace.project}/{declared.name}",
        trigger=trigger,
        snapshot=declared.snapshot,
        until=until,
        standing_id=standing.id if standing else "",
        attempts=1,
        since=began_with(declared.retrain, until, is_recent=found is not None and found.is_recent),
        policy=found.policy if found is not None else "",
        causes=found.subjects if found is not None else (),
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, begun, expect=0)
        also(tx, begun)
        if standing is not None:
            lineage.link(tx, f"standing:{standing.id}", f"retraining:{begun.id}", "covers")
        events.record(tx, workspace, "retrainings.start", f"retraining:{begun.id}", trigger=trigger)
    _launch(workspace, declared, begun)
    return begun


def _launch(workspace: Workspace, declared: DeclaredEndpoint, retraining: Retraining) -> None:
    folder = _folder(workspace, retraining)
    if (folder / TASK_FILE).exists():  # what was begun is gone on with, whatever is declared by now
        workspace.runner.start(folder)
        return
    assert declared.retrain is not None  # `start` asked
    spec = declared.retrain
    params = {spec.until: f"{retraining.until:%Y-%m-%d}"} if spec.until else {}
    if spec.since and retraining.since is not None:
        params[spec.since] = f"{retraining.since:%Y-%m-%d}"
    task = staging.task(
        workspace,
        snapshot=retraining.snapshot,
        pipeline=declared.retrain.pipeline,
        actor=CONTROLLER,
        endpoint=declared.name,
        params=params,
        tags={"slipway.retraining": retraining.id},
    )
    workspace.runner.start(staging.stage(workspace, retraining.id, task))


def _folder(workspace: Workspace, retraining: Retraining) -> Path:
    return workspace.root.resolve() / "tasks" / retraining.id


def settle(workspace: Workspace, endpoint: str) -> None:
    """Wait until the retraining under way has ended, so that machine time decides nothing."""
    present = running(workspace, endpoint)
    if present is not None:
        workspace.runner.wait(_folder(workspace, present), timeout_s=_SETTLES_WITHIN_S)


def absorb(workspace: Workspace, declared: DeclaredEndpoint) -> list[Action]:
    """Take in what the retraining under way has come to, and put its model forward. The endpoint's turn must be held."""
    present = running(workspace, declared.name)
    if present is None:
        return []
    folder = _folder(workspace, present)
    state = workspace.runner.state(folder)
    if state == "running":
        return []
    if state == "absent":
        return _start_again(workspace, declared, present)
    try:
        answered = staging.answer(folder)
    except Corrupt as problem:  # it stays so: the next retraining must have its turn
        return [_failed(workspace, present, str(problem))]
    if answered is None or answered.state == "failed" or not answered.model:
        told = "it left no answer" if answered is None else "it brought no model"
        error = answered.error if answered is not None else None
        return [
            _failed(workspace, present, error.message if error else told, run_id=answered.run_id if answered else "")
        ]
    try:
        version = registry.get(workspace, answered.model, str(answered.version))
    except NotFound as problem:
        return [_failed(workspace, present, str(problem), run_id=answered.run_id)]
    made = msgspec.structs.replace(present, run_id=answered.run_id, version=version.number)
    return [_put_forward(workspace, declared, made, version)]


def _start_again(workspace: Workspace, declared: DeclaredEndpoint, present: Retraining) -> list[Action]:
    if present.attempts >= _ATTEMPTS:
        told = f"its process ended {present.attempts} times without an answer"
        return [_failed(workspace, present, told)]
    if declared.retrain is None and not (_folder(workspace, present) / TASK_FILE).exists():
        return [_failed(workspace, present, f"{declared.name} declares no retraining any more")]
    again = msgspec.structs.replace(present, attempts=present.attempts + 1)
    with workspace.ledger.write() as tx:
        entries.put(tx, again)
    _launch(workspace, declared, again)
    return []


def _failed(workspace: Workspace, present: Retraining, why: str, *, run_id: str = "") -> Action:
    told = f"The retraining failed: {why}"
    ended = msgspec.structs.replace(present, state="failed", run_id=run_id, sentence=told)
    more = (f"run:{run_id}",) if run_id else ()
    return _close(workspace, ended, "alert", owner="data scientist", subjects=more)


def _put_forward(workspace: Workspace, declared: DeclaredEndpoint, made: Retraining, version: ModelVersion) -> Action:
    """Judge what a retraining made, and begin its roll-out."""
    name = f"{version.name} {version.number}"
    subjects: tuple[str, ...] = (f"model:{version.id}",)
    present = revision_of(workspace, made.name)
    if version.bundle == present.served.bundle:
        if present.actor == CONTROLLER and present.created_at >= made.created_at:
            return _serves(workspace, made, version, subjects)  # killed since it was published
        told = f"The retraining brought {name} again, which serves already."
        ended = msgspec.structs.replace(made, state="unchanged", sentence=told)
        return _close(workspace, ended, "ignore", subjects=subjects)
    standing, reason = _covering(workspace, declared, made)
    try:
        bundle = registry.bundle_of(workspace, version)
        ruling = judge_version(workspace, version, bundle, declared, keep=True, standing=standing)
        subjects = (*subjects, f"verdict:{ruling.id}")
        if not ruling.passed:
            told = f"The gate refused {name}: {_against(ruling, reason)}."
            ended = msgspec.structs.replace(made, state="refused", sentence=told)
            return _close(workspace, ended, "refuse", owner="data scientist", subjects=subjects)
        draft = msgspec.structs.replace(draft_of(workspace, version, bundle, declared), verdict_id=ruling.id)
        try:
            check_breaks(workspace, draft, "")
        except Conflict as problem:  # nobody is at hand who could say why it may
            ended = msgspec.structs.replace(made, state="refused", sentence=f"It waits for a person: {problem}")
            return _close(workspace, ended, "refuse", owner="ml engineer", subjects=subjects)
        if is_due(workspace, declared, draft):
            covered = f", under the standing approval of {standing.actor}" if standing is not None else ""
            return _roll_out(workspace, declared, draft, made, subjects, f"passed its gate{covered}", _figures(ruling))
        if declared.rollout is not None:  # nobody is at hand who could let it serve without what was declared
            told = (
                f"{name} passed its gate, but cannot be compared with {_served(present.served)}, whose requests have "
                f"other fields. It waits for a person: slipway deploy {version.name} --version {version.number}"
            )
            ended = msgspec.structs.replace(made, state="refused", sentence=told)
            return _close(workspace, ended, "refuse", owner="ml engineer", subjects=subjects)
        publish_revision(workspace, draft, [version], "endpoints.deploy")
    except (BackendError, Conflict) as problem:
        if revision_of(workspace, made.name).served.bundle != version.bundle:
            raise  # nothing was written: the next pass tries again
        ended = msgspec.structs.replace(made, state="failed", sentence=f"{name} does not serve: {problem}")
        return _close(workspace, ended, "alert", owner="ml engineer", subjects=subjects)
    except SlipwayError as problem:
        ended = msgspec.structs.replace(made, state="failed", sentence=f"{name} cannot be put forward: {problem}")
        return _close(workspace, ended, "alert", owner="ml engineer", subjects=subjects)
    return _serves(workspace, made, version, subjects)


def _covering(
    workspace: Workspace, declared: DeclaredEndpoint, made: Retraining
) -> tuple[StandingApproval | None, str]:
    """The standing approval for what a retraining has run, and why there is none.

    What is declared may have changed while it ran; a word for other code, or for another environment's, is none for it.
    """
    standing, reason = standing_for(workspace, declared)
    if standing is None or made.standing_id == standing.id or made.snapshot == declared.snapshot:
        return standing, reason
    return None, f"{standing.actor} approved other code than what was run"


def _roll_out(
    workspace: Workspace,
    declared: DeclaredEndpoint,
    draft: Revision,
    made: Retraining,
    subjects: tuple[str, ...],
    why: str,
    figures: dict[str, str],
) -> Action:
    """Begin the roll-out of what a retraining made; its record, the retraining's end and the action are one write."""
    name = _served(draft.served)
    actions: list[Action] = []

    def written(tx: WriteTransaction, begun: Rollout) -> None:
        told = f"{name}: {begun.reason}"
        kind: ActionKind = "stop"
        if begun.is_under_way:
            kind = "shadow" if begun.state == "shadow" else "canary"
            told = f"{name} {why}, {_BEGINS[kind]} {_served(begun.champion)}."
        ended = msgspec.structs.replace(made, state="made" if begun.is_under_way else "failed", sentence=told)
        owner = "" if begun.is_under_way else "ml engineer"
        more = (*subjects, f"rollout:{begun.id}")
        evidence = figures if begun.is_under_way else {}
        actions.append(_closed(tx, workspace, ended, kind, owner=owner, subjects=more, evidence=evidence))

    rollouts.begin(workspace, declared, draft, retraining_id=made.id, also=written)
    return actions[-1]


def _serves(workspace: Workspace, made: Retraining, version: ModelVersion, subjects: tuple[str, ...]) -> Action:
    told = f"{version.name} {version.number} passed its gate and serves: no roll-out is declared."
    registry.set_alias(workspace, version.name, CHAMPION, version.number, reason=f"serves {made.name}")
    ended = msgspec.structs.replace(made, state="made", sentence=told)
    return _close(workspace, ended, "promote", subjects=subjects)


def _close(workspace: Workspace, ended: Retraining, kind: ActionKind, **more: Any) -> Action:
    with workspace.ledger.write() as tx:
        return _closed(tx, workspace, ended, kind, **more)


def _closed(
    tx: WriteTransaction,
    workspace: Workspace,
    ended: Retraining,
    kind: ActionKind,
    *,
    subjects: tuple[str, ...],
    **more: Any,
) -> Action:
    """A retraining's end and the action that tells it."""
    entries.put(tx, ended)
    follow_retraining(tx, workspace, ended)
    events.record(tx, workspace, "retrainings.end", f"retraining:{ended.id}", state=ended.state)
    about = (f"retraining:{ended.id}", *subjects)
    return put_action(tx, workspace, ended.name, kind, ended.sentence, subjects=about, **more)


def _against(ruling: Verdict, reason: str) -> str:
    """What refused, and the shortest next step of each; of an approval also why nobody's word given before holds."""
    told = []
    for outcome in ruling.outcomes:
        if outcome.result in ("refused", "cannot tell"):
            more = reason if outcome.kind == "approval" else outcome.fix.rstrip(".")
            told.append(f"{outcome.check}: {outcome.found}" + (f" ({more})" if more else ""))
    return "; ".join(told)


def _figures(ruling: Verdict) -> dict[str, str]:
    return {outcome.check: outcome.found for outcome in ruling.outcomes if outcome.result == "passed"}


def _served(served: Served) -> str:
    return f"{served.model} {served.number}"
