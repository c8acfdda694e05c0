"""What leaves a roll-out undecided, through the whole loop: whoever is accountable is asked, and silence promotes nobody."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

import slipway as sw
from looping_desk import NAME, START, forget
from looping_hand import HandDesk
from slipway.backends.clocks import SimulatedClock
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.release import declare_endpoint
from slipway.flows.rollout_words import get_rollout
from slipway.governance import raci
from slipway.governance.people import identity_of, person_named
from slipway.hosts.settings import raci_rows, read_settings
from slipway.ledger import entries
from slipway.loop.reconcile import reconcile
from slipway.operations.declare import call, convert
from slipway.operations.endpoints import Deploy
from slipway.operations.governance import Grant
from slipway.operations.rollouts import GetRollout, Reconcile
from slipway.operations.table import operation
from slipway.ports.workspace import in_project
from slipway.records.monitors import Incident
from slipway.records.responsibility import Notice

pytestmark = pytest.mark.full  # each rolls real versions out, for seconds
CANARY = sw.Canary(steps=(20, 60, 100), margin=0.2, alpha=0.05, deadline="3d")
GOOD, WORSE = 2, 3
LOOSE = sw.Gate(sw.metric("auc") >= 0.0)
RACI = """
[raci.default]
responsible = ["dan"]
accountable = "grace"
informed = ["eve"]

[raci.deploy]
responsible = ["dan"]
accountable = "mia"
"""
PEOPLE = {"ada": "admin", "dan": "data scientist", "grace": "business owner", "mia": "ml engineer", "gov": "governance", "eve": "data engineer"}  # fmt: skip


def begun(desk: HandDesk, challenger: int, *phases: Any) -> None:
    """Two days of the champion alone, then a challenger is rolled out."""
    declared = dataclasses.replace(desk.endpoint, rollout=phases or (CANARY,), gate=LOOSE, retrain=None)
    declare_endpoint(desk.workspace, declared)
    desk.days(0, 2)
    deploy(desk.workspace, Deploy(model=NAME, version=str(challenger)))


def incidents(desk: HandDesk, **more: Any) -> list[Incident]:
    with desk.workspace.ledger.read() as tx:
        return list(entries.find(tx, Incident, parent=f"{desk.workspace.project}/{NAME}", limit=100, **more))


def nothing(late: bool) -> None:
    """A label that never comes."""


@pytest.mark.full
def test_a_broken_split_voids_every_verdict_opens_an_incident_and_ends_with_the_champion(desk: HandDesk) -> None:
    begun(desk, GOOD)
    done = desk.days(2, 4.5, drawn=0.8, labels=nothing)
    assert "canary" not in done
    assert "promote" not in done
    assert (desk.rollout.state, desk.rollout.step) == ("canary", 0)
    look = desk.rollout.looks[-1]
    assert (look.verdict, look.values["is_void"]) == ("undecided", True)
    assert "the split is not the declared one" in look.sentence
    (opened,) = incidents(desk, name="roll-out", state="open")
    assert (opened.cause, opened.owner) == ("rollout", "data scientist")
    assert "the split is not the declared one" in opened.sentence
    (alert,) = [one for one in desk.actions() if one.name == "alert"]
    assert alert.subjects == (f"incident:{opened.id}",)
    done = desk.days(4.5, 8.5, drawn=0.8, labels=nothing)
    assert [one for one in done if one in ("ask", "undecided")] == ["ask", "undecided"]
    assert (desk.rollout.state, desk.champion) == ("undecided", 1)
    assert desk.revision.challenger is None


def test_a_broken_split_keeps_a_failing_challenger_from_being_judged_too(desk: HandDesk) -> None:
    begun(desk, GOOD)
    desk.days(2, 3, drawn=0.8, failing=30)
    assert desk.rollout.looks[-1].verdict == "undecided", "nothing that is compared can be trusted"
    assert "void" not in {desk.rollout.state}
    assert desk.revision.served.number == 1


def test_scores_that_are_distributed_otherwise_leave_it_undecided_until_a_person_decides(desk: HandDesk) -> None:
    begun(desk, WORSE)
    done = desk.days(2, 4.5, labels=nothing)
    assert (desk.rollout.state, desk.rollout.step, done) == ("canary", 0, [])
    look = desk.rollout.looks[-1]
    assert look.verdict == "undecided"
    assert "its scores" in look.sentence
    assert "Not worse" not in look.sentence
    assert desk.days(4.5, 5.5, labels=nothing) == ["alert", "ask"]  # labels come no more, and the deadline
    asked = desk.actions()[-1]
    assert asked.owner == "business owner"
    assert "its scores" in asked.sentence
    assert desk.days(5.5, 9, labels=nothing) == ["undecided"]
    assert (desk.rollout.state, desk.champion) == ("undecided", 1)


@pytest.mark.parametrize(
    "phases", [(CANARY,), (sw.Shadow("log_loss", margin=0.05, at_least="1d", deadline="3d"), CANARY)]
)
def test_without_any_traffic_nobody_is_promoted(desk: HandDesk, phases: tuple[Any, ...]) -> None:
    begun(desk, GOOD, *phases)
    done = [one.name for half in range(5, 20) for one in desk.pass_at(desk.at(half / 2))]
    assert done == ["ask", "undecided"]
    assert (desk.rollout.state, desk.champion, desk.revision.challenger) == ("undecided", 1, None)
    assert all(look.verdict == "undecided" for look in desk.rollout.looks)


def test_a_clock_that_jumps_ahead_asks_and_one_that_goes_back_changes_nothing(desk: HandDesk) -> None:
    begun(desk, GOOD)
    desk.answer(2, 2.5)
    before = (desk.revisions(), desk.rollout)
    back = dataclasses.replace(desk.workspace, clock=SimulatedClock(START - timedelta(days=40)))
    forget()
    assert reconcile(back, Reconcile(endpoint=NAME)).actions == ()
    assert (desk.revisions(), desk.rollout) == before
    forget()
    assert [one.name for one in desk.pass_at(desk.at(402))] == ["ask"]
    assert (desk.rollout.is_under_way, desk.revision.served.number) == (True, 1)
    assert [one.name for one in desk.pass_at(desk.at(404.9))] == []
    assert [one.name for one in desk.pass_at(desk.at(405.1))] == ["undecided"]
    assert desk.champion == 1


class Staff:
    """The people of a project, whose slipway.toml says who answers for what."""

    def __init__(self, desk: HandDesk) -> None:
        self.desk = desk
        for name, role in PEOPLE.items():
            more = {"account": "ada-s"} if name == "ada" else {}
            self.do("", "people.add", name=name, roles=[role], **more)
        file = desk.project.folder / "slipway.toml"
        file.write_text(file.read_text() + RACI)
        raci.declare(desk.workspace, raci_rows(read_settings(file.parent)))

    def do(self, who: str, name: str, /, **fields: Any) -> Any:
        workspace = self.desk.workspace
        if who:
            with workspace.ledger.read() as tx:
                identity = identity_of(person_named(tx, who))
            workspace = in_project(dataclasses.replace(workspace, identity=identity), workspace.project)
        wanted = operation(name)
        return call(workspace, wanted, convert(wanted, fields))

    def told(self, who: str) -> list[Notice]:
        with self.desk.workspace.ledger.read() as tx:
            return [one for one in entries.every(tx, Notice, name=who) if "is undecided at" in one.sentence]


@pytest.mark.parametrize(("away", "deputy", "owner"), [(False, "", "mia"), (True, "gov", "gov"), (True, "", "mia")])
def test_the_deadline_asks_the_accountable_of_slipway_toml_or_their_deputy(
    desk: HandDesk, away: bool, deputy: str, owner: str
) -> None:
    begun(desk, GOOD)
    staff = Staff(desk)
    if away:
        until: datetime = desk.at(30)
        staff.do("mia", "absences.add", until=until.isoformat(), deputy=deputy)
    assert [one.name for one in desk.pass_at(desk.at(5))] == ["ask"]
    (asked,) = incidents(desk, name="rollout", state="open")
    assert (asked.owner, asked.people) == (owner, ("mia",))
    assert [one.what for one in staff.told("mia")] == ["incident"], "asked once, and kept for their return"
    assert "rollout advance looping --reason WHY" in asked.sentence
    finds = {name for name in PEOPLE if staff.do(name, "notices.list").incidents == (asked,)}
    assert finds == {owner, "mia"}
    shown = get_rollout(desk.workspace, GetRollout(endpoint=NAME)).asked
    assert (
        shown
        == {
            ("mia", ""): "mia",
            ("gov", "gov"): "gov for mia, who is away",
            ("mia", "away"): "mia, who is away and named no deputy who is there",
        }[(owner, "away" if away and not deputy else deputy)]
    )
    desk.pass_at(desk.at(6))
    assert len(staff.told("mia")) == 1
    assert [one.name for one in desk.pass_at(desk.at(9))] == ["undecided"]
    assert incidents(desk, name="rollout", state="open") == []


def test_who_is_asked_may_answer(desk: HandDesk) -> None:
    begun(desk, GOOD)
    staff = Staff(desk)
    desk.pass_at(desk.at(5))
    staff.do("mia", "rollouts.resume", endpoint=NAME, more="2d", reason="a holiday")
    assert incidents(desk, name="rollout", state="open") == []
    assert desk.rollout.due_at == desk.at(7)
    assert (desk.rollout.words[-1].actor.name, desk.rollout.words[-1].what) == ("mia", "resume")


def test_who_rejects_it_meanwhile_stops_it(desk: HandDesk) -> None:
    begun(desk, GOOD)
    grant(desk.workspace, Grant(model=NAME, version=str(GOOD), decision="rejected", comment="it errs at night"))
    assert desk.day(2.5) == ["stop"]
    assert "it errs at night" in desk.rollout.reason
    assert desk.champion == 1
