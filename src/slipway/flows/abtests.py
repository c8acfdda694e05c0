"""A/B tests: several versions answer side by side, a business metric is compared, and a person decides.

A test's record and the revision that carries it out are written in one transaction, as those of a roll-out are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.flows import rollouts
from slipway.flows.abtest_rows import abtest_rows
from slipway.flows.abtest_state import is_carried, newest_abtest, refuse_while_testing, running_abtest
from slipway.flows.approve import approvals_of
from slipway.flows.behind import fallback_for
from slipway.flows.deploy import draft_of
from slipway.flows.endpoints import revision_of
from slipway.flows.evidence import CHAMPION
from slipway.flows.judging import declared_endpoint, judge_version, refusal
from slipway.flows.publish import publish_revision
from slipway.flows.turns import turn
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.models import numbered, registry
from slipway.operations.abtests import (
    ABTestDetail,
    ABTests,
    DecideABTest,
    GetABTest,
    ListABTests,
    LookABTest,
    StartABTest,
)
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABArm, ABLook, ABTest, ABTestSpec
from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import Challenger, Contract, Revision, Served, Split
from slipway.records.models import Bundle, ModelVersion
from slipway.rollout.judge_abtest import CONTROL, judge_abtest

__all__ = ["decide", "get_abtest", "list_abtests", "look", "look_at", "start", "supersede"]

_NUMBERS = ("int", "float")
_TEXTS = ("string", "category")


def start(workspace: Workspace, request: StartABTest) -> ABTestDetail:
    """Let several versions answer beside what serves, each after its gate let it through.

    Raises:
        NotFound: Nothing serves there, or no such version.
        InvalidInput: Arms, shares, or fields that cannot be.
        GateRefused: A version's gate refused it.
        Conflict: A roll-out or another test is under way, or a version has another contract.
        BackendError: The endpoint's process did not take the revision.
    """
    present = revision_of(workspace, request.endpoint)
    _check_place(workspace, present)
    shares = _shares(request)
    declared = declared_endpoint(workspace, request.endpoint, model=present.served.model)
    model = request.model or present.served.model
    versions = [registry.get(workspace, model, number) for number in shares]
    control = registry.get(workspace, present.served.model, str(present.served.number))
    _check_versions(control, versions)
    spec = _with_contract(request.spec, declared.kpi, request.endpoint)
    _check_spec(spec, present.contract, registry.bundle_of(workspace, control))
    _check_logged(spec, present)
    if request.spec.metric == "cost":
        _check_decide(workspace, versions)
    with turn(workspace, request.endpoint):
        rollouts.refuse_while_under_way(workspace, request.endpoint)
        refuse_while_testing(workspace, request.endpoint)
        arms = []
        for version, fraction in zip(versions, shares.values(), strict=True):
            bundle = registry.bundle_of(workspace, version)
            ruling = judge_version(workspace, version, bundle, declared, keep=True)
            if not ruling.passed:
                raise refusal(version, ruling)
            if draft_of(workspace, version, bundle, declared).contract != present.contract:
                raise Conflict(
                    f"{version.name} {version.number} has another contract than what serves {request.endpoint!r}.",
                    why="Callers would have to send other fields to one arm than to another.",
                    fix="Compare versions of one contract.",
                )
            served = Served(model=version.name, number=version.number, bundle=version.bundle)
            name = str(version.number) if model == present.served.model else f"{model} {version.number}"
            arms.append(ABArm(name=name, served=served, fraction=fraction, verdict_id=ruling.id))
        now = workspace.clock.now()
        test = ABTest(
            id=new_id(),
            project=workspace.project,
            name=request.endpoint,
            created_at=now,
            parent_id=f"{workspace.project}/{request.endpoint}",
            control=present.served,
            arms=tuple(arms),
            spec=spec,
            # Of names and business time: a simulation that is run again assigns the same entities.
            salt=f"{request.endpoint}/{now.isoformat()}/{','.join(arm.name for arm in arms)}",
        )
        _publish(workspace, test, present, [control, *versions], "abtests.start")
    return ABTestDetail(test=test)


def look(workspace: Workspace, request: LookABTest) -> ABTestDetail:
    """Judge the test under way now, and keep the look.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: No test is under way, or it is not time for the next planned look.
    """
    with turn(workspace, request.endpoint):
        test = _running(workspace, request.endpoint)
        seen = look_at(workspace, test)
        if seen is None:
            raise Conflict(
                f"The A/B test at {request.endpoint!r} is not looked at now.",
                why="The next planned look is later, or the clock stands before the last one.",
                fix=f"See the last look: slipway abtest status {request.endpoint}",
            )
        with workspace.ledger.write() as tx:
            entries.put(tx, seen)
            events.record(tx, workspace, "abtests.look", f"abtest:{seen.id}", verdict=seen.looks[-1].verdict)
    return ABTestDetail(test=seen)


def look_at(workspace: Workspace, test: ABTest) -> ABTest | None:
    """A test with one more look, which is not kept yet; None where nothing is to be judged now."""
    found = judge_abtest(test, abtest_rows(workspace, test), now=workspace.clock.now())
    return None if found is None else msgspec.structs.replace(test, looks=_looks_with(test, found))


def decide(workspace: Workspace, request: DecideABTest) -> ABTestDetail:
    """End the test under way by a person's word: an arm serves from now on, or the control goes on alone.

    Raises:
        NotFound: Nothing was ever deployed there, or the test has no such arm.
        InvalidInput: No reason.
        Conflict: No test is under way, or somebody rejected the arm's version since it began.
        BackendError: The endpoint's process did not take the revision.
    """
    if not request.reason.strip():
        raise InvalidInput("A decision needs a reason.", fix="Say why: --reason 'it earns more'", field="reason")
    with turn(workspace, request.endpoint):
        test = _running(workspace, request.endpoint)
        names = [CONTROL, *(arm.name for arm in test.arms)]
        if request.arm not in names:
            raise NotFound(
                f"The A/B test at {request.endpoint!r} has no arm {request.arm!r}.",
                fix=near(request.arm, names, what="arms"),
            )
        chosen = next((arm for arm in test.arms if arm.name == request.arm), None)
        if chosen is not None:
            _refuse_rejected(workspace, test, chosen)
        ended = msgspec.structs.replace(
            test,
            state="kept" if chosen is None else "promoted",
            ended_at=workspace.clock.now(),
            chosen="" if chosen is None else chosen.name,
            reason=f"{workspace.actor}: {request.reason.strip()}",
        )
        serves = test.control if chosen is None else chosen.served
        version = registry.get(workspace, serves.model, str(serves.number))
        _publish(workspace, ended, revision_of(workspace, test.name), [version], "abtests.decide", chosen=chosen)
    return ABTestDetail(test=ended)


def supersede(
    workspace: Workspace, test: ABTest, also: Callable[[WriteTransaction, ABTest], None] = lambda tx, test: None
) -> ABTest:
    """End a test whose endpoint was deployed to otherwise meanwhile."""
    revision = revision_of(workspace, test.name)
    reason = f"Revision {revision.number} was published meanwhile ({revision.reason})."
    ended = msgspec.structs.replace(test, state="superseded", ended_at=workspace.clock.now(), reason=reason)
    with workspace.ledger.write() as tx:
        entries.put(tx, ended)
        also(tx, ended)
        events.record(tx, workspace, "abtests.end", f"abtest:{ended.id}", state=ended.state, reason=reason)
    return ended


def list_abtests(workspace: Workspace, request: ListABTests) -> ABTests:
    """A/B tests, newest first."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, ABTest, project=workspace.project, name=request.endpoint or None, limit=request.limit)
    return ABTests(tests=tuple(found))


def get_abtest(workspace: Workspace, request: GetABTest) -> ABTestDetail:
    """One A/B test.

    Raises:
        NotFound: There is none.
    """
    found: ABTest | None
    if request.id:
        with workspace.ledger.read() as tx:
            found = entries.get(tx, ABTest, request.id)
    else:
        found = newest_abtest(workspace, request.endpoint)
    if found is None or (found.project, found.name) != (workspace.project, request.endpoint):
        which = f"A/B test {request.id!r}" if request.id else "A/B test"
        raise NotFound(
            f"The endpoint {request.endpoint!r} in {workspace.project!r} has no {which}.",
            fix=f"Begin one: slipway abtest start {request.endpoint} --arm 2=50 --minimal-effect 0.1",
        )
    return ABTestDetail(test=found)


def _running(workspace: Workspace, endpoint: str) -> ABTest:
    """The test under way; one that somebody's deployment has replaced ends here. The endpoint's turn must be held."""
    revision_of(workspace, endpoint)
    found = newest_abtest(workspace, endpoint)
    if found is not None and found.is_under_way and not is_carried(workspace, found):
        supersede(workspace, found)
    running = running_abtest(workspace, endpoint)
    if running is None:
        raise Conflict(
            f"No A/B test is under way at {endpoint!r}.", fix=f"See the last one: slipway abtest status {endpoint}"
        )
    return running


def _check_place(workspace: Workspace, present: Revision) -> None:
    if present.batch is not None:
        raise InvalidInput(
            f"{present.name!r} is a batch endpoint.",
            why="An A/B test assigns the rows of requests.",
            fix="Test at an endpoint that answers requests.",
        )
    if present.environment != workspace.environment:
        raise Conflict(
            f"The endpoint {present.name!r} serves in {present.environment}, and this is {workspace.environment}.",
            fix=f"Add --env {present.environment}.",
        )


def _shares(request: StartABTest) -> dict[str, float]:
    """The arms' shares of 1 by version; those of all arms and of the control make the whole."""
    percents = {name: percent for name, percent in request.arms.items() if name != CONTROL}
    fix = "Give percents that leave the champion a share: --arm 2=30 --arm 3=30 leaves it 40."
    if not percents:
        raise InvalidInput("An A/B test needs an arm beside the champion.", fix=fix, field="arms")
    wrong = {name: percent for name, percent in request.arms.items() if not 0 < percent < 100}
    if wrong:
        name, percent = next(iter(wrong.items()))
        raise InvalidInput(f"The arm {name} was given {percent:g} %.", why="A share is above 0 and below 100.", fix=fix)
    whole = sum(percents.values())
    given = request.arms.get(CONTROL)
    if given is not None and abs(whole + given - 100) > 1e-9:
        raise InvalidInput(f"The shares add up to {whole + given:g} %, and not to 100.", fix=fix, field="arms")
    if whole >= 100:
        raise InvalidInput(
            f"The arms' shares add up to {whole:g} %, which leaves the champion nothing.",
            why="Without a control beside it nobody knows what an arm is worth.",
            fix=fix,
            field="arms",
        )
    return {name: percent / 100 for name, percent in percents.items()}


def _check_versions(control: ModelVersion, versions: Sequence[ModelVersion]) -> None:
    known = {control.bundle: f"{control.name} {control.number}, which serves"}
    for one in versions:
        if one.bundle in known:
            raise InvalidInput(
                f"The arm {one.name} {one.number} is the same model as {known[one.bundle]}.",
                why="Two arms that answer alike have nothing to be compared by.",
                fix="Name each version once, and not the one that serves.",
                field="arms",
            )
        known[one.bundle] = f"the arm {one.name} {one.number}"


def _with_contract(spec: ABTestSpec, terms: ContractTerms | None, endpoint: str) -> ABTestSpec:
    """The spec with the contract that the endpoint is declared under, where that is what is compared by."""
    if spec.metric != "contract":
        return msgspec.structs.replace(spec, contract=None)
    if terms is None:
        raise InvalidInput(
            f"The endpoint {endpoint!r} is under no metric contract.",
            fix="Declare one: sw.Endpoint(..., kpi=sw.MetricContract(...)), or compare by --metric label or cost.",
            field="metric",
        )
    return msgspec.structs.replace(spec, contract=terms, better=terms.better, unit=spec.unit or terms.unit)


def _check_spec(spec: ABTestSpec, contract: Contract, control: Bundle) -> None:
    fields = {field.name: field.type for field in contract.fields}
    for name in spec.entity:
        if name not in fields:
            fix = near(name, list(fields), what="fields")
            raise InvalidInput(f"The contract has no field {name!r} to name an entity.", fix=fix, field="entity")
    for what, name in (("times", spec.times), ("covariate", spec.covariate)):
        if name and (what, name) != ("covariate", "prior") and fields.get(name) not in _NUMBERS:
            numbers = [one for one, kind in fields.items() if kind in _NUMBERS]
            is_there = f"{name!r} is a {fields[name]}" if name in fields else f"The contract has no field {name!r}"
            raise InvalidInput(
                f"{is_there}, and {what} needs a number.", fix=near(name, numbers, what="numbers"), field=what
            )
    if not 0 < spec.minimal_effect < float("inf"):
        raise InvalidInput(
            f"{spec.minimal_effect!r} is no least effect.",
            why="It says from which difference on an arm is worth the change, in the metric's unit.",
            fix="Give a number above 0.",
            field="minimal_effect",
        )
    if not 0 < spec.alpha < 0.5:
        raise InvalidInput(f"{spec.alpha!r} is no alpha.", fix="Give a chance above 0 and below 0.5.", field="alpha")
    if not 0 < spec.window_us < spec.deadline_us:
        raise InvalidInput(
            "The window of an entity must be above 0 and shorter than the deadline.",
            why="No outcome would be known in time.",
            fix="For example --window 7d --deadline 60d.",
            field="window_us",
        )
    if list(spec.looks_us) != sorted({at for at in spec.looks_us if spec.window_us < at <= spec.deadline_us}):
        raise InvalidInput(
            "The planned looks must rise, begin after the window and end by the deadline.",
            why="Before the window is over no outcome is known.",
            fix="For example --window 7d --look 14d --look 28d.",
            field="looks_us",
        )
    if spec.metric == "cost" and not control.decision.costs:
        raise InvalidInput(
            "The metric 'cost' needs a decision with costs, and what serves has none.",
            fix="Package it with sw.threshold(costs=...), or compare labels: --metric label",
            field="metric",
        )


def _check_logged(spec: ABTestSpec, present: Revision) -> None:
    """What the log keeps out can neither name an entity nor be counted; texts stand there as hashes, which name one still."""
    texts = {field.name for field in present.contract.fields if field.type in _TEXTS}
    for what, names in (("entity", spec.entity), ("times", (spec.times,)), ("covariate", (spec.covariate,))):
        hidden = [name for name in names if name in present.log.redacted and not (what == "entity" and name in texts)]
        if hidden:
            raise InvalidInput(
                f"The log of {present.name!r} keeps {hidden[0]!r} out, and {what} needs it there.",
                why="It is personal and no text, so the log has null in its place.",
                fix='Name another field, or deploy with a log that has it, which is one without redact="personal".',
                field=what,
            )


def _check_decide(workspace: Workspace, versions: Sequence[ModelVersion]) -> None:
    """An arm that decides nothing has no costs; its missing ones would look like labels that are held back."""
    for one in versions:
        if registry.bundle_of(workspace, one).decision.threshold is None:
            raise InvalidInput(
                f"The metric 'cost' needs decisions, and {one.name} {one.number} makes none.",
                fix="Package it with sw.threshold(...), or compare labels: --metric label",
                field="metric",
            )


def _refuse_rejected(workspace: Workspace, test: ABTest, arm: ABArm) -> None:
    latest = {(one.name, one.actor.name): one for one in approvals_of(workspace, arm.served.bundle)}
    for one in latest.values():
        if one.decision == "rejected":
            raise Conflict(
                f"{one.actor} rejected {arm.served.model} {arm.served.number} as {one.name}.",
                why=one.comment or "A rejection counts for an arm too.",
                fix=f"Keep the control: slipway abtest decide {test.name} champion --reason ...",
            )


def _looks_with(test: ABTest, found: ABLook) -> tuple[ABLook, ...]:
    """The looks with one more; of a day the last is kept, where looks are not planned."""
    last = test.looks[-1] if test.looks else None
    is_same = last is not None and not test.spec.looks_us and _day(last.at) == _day(found.at)
    return (*(test.looks[:-1] if is_same else test.looks), found)


def _day(instant: datetime) -> object:
    return instant.astimezone(UTC).date()


def _publish(
    workspace: Workspace,
    test: ABTest,
    present: Revision,
    versions: Sequence[ModelVersion],
    verb: str,
    *,
    chosen: ABArm | None = None,
) -> None:
    """Publish the revision that carries out a test as it stands; its record is kept in the same transaction."""
    challengers = [
        Challenger(served=arm.served, fraction=arm.fraction, rollout_id=test.id, name=arm.name)
        for arm in (test.arms if test.is_under_way else ())
    ]
    serves = test.control if chosen is None else chosen.served
    declared = declared_endpoint(workspace, test.name, model=serves.model)
    fallback = present.fallback
    if chosen is not None:
        fallback = fallback_for(
            workspace, registry.bundle_of(workspace, versions[0]), serves, present.contract, declared
        )
    draft = msgspec.structs.replace(
        present,
        created_at=workspace.clock.now(),
        served=serves,
        challenger=challengers[0] if challengers else None,
        beside=tuple(challengers[1:]),
        split=Split(salt=test.salt, entity=test.spec.entity) if challengers else None,
        fallback=fallback,
        verdict_id=present.verdict_id if chosen is None else chosen.verdict_id,
        actor=workspace.actor,
        reason=_reason(test),
    )

    def written(tx: WriteTransaction, revision: Revision) -> None:
        entries.put(tx, test)
        if chosen is not None:
            numbered.point_alias(tx, workspace, serves.model, CHAMPION, serves.number, reason=f"serves {test.name}")
        for arm in test.arms:
            lineage.link(tx, f"bundle:{arm.served.bundle}", f"abtest:{test.id}", "arm")
        lineage.link(tx, f"abtest:{test.id}", f"revision:{revision.id}", test.state)
        if test.ended_at is not None:
            events.record(
                tx,
                workspace,
                "abtests.end",
                f"abtest:{test.id}",
                state=test.state,
                chosen=test.chosen,
                reason=test.reason,
            )

    publish_revision(workspace, draft, versions, verb, also=written)


def _reason(test: ABTest) -> str:
    if test.is_under_way:
        return f"A/B test of {', '.join(f'{arm.name} ({arm.fraction:.0%})' for arm in test.arms)}"
    return f"A/B test: {test.chosen} promoted" if test.chosen else "A/B test: the control kept"
