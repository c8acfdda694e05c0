"""A refusal names who can help, by the RACI; words that nobody can give are refused and not waited for."""

from dataclasses import replace

import pytest
from small_desk import FIRST, Desk

import slipway as sw
from slipway.errors import Denied, GateRefused, InvalidDeclaration
from slipway.flows.inbox import inbox
from slipway.flows.release import run_pipeline
from slipway.governance import raci
from slipway.governance.people import add
from slipway.operations.comments import ListNotices
from slipway.operations.people import AddPerson
from slipway.records.people import Actor
from slipway.records.responsibility import STAGES, RaciRow

ROWS = tuple(RaciRow(stage=stage, responsible=("mia",), accountable=("grace",)) for stage in STAGES)


@pytest.fixture
def still(desk: Desk) -> Desk:
    return desk.without_processes()


def refused(desk: Desk) -> GateRefused:
    with pytest.raises(GateRefused) as caught:
        desk.deploy(FIRST)
    return caught.value


def test_without_a_raci_and_people_it_is_a_role(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.999))
    assert "Who can help: data scientist." in str(refused(still))


def test_without_a_raci_it_is_who_holds_the_role(still: Desk) -> None:
    add(still.workspace, AddPerson(name="boss", roles=("admin",)))
    add(still.workspace, AddPerson(name="dan", roles=("data scientist",)))
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.999))
    assert "Who can help: dan (data scientist)." in str(refused(still))


def test_by_the_raci_it_is_who_answers_for_the_stage(still: Desk) -> None:
    raci.declare(still.workspace, ROWS)
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.999))
    assert "Who can help: mia (responsible for train)." in str(refused(still))
    still.declare(gate=sw.Gate(sw.approval("accountable")))
    assert "Who can help: grace (accountable for approve)." in str(refused(still))
    raci.declare(still.workspace, tuple(replace_(row) for row in ROWS))
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.999))
    assert "Who can help: grace (accountable for train)." in str(refused(still))  # nobody is responsible there


def replace_(row: RaciRow) -> RaciRow:
    return RaciRow(stage=row.stage, accountable=row.accountable)


def test_what_can_be_mended_is_said_before_words_that_are_missing(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.approval("accountable"), sw.metric("auc") >= 0.999))
    assert "small-delays 1 was refused for dev: auc" in str(refused(still))


def test_a_gate_that_contradicts_the_raci_is_refused_where_it_is_declared(still: Desk) -> None:
    raci.declare(still.workspace, ROWS)
    with pytest.raises(InvalidDeclaration, match=r"can never be passed: 2 people .* makes 1 accountable .*: grace"):
        still.declare(gate=sw.Gate(sw.approval("accountable", count=2)))
    begun = len(still.events())
    module = still.project.module()
    endpoint = replace(module.delays, gate=sw.Gate(sw.approval("accountable", count=2)))
    with pytest.raises(InvalidDeclaration, match="can never be passed"):
        run_pipeline(still.workspace, module.release, {}, endpoint=endpoint)
    assert len(still.events()) == begun  # nothing was trained for it
    still.declare(gate=sw.Gate(sw.approval("accountable"), sw.approval("governance")))
    raci.declare(still.workspace, ())
    still.declare(gate=sw.Gate(sw.approval("accountable", count=2)))  # then two of those who may


def test_words_that_nobody_can_give_are_refused_and_nobody_is_asked(still: Desk) -> None:
    still.declare(gate=sw.Gate(sw.approval("accountable", count=2)))
    raci.declare(still.workspace, ROWS)  # since the gate was declared
    problem = refused(still)
    assert "Refused: 2 people are asked to approve as accountable" in str(problem)
    assert "in another role" in str(problem)
    asked = replace(still.workspace, actor=Actor("grace", roles=("business owner",)))
    assert inbox(asked, ListNotices(everything=True)).approvals == ()


def test_who_may_not_run_or_deploy_changes_no_raci(still: Desk) -> None:
    for role in ("business owner", "governance", "software engineer"):
        there = replace(still.workspace, actor=Actor("bob", roles=(role,)))
        with pytest.raises(Denied, match=r"bob may not do raci\.declare"):
            raci.declare(there, ROWS)
    for role in ("data engineer", "platform engineer"):
        raci.declare(replace(still.workspace, actor=Actor("bob", roles=(role,))), ROWS)
        raci.declare(still.workspace, ())
