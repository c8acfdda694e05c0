"""The flows tell by the RACI: who is asked when a version waits, who hears of what serves, who owns an incident."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import GateRefused
from slipway.flows.approve import grant
from slipway.flows.inbox import inbox
from slipway.governance import raci
from slipway.ledger import entries
from slipway.operations.comments import Inbox, ListNotices
from slipway.operations.governance import Grant
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.people import Actor, Person, RoleGrant
from slipway.records.responsibility import STAGES, Notice, RaciRow

ROWS = tuple(
    RaciRow(stage=stage, responsible=("mia",), accountable=("grace",), consulted=("gov",), informed=("eve",))
    for stage in STAGES
)


def as_(desk: Desk, name: str) -> Desk:
    actor = Actor(name, roles=("business owner", "governance"))
    return Desk(replace(desk.project, workspace=replace(desk.workspace, actor=actor)), desk.clock)


def inbox_of(workspace: Workspace, name: str) -> Inbox:
    return inbox(replace(workspace, actor=Actor(name, roles=("business owner",))), ListNotices(everything=True))


def told(desk: Desk, name: str) -> list[str]:
    return [one.sentence for one in inbox_of(desk.workspace, name).notices]


@pytest.fixture
def still(desk: Desk) -> Desk:
    """The desk with a RACI, whose endpoints are files only."""
    raci.declare(desk.workspace, ROWS)
    return desk.without_processes()


def test_a_version_that_waits_for_words_alone_asks_for_them_once(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.approval("accountable")))
    for _ in range(2):
        with pytest.raises(GateRefused):
            still.deploy(FIRST)
    (waiting,) = inbox_of(still.workspace, "grace").approvals
    assert f"slipway approve {NAME} --version {FIRST}" in waiting.sentence
    assert [one for one in told(still, "gov") if "you are consulted" in one] == told(still, "gov")
    assert len(told(still, "gov")) == 1
    assert len([one for one in told(still, "eve") if "was refused" in one]) == 2  # each verdict is one
    as_(still, "grace").approve(FIRST)
    assert inbox_of(still.workspace, "grace").approvals == ()


def test_who_holds_a_role_is_asked_for_its_words_until_there_are_enough(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.approval("governance", count=2)))
    names = ("gov", "max", "una")
    with still.workspace.ledger.write() as tx:
        for name, role in zip((*names, "eve"), (*("governance",) * 3, "executive viewer"), strict=True):
            known = Person(id=name, name=name, project="", created_at=still.clock.now(), grants=(RoleGrant(role),))
            entries.put(tx, known)
    with pytest.raises(GateRefused):
        still.deploy(FIRST)

    def asked() -> list[str]:
        return [name for name in (*names, "eve", "grace") if inbox_of(still.workspace, name).approvals]

    assert asked() == ["gov", "max", "una"]
    (waiting,) = inbox_of(still.workspace, "max").approvals
    assert waiting.sentence.endswith(f"slipway approve {NAME} --version {FIRST} --role governance")
    grant(as_(still, "max").workspace, Grant(model=NAME, version=str(FIRST), role="governance"))
    assert asked() == ["gov", "una"]
    grant(as_(still, "una").workspace, Grant(model=NAME, version=str(FIRST), role="governance"))
    assert asked() == []


def test_nobody_is_asked_for_what_fails_otherwise(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.999, sw.approval("accountable")))
    with pytest.raises(GateRefused):
        still.deploy(FIRST)
    assert inbox_of(still.workspace, "grace").approvals == ()
    assert told(still, "gov") == []


def test_who_is_informed_hears_of_what_serves_and_of_the_way_back(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.0), rollout=())
    still.deploy(FIRST)
    still.deploy(BETTER)
    still.rollback()
    serves = [one for one in told(still, "eve") if "serves" in one]
    assert len(serves) == 3
    assert any("rollback to 1" in one for one in serves)


def test_broken_glass_is_owned_by_whose_word_was_gone_round(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.approval("accountable")))
    still.deploy(FIRST, break_glass="the champion answers nothing since 10:00")
    with still.workspace.ledger.read() as tx:
        (incident,) = entries.every(tx, Incident, state="open")
    assert (incident.owner, incident.people) == ("grace", ("grace",))
    assert [one.id for one in inbox_of(still.workspace, "grace").incidents] == [incident.id]


def test_a_transaction_that_fails_tells_nobody(still: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.0), rollout=())

    def broken(*given: object, **more: object) -> Callable[..., None]:
        raise OSError("the disk is full")

    monkeypatch.setattr("slipway.flows.publish.events.record", broken)
    with pytest.raises(OSError, match="full"):
        still.deploy(FIRST)
    with still.workspace.ledger.read() as tx:
        assert [one for one in entries.every(tx, Notice) if "serves" in one.sentence] == []
