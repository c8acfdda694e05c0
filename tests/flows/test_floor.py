"""Floors, approvals and broken glass at a real project: what its gate cannot lower, and who may say yes."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.errors import Denied, GateRefused, InvalidInput
from slipway.flows.break_glass import CAUSE
from slipway.flows.deploy import deploy, rollback
from slipway.flows.watch import watch
from slipway.gates.declare import Gate, approval, metric
from slipway.ledger import entries
from slipway.loop.reconcile import reconcile
from slipway.operations.declare import call, convert
from slipway.operations.endpoints import Deploy, Rollback, Watch
from slipway.operations.rollouts import Reconcile
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.monitors import Incident
from slipway.records.people import Actor, Identity, RoleGrant


def do(workspace: Workspace, name: str, /, **fields: Any) -> Any:
    wanted = operation(name)
    return call(workspace, wanted, convert(wanted, fields))


def acting(workspace: Workspace, name: str, *roles: str) -> Workspace:
    known = Identity(name=name, grants=tuple(RoleGrant(role) for role in roles))
    return dataclasses.replace(workspace, identity=known, actor=known.actor_in(workspace.project))


def people(desk: Desk) -> dict[str, Workspace]:
    """The store with people; whoever released the versions is ada."""
    maker = desk.version(FIRST).actor.name
    known = {"ada": ("admin",), "gov": ("governance",), "grace": ("business owner",), "bob": ("business owner",)}
    known |= {"mel": ("ml engineer",)}
    if maker not in known:
        known[maker] = ("data scientist",)
    opened = dataclasses.replace(desk.workspace, actor=Actor("root", roles=("admin", "governance")))
    do(opened, "people.add", name="ada", roles=["admin"], account="")
    for name, roles in known.items():
        if name != "ada":
            do(opened, "people.add", name=name, roles=list(roles))
    return {name: acting(desk.workspace, name, *roles) for name, roles in known.items()}


def outcome(verdict: Verdict, words: str) -> str:
    return next(one.result for one in verdict.outcomes if words in one.check)


def test_a_floor_is_set_by_governance_alone_and_holds_for_every_project(desk: Desk) -> None:
    who = people(desk)
    wanted = {"environment": "dev", "checks": ["sw.metric('brier') <= 0.001"], "reason": "first rule"}
    for name in ("ada", "grace", "mel"):
        with pytest.raises(Denied, match="governance"):
            do(who[name], "floors.set", **wanted)
    floor = do(who["gov"], "floors.set", **wanted).floor
    assert (floor.number, floor.actor.name, floor.written) == (1, "gov", ("sw.metric('brier') <= 0.001",))
    ruling = do(who["mel"], "endpoints.deploy", model=NAME, dry_run=True).verdict
    assert outcome(ruling, "brier at most 0.001") == "refused"
    do(who["gov"], "floors.set", environment="dev", checks=["sw.metric('brier') <= 0.9"], reason="too high")
    ruling = do(who["mel"], "endpoints.deploy", model=NAME, dry_run=True).verdict
    assert not [one for one in ruling.outcomes if "0.001" in one.check]
    assert [one.number for one in do(who["mel"], "floors.list").floors] == [2, 1]
    told = [event for event in desk.events() if event.verb == "floors.set"]
    assert [event.actor.name for event in told] == ["gov", "gov"]


def test_a_project_that_asks_for_less_is_refused_by_the_check_s_name(desk: Desk) -> None:
    desk.declare(gate=Gate(metric("auc") >= 0.2))
    do(desk.workspace_alone, "floors.set", environment="dev", checks=["sw.metric('auc') >= 0.3"], reason="first rule")
    with pytest.raises(GateRefused, match=r"'auc at least 0\.2', where it asks for 'auc at least 0\.3'"):
        desk.deploy(FIRST)


def test_formats_and_templates_of_a_floor_are_judged(desk: Desk) -> None:
    wanted = {
        "environment": "dev",
        "formats": ["onnx"],
        "templates": ["tabular"],
        "targets": ["process"],
        "reason": "rule",
    }
    do(desk.workspace_alone, "floors.set", **wanted)
    ruling = desk.deploy(FIRST, dry_run=True).verdict
    assert outcome(ruling, "saved as onnx") == "refused"
    assert outcome(ruling, "made from the template tabular") == "refused"
    assert outcome(ruling, "goes to process") == "passed"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"environment": "staging", "reason": "x"}, "no floor"),
        ({"environment": "prod", "reason": " "}, "without a reason"),
        ({"environment": "prod", "checks": ["auc > 3"], "reason": "x"}, "is no check"),
        ({"environment": "prod", "targets": ["mars"], "reason": "x"}, "no target"),
    ],
)
def test_what_is_no_floor_is_a_sentence(desk: Desk, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        do(desk.workspace_alone, "floors.set", **fields)
    assert do(desk.workspace, "floors.list").floors == ()


def test_nobody_approves_what_they_made(desk: Desk) -> None:
    who, maker = people(desk), desk.version(FIRST).actor.name
    owner = acting(desk.workspace, maker, "business owner")
    with pytest.raises(Denied, match="cannot approve it"):
        do(owner, "approvals.grant", model=NAME, version="1")
    do(owner, "approvals.grant", model=NAME, version="1", decision="rejected", comment="not good")
    do(who["grace"], "approvals.grant", model=NAME, version="2")
    assert do(who["mel"], "endpoints.deploy", model=NAME, version="2", dry_run=True).verdict.passed


def test_a_word_that_was_given_before_anybody_was_known_does_not_count_for_its_author(desk: Desk) -> None:
    desk.approve(FIRST)  # by whoever released it: a team of one
    assert desk.deploy(FIRST, dry_run=True).verdict.passed
    who = people(desk)
    ruling = do(who["mel"], "endpoints.deploy", model=NAME, version="1", dry_run=True).verdict
    found = next(one for one in ruling.outcomes if one.check == "approved as accountable")
    assert (found.result, "author" in found.found) == ("cannot tell", True)


def test_two_people_are_two(desk: Desk) -> None:
    who = people(desk)
    desk.declare(gate=Gate(approval("accountable", count=2)))
    for name, passes in (("grace", False), ("grace", False), ("bob", True)):
        do(who[name], "approvals.grant", model=NAME, version="2")
        assert do(who["mel"], "endpoints.deploy", model=NAME, version="2", dry_run=True).verdict.passed is passes
    do(who["bob"], "approvals.grant", model=NAME, version="2", decision="rejected")
    assert not do(who["mel"], "endpoints.deploy", model=NAME, version="2", dry_run=True).verdict.passed


def test_a_word_lapses(desk: Desk) -> None:
    who = people(desk)
    do(who["grace"], "approvals.grant", model=NAME, version="2", days=3)
    assert desk.deploy(BETTER, dry_run=True).verdict.passed
    desk.clock.advance_to(desk.clock.now() + timedelta(days=3))
    ruling = desk.deploy(BETTER, dry_run=True).verdict
    assert not ruling.passed
    assert "1 lapsed" in next(one.found for one in ruling.outcomes if one.check == "approved as accountable")
    with pytest.raises(InvalidInput, match="366"):
        do(who["grace"], "approvals.grant", model=NAME, days=0)


def test_who_speaks_in_a_role_holds_it(desk: Desk) -> None:
    who = people(desk)
    with pytest.raises(Denied, match="cannot speak as governance"):
        do(who["grace"], "approvals.grant", model=NAME, role="governance")
    assert do(who["gov"], "approvals.grant", model=NAME, role="governance").approval.actor.name == "gov"


def incidents(desk: Desk) -> list[Incident]:
    with desk.workspace.ledger.read() as tx:
        return entries.find(tx, Incident, name=CAUSE)


def test_broken_glass_is_told_expires_and_ends_with_what_passes(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    desk.declare(gate=Gate(metric("auc") >= 0.9999, approval("accountable")))
    with pytest.raises(GateRefused):
        still.deploy(BETTER)
    with pytest.raises(InvalidInput, match="needs a reason"):
        still.deploy(BETTER, break_glass="hurry")
    done = still.deploy(BETTER, break_glass="the champion answers nothing since ten")
    assert done.revision is not None
    assert (done.verdict.passed, done.revision.served.number) == (False, BETTER)
    assert done.revision.reason == "break-glass: the champion answers nothing since ten"
    opened = incidents(desk)
    assert [one.state for one in opened] == ["open"]
    assert "auc at least 0.9999" in opened[0].sentence
    (used,) = do(still.workspace, "floors.broken").uses
    assert (used.bundle, used.verdict_id) == (desk.version(BETTER).bundle, done.verdict.id)
    assert {"endpoints.break_glass", "incidents.open"} <= {event.verb for event in desk.events()}
    watch(still.workspace, Watch(name=NAME))
    assert incidents(desk) == opened
    desk.clock.advance_to(desk.clock.now() + timedelta(hours=25))
    watch(still.workspace, Watch(name=NAME))
    assert incidents(desk)[0].sentence.startswith("Over time: ")
    rollback(still.workspace, Rollback(name=NAME))
    assert [one.state for one in incidents(desk)] == ["closed"]
    with pytest.raises(GateRefused, match="break-glass"):
        rollback(still.workspace, Rollback(name=NAME, to=2))


def test_the_loop_says_that_broken_glass_is_over_time_where_nothing_is_watched(desk: Desk) -> None:
    still = desk.without_processes()
    desk.declare(gate=Gate(metric("auc") >= 0.9999), monitors=[])
    still.deploy(FIRST, break_glass="nothing answers since ten")
    desk.clock.advance_to(desk.clock.now() + timedelta(hours=25))
    reconcile(still.workspace, Reconcile())
    assert incidents(desk)[0].sentence.startswith("Over time: ")


def test_nobody_s_word_lets_through_what_is_unsigned_and_not_everybody_may(desk: Desk) -> None:
    still, who = desk.without_processes(), people(desk)
    desk.declare(gate=Gate(metric("auc") >= 0.9999))
    mel = dataclasses.replace(who["mel"], launcher=still.workspace.launcher)
    with pytest.raises(Denied, match=r"gates\.break"):
        deploy(mel, Deploy(model=NAME, version="1", break_glass="the champion answers nothing"))
    keys = desk.workspace.root / "keys"
    for file in keys.glob("*.pub"):
        file.unlink()
    gov = dataclasses.replace(
        acting(desk.workspace, "gov", "governance", "platform engineer"),
        signer=type(still.workspace.signer)(desk.workspace.root / "other"),
    )
    with pytest.raises(GateRefused, match="Nobody's word lets that through"):
        deploy(gov, Deploy(model=NAME, version="1", break_glass="the champion answers nothing"))
    assert incidents(desk) == []
