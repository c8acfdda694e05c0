"""A word given ahead of time: for which policy it holds, what ends it, and what it counts for at the gate."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows import rollouts
from slipway.flows.approve import grant
from slipway.flows.endpoints import revision_of
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.flows.standing import list_standing, policy_of, revoke, stand, standing_for
from slipway.ids import new_id
from slipway.ledger import entries, lineage
from slipway.loop.reconcile import reconcile
from slipway.loop.retrain import absorb, start_by_hand
from slipway.models import registry
from slipway.operations.declare import Empty, call
from slipway.operations.governance import Grant, ListStanding, Revoke, Stand
from slipway.operations.rollouts import Reconcile, StartRetraining
from slipway.operations.table import operation
from slipway.ports.runner import RESULT_FILE
from slipway.records.gates import Verdict
from slipway.records.loop import Retraining, StandingApproval
from slipway.records.people import Actor, Identity, RoleGrant
from slipway.records.tasks import PipelineAnswer
from slipway.serving.callers import CallerCounts

MONTHLY = sw.cron("0 3 1 * *")
GRACE = Actor("grace", roles=("business owner",))
JULY = datetime(2013, 7, 1, tzinfo=UTC)


@pytest.fixture
def retraining(desk: Desk) -> Desk:
    """The endpoint with a declared retraining and roll-out."""
    desk.declare(retrain=retrain(desk), rollout=[sw.Shadow()])
    return desk


def retrain(desk: Desk, **more: Any) -> sw.Retrain:
    return sw.Retrain(desk.project.module().release, **{"when": [MONTHLY], **more})


def given(desk: Desk, *, until: datetime = JULY, by: Actor = GRACE, **more: Any) -> StandingApproval:
    person = dataclasses.replace(desk.workspace, actor=by)
    return stand(person, Stand(endpoint=NAME, until=until, **more)).approval


def holds(desk: Desk, environment: str = "dev") -> tuple[str, str]:
    """The id of the standing approval that holds, and why there is none."""
    there = dataclasses.replace(desk.workspace, environment=environment)
    found, why = standing_for(there, declared_endpoint(there, NAME))
    return (found.id if found else "", why)


def judged(desk: Desk, number: int = FIRST, **more: Any) -> Verdict:
    declared = declared_endpoint(desk.workspace, NAME)
    standing, _ = standing_for(desk.workspace, declared)
    version = desk.version(number)
    bundle = registry.bundle_of(desk.workspace, version)
    return judge_version(desk.workspace, version, bundle, declared, **{"keep": False, "standing": standing, **more})


def test_there_must_be_a_policy_to_approve(desk: Desk) -> None:
    with pytest.raises(Conflict, match=r"'small-delays' declares no retraining in dev.*retrain=sw.Retrain"):
        given(desk)
    assert list_standing(desk.workspace, ListStanding()).approvals == ()


@pytest.mark.parametrize(
    ("until", "why"),
    [
        (datetime(2014, 1, 1), "needs a time zone"),
        (datetime(2013, 4, 1, tzinfo=UTC), "It is 2013-04-01"),
        (datetime(2012, 1, 1, tzinfo=UTC), "It is 2013-04-01"),
    ],
)
def test_a_word_ends_on_a_later_day_in_a_known_zone(retraining: Desk, until: datetime, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        given(retraining, until=until)
    assert refused.value.field == "until"


def test_it_holds_until_its_date(retraining: Desk) -> None:
    assert holds(retraining) == ("", "nobody has approved this policy ahead of time")
    approval = given(retraining, comment="as agreed")
    assert (approval.actor, approval.role, approval.comment) == (GRACE, "accountable", "as agreed")
    assert holds(retraining) == (approval.id, "")
    assert retraining.events()[-1].verb == "approvals.stand"
    retraining.clock.advance_to(JULY - timedelta(microseconds=1))
    assert holds(retraining) == (approval.id, "")
    retraining.clock.advance_to(JULY)
    assert holds(retraining) == ("", "the word of grace lapsed on 2013-07-01")
    assert len(list_standing(retraining.workspace, ListStanding(endpoint=NAME)).approvals) == 1


def test_what_was_taken_back_counts_no_more_and_an_earlier_word_stands(retraining: Desk) -> None:
    earlier, later = given(retraining), given(retraining, by=Actor("sam", roles=("governance",)))
    assert holds(retraining) == (later.id, "")
    revoke(retraining.workspace, Revoke(id=later.id, comment="too soon"))
    assert holds(retraining) == (earlier.id, "")
    revoke(retraining.workspace, Revoke(id=earlier.id))
    assert holds(retraining) == ("", "sam took their word back on 2013-04-01")
    with pytest.raises(Conflict, match="taken back on 2013-04-01 already"):
        revoke(retraining.workspace, Revoke(id=earlier.id))
    with pytest.raises(NotFound):
        revoke(retraining.workspace, Revoke(id="0" * 32))
    with pytest.raises(NotFound):
        revoke(dataclasses.replace(retraining.workspace, project="other"), Revoke(id=later.id))


@pytest.mark.parametrize("changed", ["gate", "rollout", "triggers", "cooldown", "pipeline", "key", "strict"])
def test_any_change_of_the_policy_voids_it(retraining: Desk, changed: str) -> None:
    approval = given(retraining)
    as_it_was: dict[str, Any] = {"retrain": retrain(retraining), "rollout": [sw.Shadow()]}
    changes: dict[str, dict[str, Any]] = {
        "gate": {"gate": sw.Gate(sw.metric("auc") >= 0.61)},
        "rollout": {"rollout": [sw.Shadow(margin=0.011)]},
        "triggers": {"retrain": retrain(retraining, when=[MONTHLY, sw.degraded])},
        "cooldown": {"retrain": retrain(retraining, cooldown="15d")},
        "pipeline": {"retrain": sw.Retrain(retraining.project.module().count_rows, when=[MONTHLY])},
        "key": {"key": ["origin"]},
        "strict": {"strict": True},
    }
    retraining.declare(**{**as_it_was, **changes[changed]})
    assert holds(retraining) == ("", "the policy has changed since grace approved it")
    retraining.declare(**as_it_was)
    assert holds(retraining) == (approval.id, ""), "the very policy that was approved is declared again"


def test_another_code_of_the_pipeline_voids_it_also_where_it_cannot_be_followed(retraining: Desk) -> None:
    declared = declared_endpoint(retraining.workspace, NAME)
    assert declared.retrain is not None
    other = msgspec.structs.replace(declared, retrain=msgspec.structs.replace(declared.retrain, definition="f" * 64))
    assert policy_of(other) != policy_of(declared)
    moved = msgspec.structs.replace(declared, snapshot="a" * 64)
    assert policy_of(moved) == policy_of(declared), "a line elsewhere in the project is no other pipeline"
    lost = [
        msgspec.structs.replace(one, retrain=msgspec.structs.replace(declared.retrain, definition=""))
        for one in (declared, moved)
    ]
    assert policy_of(lost[0]) != policy_of(lost[1])


def test_a_word_for_one_environment_is_none_for_another(retraining: Desk) -> None:
    given(retraining)
    there = dataclasses.replace(retraining.workspace, environment="prod")
    other = Desk(dataclasses.replace(retraining.project, workspace=there), retraining.clock)
    other.declare(retrain=retrain(retraining), rollout=[sw.Shadow()])
    assert holds(retraining)[0]
    assert holds(retraining, "prod") == ("", "the policy has changed since grace approved it")


def test_at_the_gate_it_counts_as_its_givers_word_and_is_cited(retraining: Desk) -> None:
    assert not judged(retraining).passed
    approval = given(retraining, comment="as agreed")
    ruling = judged(retraining, keep=True)
    assert ruling.passed
    outcome = next(one for one in ruling.outcomes if one.check.startswith("approved as"))
    assert outcome.found == "grace approved on 2013-04-01: standing approval of the policy until 2013-07-01; as agreed"
    assert outcome.values["approvals"] == [approval.id]
    with retraining.workspace.ledger.read() as tx:
        ways = {(link.source, link.target) for link in lineage.trace(tx, f"verdict:{ruling.id}")}
    assert (f"standing:{approval.id}", f"verdict:{ruling.id}") in ways
    assert judged(retraining, BETTER).passed
    assert not judged(retraining, standing=None).passed, "whoever deploys by hand needs a word about the very bytes"


def test_in_another_role_it_counts_for_nothing(retraining: Desk) -> None:
    given(retraining, role="legal")
    assert not judged(retraining).passed


def test_it_replaces_no_proof(retraining: Desk) -> None:
    impossible = sw.Gate(sw.metric("auc") >= 0.999, sw.approval("accountable"))
    retraining.declare(retrain=retrain(retraining), gate=impossible)
    given(retraining)
    ruling = judged(retraining)
    assert [one.check for one in ruling.outcomes if one.result == "refused"] == ["auc at least 0.999"]


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("by", [GRACE, Actor("sam", roles=("governance",))])
def test_a_rejection_of_the_very_bytes_refuses_them_whenever_it_was_said(
    retraining: Desk, by: Actor, is_before: bool
) -> None:
    def reject() -> None:
        person = dataclasses.replace(retraining.workspace, actor=by)
        grant(person, Grant(model=NAME, version=str(FIRST), decision="rejected", comment="a leak"))

    if is_before:
        reject()
        retraining.clock.advance_to(retraining.clock.now() + timedelta(hours=1))
    given(retraining)
    if not is_before:
        retraining.clock.advance_to(retraining.clock.now() + timedelta(hours=1))
        reject()
    assert not judged(retraining).passed
    assert judged(retraining, BETTER).passed, "the policy is still approved"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("admin", {"approvals.stand", "approvals.revoke", "approvals.standing"}),
        ("business owner", {"approvals.stand", "approvals.revoke", "approvals.standing"}),
        ("ml engineer", {"approvals.standing"}),
        ("executive viewer", set()),
    ],
)
def test_who_may_give_their_word_ahead_of_time(retraining: Desk, role: str, may: set[str]) -> None:
    someone = dataclasses.replace(retraining.workspace, actor=Actor("kim", roles=(role,)))
    requests: dict[str, Any] = {
        "approvals.stand": Stand(endpoint=NAME, until=JULY),
        "approvals.revoke": Revoke(id=given(retraining).id),
        "approvals.standing": ListStanding(),
    }
    done = set()
    for name, request in requests.items():
        try:
            call(someone, operation(name), request)
            done.add(name)
        except Denied:
            pass
    assert done == may
    assert call(someone, operation("projects.list"), Empty()).projects


def test_nobody_gives_their_word_in_a_role_that_is_not_theirs(retraining: Desk) -> None:
    grants = (RoleGrant("business owner"),)
    grace = dataclasses.replace(retraining.workspace, actor=GRACE, identity=Identity(name="grace", grants=grants))
    with pytest.raises(Denied, match="cannot speak as governance"):
        stand(grace, Stand(endpoint=NAME, until=JULY, role="governance"))
    assert stand(grace, Stand(endpoint=NAME, until=JULY, role="business owner")).approval.role == "business owner"


def came_of(desk: Desk, **more: Any) -> tuple[str, str]:
    """Put the second version forward as what a retraining has made; gives what the loop did, and its sentence."""
    declared = declared_endpoint(desk.workspace, NAME)
    made = Retraining(
        id=new_id(),
        project=desk.workspace.project,
        name=NAME,
        created_at=desk.clock.now(),
        parent_id=f"{desk.workspace.project}/{NAME}",
        trigger="schedule",
        until=desk.clock.now(),
        **{"snapshot": declared.snapshot, **more},
    )
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made)
    folder = desk.workspace.root.resolve() / "tasks" / made.id
    folder.mkdir(parents=True)
    answer = PipelineAnswer(state="finished", run_id="r" * 32, model=NAME, version=BETTER)
    (folder / RESULT_FILE).write_bytes(msgspec.json.encode(answer))
    (action,) = absorb(desk.workspace, declared)
    return action.name, action.sentence


@pytest.fixture
def served(retraining: Desk) -> Desk:
    """The first version serves, without a process."""
    still = retraining.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    return still


def test_a_word_for_a_policy_is_none_for_what_other_code_has_made(served: Desk) -> None:
    earlier = given(served)
    kind, told = came_of(served, snapshot="a" * 64)
    assert kind == "refuse"
    assert told.endswith("(grace approved other code than what was run).")
    assert revision_of(served.workspace, NAME).challenger is None
    assert came_of(served, snapshot="a" * 64, standing_id=earlier.id)[0] == "shadow", "its word held when it began"


def test_a_word_that_was_given_while_it_ran_counts_where_the_code_is_still_declared(served: Desk) -> None:
    given(served)
    assert came_of(served)[0] == "shadow"


def test_unattended_nothing_serves_past_the_roll_out_that_was_approved(served: Desk) -> None:
    served.declare(key=["flight_id", "origin"], retrain=retrain(served), rollout=[sw.Shadow()])
    given(served)
    kind, told = came_of(served)
    assert kind == "refuse"
    assert "It waits for a person: slipway deploy small-delays --version 2" in told
    assert revision_of(served.workspace, NAME).served.number == FIRST


def test_unattended_no_caller_is_broken(served: Desk) -> None:
    counts = CallerCounts(served.folder, 0, home=served.folder, now=served.clock.now)
    counts.add("shop", "predict")
    counts.write()
    served.declare(key=["flight_id", "gate"], retrain=retrain(served))
    given(served)
    kind, told = came_of(served)
    assert kind == "refuse"
    assert "It waits for a person: small-delays 2 would break callers" in told
    assert "shop" in told
    assert revision_of(served.workspace, NAME).served.number == FIRST


def test_a_retraining_is_asked_for_in_the_environment_that_serves(served: Desk) -> None:
    there = served.in_environment("test")
    with pytest.raises(Conflict, match=r"serves in dev, and this is test.*Add --env dev"):
        start_by_hand(there, StartRetraining(endpoint=NAME, reason="new data"))


def passed(desk: Desk) -> tuple[str, str]:
    """What the loop's next pass does, and its sentence; nothing where it does nothing."""
    done = reconcile(desk.workspace, Reconcile(endpoint=NAME)).actions
    return (done[0].name, done[0].sentence) if done else ("", "")


@pytest.mark.parametrize("state", ["shadow", "canary"])
@pytest.mark.parametrize("change", ["rejected", "taken back", "taken back, and approved by hand", "lapsed"])
def test_a_roll_out_ends_where_somebody_changes_their_mind(served: Desk, state: str, change: str) -> None:
    phases = [sw.Shadow(), sw.Canary()]
    served.declare(retrain=retrain(served), rollout=phases, monitors=[])
    approval = given(served)
    came_of(served)
    served.clock.advance_to(served.clock.now() + timedelta(hours=1))
    begun = rollouts.newest(served.workspace, NAME)
    assert begun is not None
    with served.workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(begun, state=state))
    assert passed(served) == ("", "")
    person = dataclasses.replace(served.workspace, actor=GRACE)
    if change == "rejected":
        grant(person, Grant(model=NAME, version=str(BETTER), decision="rejected", comment="complaints"))
    elif change == "lapsed":
        served.clock.advance_to(JULY)
    else:
        revoke(person, Revoke(id=approval.id))
    if change.endswith("by hand"):
        grant(person, Grant(model=NAME, version=str(BETTER)))
    words = {
        "rejected": "grace rejected it as accountable on 2013-04-01: complaints",
        "taken back": "grace took back on 2013-04-01 the word by which it passed its gate.",
    }
    kind, told = passed(served)
    if change not in words:
        assert "grace" not in told
        return
    assert (kind, told) == ("stop", f"small-delays 2 was taken back; the champion goes on. {words[change]}")
    ended = rollouts.newest(served.workspace, NAME)
    assert ended is not None
    assert (ended.state, ended.reason) == ("stopped", words[change])
    newest = revision_of(served.workspace, NAME)
    assert (newest.served.number, newest.challenger) == (FIRST, None)
    assert passed(served) == ("", "")
