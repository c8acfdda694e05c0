"""Passes of the loop over days of traffic: what is due is done once, told, and decided by what files and ledger hold."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import slipway as sw
from looping_desk import NAME, forget, told
from looping_hand import HandDesk, Killed, with_lives
from slipway.errors import NotFound
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoints import folder_of
from slipway.flows.release import declare_endpoint
from slipway.flows.watch import watch
from slipway.ledger import entries
from slipway.loop import CONTROLLER
from slipway.loop.actions import list_actions
from slipway.loop.alarms import alarm
from slipway.loop.reconcile import reconcile
from slipway.loop.retrain import start_by_hand
from slipway.loop.story import get_stories
from slipway.operations.endpoints import Deploy, Rollback, Watch
from slipway.operations.governance import Grant
from slipway.operations.rollouts import GetStories, ListActions, Reconcile, StartRetraining
from slipway.records.loop import Action
from slipway.records.monitors import Finding, Incident
from slipway.records.predictions import PredictionRow
from slipway.tables.segments import SegmentWriter, read_segments

Fresh = Callable[[], AbstractContextManager[HandDesk]]
GOOD, WORSE = 2, 3


def declare(desk: HandDesk, **changes: Any) -> None:
    declare_endpoint(desk.workspace, dataclasses.replace(desk.endpoint, **changes))


def retrain_by_hand(desk: HandDesk, brings: int) -> None:
    start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="new data"))
    desk.runner.brings(brings)


def versions_that_answered(desk: HandDesk) -> set[int]:
    rows, _ = read_segments(desk.folder / "log", "predictions", PredictionRow)
    return {row.version for row in rows}


def first_weeks(desk: HandDesk) -> list[Action]:
    """A scheduled retraining that is promoted, and one by hand, on a spoilt table, that is stopped."""
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.days(7.5, 12)
    retrain_by_hand(desk, WORSE)
    desk.days(12, 13)
    return desk.actions()


def test_from_schedule_to_all_traffic(desk: HandDesk) -> None:
    assert desk.days(0, 7) == []
    assert desk.day(7.5) == ["retrain"]
    (retraining,) = desk.retrainings()
    assert (retraining.state, retraining.trigger, retraining.until) == (
        "running", "schedule 0 3 8,18 * *", desk.at(7)
    )  # fmt: skip
    assert retraining.standing_id, "it runs under the standing approval"
    assert desk.day(8) == [], "it still runs"
    desk.runner.brings(GOOD)
    assert desk.day(8.5) == ["shadow"]
    assert desk.day(9) == []
    assert desk.day(9.5) == []
    assert desk.day(10) == ["canary"]
    assert desk.day(10.5) == ["canary"]
    assert desk.day(11) == ["promote"]
    assert desk.champion == GOOD
    assert desk.days(11, 14) == []
    (retraining,) = desk.retrainings()
    assert (retraining.state, retraining.version) == ("made", GOOD)
    (rollout,) = desk.rollouts()
    assert (rollout.state, rollout.retraining_id) == ("promoted", retraining.id)
    assert [(r.served.number, r.challenger.fraction if r.challenger else None) for r in desk.revisions()] == [
        (1, None), (1, 0.0), (1, 0.2), (1, 0.6), (GOOD, 0.0), (GOOD, None)
    ]  # fmt: skip
    assert {r.actor for r in desk.revisions()[1:]} == {CONTROLLER}
    assert versions_that_answered(desk) == {1, GOOD}
    assert rollout.watched_until == desk.at(12), "a label may take a day"
    warm = desk.revisions()[4].challenger
    assert warm is not None
    assert warm.served.number == 1, "the way back is loaded until then"
    assert rollout.looks[-1].sentence.startswith("After the promotion: Its ")


def test_every_action_says_what_and_why_and_names_what_it_is_about(desk: HandDesk) -> None:
    actions = first_weeks(desk)
    assert [one.name for one in actions] == [
        "retrain", "shadow", "canary", "canary", "promote", "retrain", "shadow", "stop"
    ]  # fmt: skip
    everything = desk.everything()
    assert [one.number for one in everything] == list(range(1, len(everything) + 1))
    retrain, shadow, canary, wider, promote, by_hand, _, stop = actions
    assert by_hand.evidence == {"trigger": "hand"}
    assert retrain.sentence == "schedule 0 3 8,18 * *. release is run on data until 2013-04-08."
    assert shadow.sentence.startswith(
        "looping 2 passed its gate, under the standing approval of Grace (simulated), and "
    )
    assert "auc at least 0.6" in shadow.evidence
    assert canary.sentence.startswith("looping 2 answers 20 % of the rows. The challenger's log loss is ")
    assert canary.evidence["live"] > 0
    assert wider.sentence.startswith("looping 2 answers 60 % of the rows. At 20%: the challenger failed on 0 of ")
    assert promote.sentence.startswith("looping 2 answers everything now.")
    assert "took_ms" not in promote.evidence, "machine time is in no action"
    assert stop.sentence.startswith("looping 3 was taken back; the champion goes on. ")
    assert stop.owner == "data scientist"
    for one in actions:
        assert one.subjects, one.name
    kinds = {subject.partition(":")[0] for subject in shadow.subjects}
    assert kinds == {"retraining", "model", "verdict", "rollout"}
    listed = list_actions(desk.workspace, ListActions(endpoint=NAME, after=5)).actions
    assert [one.number for one in listed] == [one.number for one in everything[5:]]


@pytest.mark.full
def test_a_worse_challenger_answers_nobody(desk: HandDesk) -> None:
    first_weeks(desk)
    desk.days(13, 14)
    assert desk.rollouts()[-1].state == "stopped"
    assert versions_that_answered(desk) == {1, GOOD}
    assert desk.champion == GOOD


def test_a_challenger_that_fails_is_stopped_in_its_canary(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.days(7.5, 10)
    assert desk.rollout.state == "canary"
    assert desk.day(10.5, failing=20) == ["stop"]
    assert "failed on 20 of 2" in desk.actions()[-1].sentence
    assert desk.champion == 1


@pytest.mark.full
def test_an_undecided_one_ends_at_its_deadline_and_a_person_is_told(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.day(8)
    assert desk.days(8, 14, labels=lambda late: None) == ["alert", "ask"]  # labels come no more, and the deadline
    asked = desk.actions()[-1]
    assert asked.owner == "business owner"
    assert asked.sentence.startswith("looping 2 is at its deadline, and somebody is asked to decide.")
    assert desk.days(14, 20, labels=lambda late: None) == ["hold", "undecided", "retrain"]
    action = next(one for one in desk.actions() if one.name == "undecided")
    assert action.owner == "business owner"
    assert action.sentence.startswith(
        "looping 2 was not promoted; the champion goes on. The deadline came first, and nobody"
    )
    assert len(desk.rollout.looks) == 13, "one a day"


@pytest.mark.full
def test_two_passes_at_one_moment_do_nothing_twice(desk: HandDesk) -> None:
    def everything() -> tuple[Any, ...]:
        with desk.workspace.ledger.read() as tx:
            findings = entries.find(tx, Finding, parent=f"{desk.workspace.project}/{NAME}", limit=1000)
        return (
            len(findings), told(desk.actions()), desk.revisions(), desk.retrainings(), desk.runner.started,
            [(one.id, one.state, one.step, one.looks[:-1]) for one in desk.rollouts()],
        )  # fmt: skip

    for half in range(1, 27):
        desk.day(half / 2)
        if half == 15:
            desk.runner.brings(GOOD)
            desk.look()
        if half == 24:
            retrain_by_hand(desk, WORSE)
            desk.look()
        before = everything()
        assert desk.look() == []
        forget()
        assert desk.look() == []
        assert everything() == before
    assert [one.name for one in desk.actions()][-2:] == ["shadow", "stop"]


def test_a_broken_feed_holds_a_schedule_until_it_is_mended(desk: HandDesk) -> None:
    assert desk.days(0, 5) == []
    assert desk.days(5, 7, bent={"region": "??"}) == ["alert"]
    alert = desk.actions()[-1]
    assert alert.owner == "data engineer"
    assert "region never seen before ('??')" in alert.sentence
    assert desk.days(7, 9, bent={"region": "??"}) == ["hold"], "told once"
    hold = desk.actions()[-1]
    assert hold.sentence.startswith("schedule 0 3 8,18 * *: held, because a feed is broken: ")
    assert hold.owner == "data engineer"
    assert hold.subjects == (alert.subjects[0],)
    assert desk.retrainings() == []
    assert desk.days(9, 12) == ["close", "retrain"], "caught up as soon as the feed is mended"
    assert [one.name for one in desk.actions()] == ["alert", "hold", "close", "retrain"]


def test_a_feed_that_broke_since_the_last_look_teaches_nothing_either(desk: HandDesk) -> None:
    assert desk.days(0, 7) == []
    assert desk.day(7.5, bent={"region": "??"}) == ["hold"], "the monitors look once more before anything is trained"
    assert desk.day(8, bent={"region": "??"}) == ["alert"]
    assert desk.retrainings() == []
    assert desk.days(8, 11) == ["close", "retrain"]


def test_new_labels_that_are_held_are_told_once(desk: HandDesk) -> None:
    retrain = dataclasses.replace(desk.endpoint.retrain, when=[sw.new_labels(10)])
    declare(desk, retrain=retrain)
    assert desk.days(0, 5) == ["retrain", "hold"]
    assert "has not ended" in desk.actions()[-1].sentence


@pytest.mark.full
def test_while_one_is_rolled_out_the_next_is_held_and_caught_up(desk: HandDesk) -> None:
    desk.days(0, 16)
    desk.runner.brings(GOOD)
    assert desk.days(16, 17.5) == ["shadow", "hold"]
    assert "looping 2 is being rolled out (shadow)" in desk.actions()[-1].sentence
    assert "retrain" in desk.days(17.5, 21)
    assert [one.trigger for one in desk.retrainings()] == ["schedule 0 3 8,18 * *"] * 2


def test_a_persons_deployment_at_once_supersedes(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.days(7.5, 8)
    grant(desk.workspace, Grant(model=NAME, version="2"))
    deploy(desk.workspace, Deploy(model=NAME, version="2", at_once=True))
    assert desk.day(8.5) == ["superseded"]
    assert desk.actions()[-1].sentence == "Revision 3 was published meanwhile (deploy)."
    assert (desk.rollout.state, desk.champion) == ("superseded", GOOD)
    assert desk.days(8.5, 10) == []


@pytest.mark.full
def test_what_is_wrong_with_a_roll_out_is_told(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.days(7.5, 10)
    with desk.workspace.ledger.write() as tx:
        alarm(tx, desk.workspace, desk.rollout, "The split is not as declared.")
    assert "alert" in desk.days(10, 11.5)
    assert "The split is not as declared." in next(one for one in desk.actions() if one.name == "alert").sentence


def deploy_at_once(desk: HandDesk, version: int) -> None:
    """By a person's hand, and let every degradation ask for a retraining at once."""
    declare(desk, retrain=sw.Retrain(desk.project.module().release, when=[sw.degraded], cooldown="1d"))
    desk.clock.advance_to(desk.at(1))
    grant(desk.workspace, Grant(model=NAME, version=str(version)))
    deploy(desk.workspace, Deploy(model=NAME, version=str(version), at_once=True))


def answered(desk: HandDesk, since: float, until: float, **more: Any) -> list[str]:
    """Days of traffic at once, then a pass; gives the kinds of what the loop did."""
    desk.answer(since, until, **more)
    return [one.name for one in desk.pass_at(desk.at(until))]


@pytest.mark.full
def test_what_is_worse_than_the_version_before_is_taken_back_and_nothing_is_trained(desk: HandDesk) -> None:
    desk.answer(0, 1)
    deploy_at_once(desk, WORSE)
    assert answered(desk, 1, 7.5) == [], "labels of seven days are needed"
    assert answered(desk, 7.5, 8) == ["alert", "stop"]
    assert answered(desk, 8, 9) == ["close"]
    assert (desk.champion, desk.revision.served.number, desk.retrainings()) == (1, 1, [])
    stop = next(one for one in desk.actions() if one.name == "stop")
    assert stop.owner == "data scientist"
    assert stop.sentence.startswith(
        "looping 3 was taken back; looping 1 serves again. Labels say that it is worse, and the"
    )
    assert "looping 1 answers them better: the log loss of what serves is +" in stop.sentence
    assert stop.evidence["policy"] == "roll back"
    assert desk.revision.reason.startswith("rollback to 1: looping 1 answers them better")
    told = next(one for one in get_stories(desk.workspace, GetStories(endpoint=NAME)).stories if one.policy)
    assert [line.what for line in told.lines] == ["alert", "stop", "close"]
    assert (told.policy, told.outcome) == ("roll back", "taken back")
    assert answered(desk, 9, 10) == [], "and what was taken back does not come again"


def test_what_is_no_worse_than_the_version_before_is_trained_anew(desk: HandDesk) -> None:
    desk.answer(0, 1)
    deploy_at_once(desk, GOOD)
    done = answered(desk, 1, 8, labels=lambda late: float(not late))  # the world changed, and both are wrong
    assert (done, desk.champion) == (["alert", "retrain"], GOOD)


def test_labels_below_their_usual_share_trigger_nothing(desk: HandDesk) -> None:
    """Of two thirds the labels are in, and say the contrary: the figure so far is bad, and says nothing."""
    declare(desk, retrain=sw.Retrain(desk.project.module().release, when=[sw.degraded], cooldown="1d"))
    desk.answer(0, 7)
    done = answered(desk, 7, 15, labels=lambda late: None if late else 1.0)
    assert (done, desk.retrainings()) == ([], [])
    with desk.workspace.ledger.read() as tx:
        newest = entries.find(
            tx, Finding, parent=f"{desk.workspace.project}/{NAME}", name="quality of log_loss", limit=1
        )
    assert newest[0].state == "cannot tell"
    assert newest[0].sentence.endswith("is usual: provisional, nothing is judged by it yet.")


def test_a_monitor_whose_code_fails_cannot_tell_and_keeps_nobody_from_their_turn(
    desk: HandDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    loud = HandDesk(dataclasses.replace(desk.project, workspace=dataclasses.replace(desk.workspace, say=said.append)), desk.clock)  # fmt: skip

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr("slipway.monitoring.judge.quality", broken)
    assert answered(loud, 0, 1) == []
    with desk.workspace.ledger.read() as tx:
        found = entries.find(tx, Finding, parent=f"{desk.workspace.project}/{NAME}", limit=10)
    assert {one.name: one.state for one in found}["quality of log_loss"] == "cannot tell"
    assert "drift" in {one.name for one in found}
    assert any("ZeroDivisionError: float division by zero" in line for line in said)


def test_going_back_ends_it_too(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    desk.days(7.5, 10)
    assert desk.rollout.state == "canary"
    rollback(desk.workspace, Rollback(name=NAME, reason="complaints"))
    assert desk.rollout.state == "stopped"
    assert "complaints" in desk.rollout.reason
    assert desk.day(10.5) == []
    assert desk.champion == 1
    assert desk.revision.challenger is None


def test_without_a_roll_out_what_passes_serves(desk: HandDesk) -> None:
    declare(desk, rollout=[])
    desk.first()
    desk.days(0, 7.5)
    desk.runner.brings(GOOD)
    assert desk.day(8) == ["promote"]
    assert "no roll-out is declared" in desk.actions()[-1].sentence
    assert (desk.champion, desk.revision.served.number) == (GOOD, GOOD)


@pytest.mark.full
def test_a_degraded_model_is_trained_again_once_it_is_warm_and_then_cools_down(desk: HandDesk) -> None:
    declare(desk, retrain=sw.Retrain(desk.project.module().release, when=[sw.degraded], cooldown="9d"))
    desk.first()
    turned: Callable[[bool], float] = lambda late: float(not late)  # noqa: E731
    done = desk.days(0, 9, labels=turned)
    assert done == ["alert", "retrain"]
    alert, retrain = desk.actions()
    assert alert.owner == "data scientist"
    assert retrain.sentence.startswith("degraded: quality of log_loss. release is run")
    assert alert.subjects[0] in retrain.subjects
    assert desk.retrainings()[0].created_at == desk.at(9)
    desk.runner.fails("no")
    assert desk.days(9, 17.5, labels=turned) == ["alert"]
    assert desk.day(18, labels=turned) == ["retrain"]


def test_an_incident_that_a_person_found_is_told_by_the_next_pass(desk: HandDesk) -> None:
    desk.days(0, 5)
    desk.answer(5, 6, bent={"region": "??"})
    desk.clock.advance_to(desk.at(6))
    assert watch(desk.workspace, Watch(name=NAME)).incidents
    assert [one.name for one in desk.look()] == ["alert"]
    assert desk.look() == []


@pytest.mark.full
def test_what_it_remembers_between_passes_decides_nothing(fresh: Fresh) -> None:
    """The same days, once with one process all the time, once with a new one for each pass."""

    def story(desk: HandDesk, between: Callable[[], None]) -> list[Any]:
        for half in range(1, 30):
            between()
            desk.day(half / 2, bent={"region": "??"} if 5 < half / 2 <= 8 else None)
            if half == 20:
                desk.runner.brings(GOOD)
        return told(desk.actions())

    with fresh() as desk:
        with_memory = story(desk, lambda: None)
    with fresh() as desk:
        assert story(desk, forget) == with_memory
    names = [name for _, name, *_ in with_memory]
    assert names == ["alert", "hold", "close", "retrain", "shadow", "canary", "canary", "promote"]


@pytest.mark.parametrize(
    "lives", [pytest.param(n, marks=pytest.mark.full if n == 2 else pytest.mark.long) for n in (0, 1, 2, 3, 5)]
)
def test_killed_at_any_write_it_goes_on_to_the_same_end(fresh: Fresh, lives: int) -> None:
    """Each pass is killed after so many writes, then after one more, and so on, until it comes to its end."""

    def story(desk: HandDesk, pass_: Callable[[HandDesk], None]) -> tuple[Any, ...]:
        for half in range(1, 27):
            desk.answer(half / 2 - 0.5, half / 2, bent={"region": "??"} if 2 < half / 2 <= 4 else None)
            desk.clock.advance_to(desk.at(half / 2))
            pass_(desk)
            if half == 16:
                desk.runner.brings(GOOD)
            if half == 24:
                retrain_by_hand(desk, WORSE)
        return (
            told(desk.actions()),
            [one.number for one in desk.actions()],
            [(one.served, one.challenger and one.challenger.fraction, one.reason) for one in desk.revisions()],
            [(one.state, one.reason, [look.verdict for look in one.looks]) for one in desk.rollouts()],
            [(one.state, one.version, one.sentence) for one in desk.retrainings()],
            incidents(desk),
            desk.champion,
        )

    def killed(desk: HandDesk) -> None:
        left = lives
        while True:
            forget()
            try:
                with_lives(desk, left).look()
                return
            except Killed:
                left += 1

    with fresh() as desk:
        undisturbed = story(desk, lambda desk: desk.look() and None)
    with fresh() as desk:
        assert story(desk, killed) == undisturbed
    names = [name for _, name, *_ in undisturbed[0]]
    assert names == [
        "alert", "close", "retrain", "shadow", "canary", "canary", "promote", "retrain", "shadow", "stop"
    ]  # fmt: skip


def incidents(desk: HandDesk) -> list[tuple[str, str]]:
    with desk.workspace.ledger.read() as tx:
        found = entries.find(tx, Incident, parent=f"{desk.workspace.project}/{NAME}", limit=100)
    return [(one.name, one.state) for one in found]


def test_trouble_at_one_endpoint_does_not_keep_the_others_from_their_turn(desk: HandDesk) -> None:
    deploy(desk.workspace, Deploy(model=NAME, version="1", endpoint="aside"))
    log = folder_of(desk.workspace, "aside") / "log"
    desk.days(0, 7)
    desk.answer(7, 7.5)
    stranger = msgspec.structs.replace(
        read_segments(desk.folder / "log", "predictions", PredictionRow)[0][0], revision=9
    )
    SegmentWriter(log, "predictions").append([stranger])
    desk.clock.advance_to(desk.at(7.5))
    with pytest.raises(NotFound, match="The log of 'aside' has rows of revision 9"):
        reconcile(desk.act_as(CONTROLLER), Reconcile())
    assert [one.name for one in desk.actions()] == ["retrain"]


def test_what_serves_in_another_environment_is_left_to_that_ones_controller(desk: HandDesk) -> None:
    desk.days(0, 7)
    elsewhere = dataclasses.replace(desk.act_as(CONTROLLER), environment="test")
    desk.answer(7, 7.5)
    desk.clock.advance_to(desk.at(7.5))
    assert reconcile(elsewhere, Reconcile()).actions == ()
    assert [one.name for one in desk.look()] == ["retrain"]
    desk.runner.brings(GOOD)
    desk.clock.advance_to(desk.at(7.5) + timedelta(hours=1))
    assert reconcile(elsewhere, Reconcile()).actions == ()
    assert [one.name for one in desk.look()] == ["shadow"]


def test_an_endpoint_that_nobody_has_asked_yet_is_looked_after(desk: HandDesk) -> None:
    assert desk.look() == []
    assert desk.pass_at(desk.at(7.5))[0].name == "retrain"
    desk.runner.brings(GOOD)
    assert [one.name for one in desk.pass_at(desk.at(8))] == ["shadow"]
    assert [one.name for day in range(9, 21) for one in desk.pass_at(desk.at(day))] == [
        "ask",
        "hold",
        "undecided",
        "retrain",
    ]


def test_a_model_with_another_contract_is_watched_before_it_has_answered(desk: HandDesk) -> None:
    desk.days(0, 2)
    declare(desk, key=["order_id", "region"])
    deploy(desk.workspace, Deploy(model=NAME, version="1"))
    assert desk.revision.contract.key == ("order_id", "region")
    assert desk.pass_at(desk.at(3)) == []


def test_drift_is_noted_once_a_model_and_nothing_follows(desk: HandDesk) -> None:
    desk.days(0, 14)
    noted = [one for one in desk.everything() if one.name == "note"]
    assert [one.evidence["model"] for one in noted] == [f"{NAME} 1"]
    assert noted[0].evidence["moved"]
    assert "Noted, not acted on" in noted[0].sentence
    asked = [one.evidence["trigger"] for one in desk.everything() if one.name == "retrain"]
    assert asked == ["schedule 0 3 8,18 * *"]
