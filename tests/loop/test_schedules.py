"""Schedules of pipelines: what is due fires once, whoever looks by whatever clock, and runs once, whoever is killed."""

import fcntl
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from scheduled import CRON, START, Desk, decided
from slipway.cli import main
from slipway.flows.schedules import known
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.loop.occasions import MOST
from slipway.operations.declare import Empty, call
from slipway.operations.pipelines import CancelRun
from slipway.operations.table import operation
from slipway.records.monitors import Incident
from slipway.tables import versions

DAILY = "schedule 0 3 * * * Europe/Berlin"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.syspath_prepend(tmp_path)
    return Desk(tmp_path)


def test_what_is_due_runs_once_without_anybodys_checkout(desk: Desk) -> None:
    told = desk.declare()
    assert "nightly" in told
    assert "2013-04-02 01:00" in told  # 03:00 in Berlin
    (desk.folder / "nights.py").unlink()
    desk.look()
    assert desk.firings() == []  # nothing from before it was declared
    desk.at(hours=13.5)
    assert desk.look(settle=False).firing == 1
    desk.look(3)
    (one,) = desk.firings()
    assert (one.trigger, one.state, one.params) == (DAILY, "finished", {"until": "2013-04-02"})
    assert one.due_at == START + timedelta(hours=13)
    assert one.started_at == START + timedelta(hours=13.5)
    assert desk.log() == ["2013-04-02 1"]
    (run,) = desk.runs()
    assert (run.id, run.actor.name) == (one.run_id, "controller")
    assert "finished 2013-04-02 01:00" in desk.type("list", "--env", "dev")
    shown = desk.type("show", "nightly")
    assert "30.0 min" in shown  # how late it was
    assert "Wed 2013-04-03 03:00 CEST" in shown


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("latest", [("05 01:00", "due", 3)]),
        ("all", [("02 01:00", "due", 0), ("03 01:00", "due", 0), ("04 01:00", "due", 0), ("05 01:00", "due", 0)]),
        ("none", [("05 01:00", "skipped", 3)]),
    ],
)
def test_what_was_missed_is_caught_up_as_the_policy_says(
    desk: Desk, policy: str, expected: list[tuple[str, str, int]]
) -> None:
    desk.declare(f'{CRON}, catch_up="{policy}"')
    desk.at(days=3, hours=20)
    desk.decide()
    desk.decide()
    assert [(f"{one.due_at:%d %H:%M}", one.state, one.missed) for one in desk.firings()] == expected
    if policy == "none":
        assert "not caught up" in desk.firings()[0].sentence
        desk.at(days=4, hours=13, minutes=4)  # looked at in time
        desk.decide()
        assert desk.firings()[-1].state == "due"


def test_the_far_past_is_bounded(desk: Desk) -> None:
    desk.declare('when=[sw.cron("* * * * *")], catch_up="all"')
    desk.at(days=3000)
    assert len(desk.decide()) == MOST
    assert desk.firings()[0].missed > 0
    assert desk.firings()[-1].due_at == START + timedelta(days=3000)
    assert desk.decide() == []


@pytest.mark.parametrize("seed", range(8))
def test_two_clocks_that_differ_by_minutes_fire_each_time_once(desk: Desk, seed: int) -> None:
    desk.declare('when=[sw.cron("*/20 * * * *"), sw.on_table("flights")], catch_up="all"')
    draw = random.Random(seed)
    written, minutes = 0, 0
    for _ in range(25):
        minutes += draw.randint(1, 30)
        desk.at(minutes=minutes)
        if draw.random() < 0.3:
            written += 1
            desk.write(*range(written))
        for _ in range(draw.randint(1, 3)):
            desk.decide(skew=timedelta(minutes=draw.choice([-7, -1, 0, 0, 1, 9])))
    desk.decide(skew=timedelta(minutes=10))
    found = desk.firings()
    clock = [one.due_at for one in found if one.trigger.startswith("schedule")]
    assert clock == [START + timedelta(minutes=20 * (n + 1)) for n in range((minutes + 10) // 20)]
    assert len([one for one in found if one.trigger == "table flights"]) == written


@pytest.mark.parametrize("mine", [0, 4, -4])
def test_whoever_is_overtaken_between_its_look_and_its_write_writes_nothing_twice(desk: Desk, mine: int) -> None:
    desk.declare('when=[sw.cron("*/20 * * * *"), sw.on_table("flights")], catch_up="all"')
    desk.write(1)
    desk.at(hours=1)
    with desk.opened() as project:
        real = project.workspace
        overtaken = replace(real, ledger=Overtaken(real.ledger, lambda: decided(real, timedelta(minutes=5))))
        decided(overtaken, timedelta(minutes=mine))
    assert len(desk.firings()) == 4
    assert len({one.id for one in desk.firings()}) == 4


class Overtaken:
    """A ledger whose first writer finds that somebody else was faster."""

    def __init__(self, real: Any, other: Callable[[], object]) -> None:
        self._real, self._other = real, [other]

    def read(self) -> Any:
        return self._real.read()

    def write(self) -> Any:
        if self._other:
            self._other.pop()()
        return self._real.write()


def test_a_clock_that_was_years_ahead_silences_nothing_and_fires_nothing_twice(desk: Desk) -> None:
    desk.declare()
    assert len(desk.decide(skew=timedelta(days=4000))) == 1  # one, for the newest of the times that were "missed"
    ahead = desk.firings()[0].due_at
    desk.at(days=1)
    assert desk.decide() == []  # it begins anew here
    desk.at(days=2)
    assert len(desk.decide()) == 1
    assert ahead > START + timedelta(days=3999)


def test_a_table_that_moves_back_has_moved_and_work_on_a_branch_does_not_count(desk: Desk) -> None:
    desk.write(1)
    desk.declare('when=[sw.on_table(flights)], catch_up="all"')
    assert desk.decide() == []  # that version was there
    desk.write(1, 2)
    desk.write(1)
    desk.write(1)  # the same again is no new version
    desk.decide()
    moves = [one.subjects[0] for one in desk.firings()]
    assert len(moves) == 2
    with desk.opened() as project:
        newest = versions.history(project.workspace, "flights")[0]
        assert any(newest.version in move for move in moves)


def test_of_several_versions_the_newest_is_named(desk: Desk) -> None:
    desk.write(1)
    desk.declare('when=[sw.on_table("flights")]')
    for number in range(3):
        desk.write(*range(number + 2))
    desk.decide()
    (one,) = desk.firings()
    with desk.opened() as project:
        assert one.subjects == (
            versions.node("flights", "flights", versions.head(project.workspace, "flights").version),
        )
    assert one.missed == 2


def incident(desk: Desk, at: datetime, parent: str = "flights/table:flights") -> None:
    with desk.opened() as project, project.workspace.ledger.write() as tx:
        told = Incident(
            id=new_id(), project="flights", name="sync", created_at=at, parent_id=parent, sentence="x", owner="y"
        )
        entries.put(tx, told)


def test_an_incident_fires_once_whatever_the_clock_said_that_opened_it(desk: Desk) -> None:
    incident(desk, START)
    desk.declare('when=[sw.on_incident("table:flights")], catch_up="all"')
    assert desk.decide() == []
    incident(desk, START - timedelta(minutes=5))  # by a clock that is behind
    incident(desk, START + timedelta(minutes=5))
    incident(desk, START, parent="flights/table:others")
    desk.decide()
    desk.decide()
    assert [one.trigger for one in desk.firings()] == ["incident table:flights"] * 2


def test_paused_it_fires_nothing_and_resumed_it_begins_anew(desk: Desk) -> None:
    desk.declare(f'{CRON}, catch_up="all"')
    assert "paused by" in desk.type("pause", "nightly", "--reason", "holidays")
    assert "holidays" in desk.type("pause", "nightly")  # once more: the first word stands
    desk.at(days=2)
    assert desk.decide() == []
    assert "It is paused." in desk.type("next", "nightly")
    desk.type("resume", "nightly")
    assert desk.decide() == []
    desk.at(days=3)
    desk.decide()
    assert desk.states() == [("04 01:00", "due")]


@pytest.mark.full
def test_while_one_runs_others_are_skipped_wait_or_run_beside_it(desk: Desk) -> None:
    hold = desk.folder / "hold"
    found = {}
    for days, overlap in enumerate(("skip", "queue", "allow")):
        desk.declare(f'{CRON}, overlap="{overlap}"')
        hold.touch()
        for hours in (13, 37, 61):
            desk.at(days=4 * days, hours=hours)
            desk.look(settle=False)
        found[overlap] = [one.state for one in desk.firings()[-3:]]
        hold.unlink()
        desk.look(4)
    assert found == {
        "skip": ["started", "skipped", "skipped"],
        "queue": ["started", "skipped", "due"],
        "allow": ["started", "started", "started"],
    }
    states = [one.state for one in desk.firings()]
    assert states == ["finished", *["skipped"] * 2, "finished", "skipped", *["finished"] * 4]
    assert "had not ended" in desk.firings()[1].sentence
    assert "a newer one of this trigger waits" in desk.firings()[4].sentence


@pytest.mark.full
def test_what_fails_is_run_again_and_then_opens_an_incident(desk: Desk) -> None:
    desk.declare(f'{CRON}, retries=1, retry_delay="10m"')
    (desk.folder / "broken").touch()
    desk.at(hours=13)
    desk.look(2)
    (one,) = desk.firings()
    assert (one.state, one.tries) == ("due", 1)
    assert "It is run again at 2013-04-02 01:10 UTC" in one.sentence
    desk.look()
    assert len(desk.log()) == 1
    desk.at(hours=13.2)
    desk.look(3)
    (one,) = desk.firings()
    assert (one.state, len(desk.log()), desk.incidents()) == ("failed", 2, ["open"])
    assert "the day is broken" in one.sentence
    assert "the day is broken" in desk.type("list")
    (desk.folder / "broken").unlink()
    desk.at(hours=37)
    desk.look(3)
    assert (desk.firings()[-1].state, desk.incidents()) == ("finished", ["closed"])


@pytest.mark.full
def test_a_killed_process_is_gone_on_with_and_after_three_times_it_has_failed(desk: Desk) -> None:
    desk.declare()
    (desk.folder / "hold").touch()
    desk.at(hours=13)
    for attempt in range(3):
        desk.look(settle=False)
        wait_for(lambda wanted=attempt: len(desk.log()) > wanted)
        kill(desk.folder / ".slipway" / "tasks" / desk.firings()[0].id / "run.lock")
    desk.look()
    (one,) = desk.firings()
    assert (one.state, one.attempts) == ("failed", 3)
    assert "ended 3 times without an answer" in one.sentence
    assert (desk.folder / "prepared").read_text() == "prepared\n"  # what had ended is not done again, cached or not


@pytest.mark.full
def test_a_run_that_somebody_cancels_is_not_run_again_and_opens_no_incident(desk: Desk) -> None:
    desk.declare(f"{CRON}, retries=2")
    (desk.folder / "hold").touch()
    desk.at(hours=13)
    desk.look(settle=False)
    wait_for(lambda: bool(desk.log()))
    with desk.opened() as project:
        listed = call(project.workspace, operation("pipelines.list"), Empty())
        assert (listed.code.by, [one.name for one in listed.pipelines]) == ("the schedule nightly", ["nightly_work"])
        (run,) = [one for one in desk.runs() if one.state == "running"]
        done = call(project.workspace, operation("pipelines.cancel"), CancelRun(id=run.id, reason="wrong day"))
    assert done.state in ("failed", "killed")  # killed where it did not end in time
    (desk.folder / "hold").unlink()
    desk.look(times=2)
    assert [one.state for one in desk.firings()] == ["failed"]
    assert "cancelled it: wrong day" in desk.firings()[0].sentence
    assert desk.incidents() == []
    assert len(desk.log()) == 1


def test_what_had_been_done_when_its_process_was_killed_is_not_done_again(desk: Desk) -> None:
    """Killed after the run, before the firing's end was told: the record says so, and no second run begins."""
    desk.declare()
    desk.at(hours=13)
    desk.look(2)
    (one,) = desk.firings()
    with desk.opened() as project, project.workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(one, state="started", run_id="", ended_at=None))
    shutil.rmtree(desk.folder / ".slipway" / "tasks" / one.id)
    desk.look(2)
    assert desk.firings() == [msgspec.structs.replace(one, ended_at=desk.firings()[0].ended_at)]
    assert len(desk.log()) == len(desk.runs()) == 1


def test_fired_by_hand_with_a_key_it_runs_once(desk: Desk) -> None:
    desk.declare("when=[]")
    assert "by hand only" in desk.type("list")
    assert "began" in desk.type("fire", "nightly", "--set", "factor=3", "--key", "a", "--reason", "new data")
    desk.look()
    assert "has fired nightly already" in desk.type("fire", "nightly", "--key", "a")
    desk.look()
    assert desk.log() == ["None 3"]
    with desk.opened() as project, project.workspace.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb == "schedules.fire"]
    assert [event.body["reason"] for event in told] == ["new data"]


def test_what_is_declared_no_more_is_withdrawn_and_declared_again_begins_anew(desk: Desk) -> None:
    desk.declare()
    (desk.folder / "nights.py").write_text("import slipway as sw\n")
    assert "No schedule yet" in desk.type("apply")
    desk.at(days=2)
    assert desk.decide() == []
    assert "is declared no more" in desk.type("fire", "nightly", code=6)
    assert "withdrawn" in desk.type("list", "--withdrawn")
    desk.declare()
    assert desk.decide() == []
    desk.at(days=3)
    assert len(desk.decide()) == 1


def test_declared_once_more_it_goes_on_where_it_was(desk: Desk) -> None:
    desk.declare()
    desk.at(hours=13)
    desk.declare(f'{CRON}, name="nightly", retries=2')  # applied between the time and the look
    desk.decide()
    assert desk.states() == [("02 01:00", "due")]
    assert desk.schedule().spec.retries == 2


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ('when=[sw.cron("0 3 * *")]', "is no schedule"),
        ('when=[sw.cron("0 3 * * *", timezone="Europe/Berlln")]', "no time zone 'Europe/Berlln'"),
        ('when=[sw.on_table("flihgts")]', "Did you mean 'flights'?"),
        ("when=[sw.on_table(7)]", "sw.on_table was given 7"),
        ('when=[sw.on_incident("flight-delays")]', "There are no endpoints yet."),
        ("when=[sw.degraded]", "Retrain"),
        ("when=sw.cron('0 3 * * *')", "Give a list"),
        ('when=[sw.on_push("main")]', "lies in no git repository"),
        ('when=[sw.on_push("-u")]', "sw.on_push was given"),
        ('when=[sw.on_hook(params=["untill"])]', "The pipeline has the parameters: until, factor"),
        ('params={"untill": 1}', "no parameter 'untill'"),
        ('params={"factor": "many"}', "does not fit the parameter 'factor'"),
        ('catch_up="some"', "'latest', 'all', 'none'"),
        ('overlap="no"', "'skip', 'queue', 'allow'"),
        ("retries=-1", "from 0 to 100"),
        ('retry_delay="soon"', "not a duration"),
        ('name="Nightly run"', "cannot be the name"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(desk: Desk, declared: str, said: str) -> None:
    desk.declare(declared, apply=False)
    sys.modules.pop("nights", None)
    answer = CliRunner().invoke(main, ["schedules", "apply", "-C", str(desk.folder)])
    assert answer.exit_code in (2, 4, 5, 75), answer.output
    assert said in answer.output
    assert known_in(desk) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fire", "nightly", "--set", "untill=1"], "Did you mean 'until'?"),
        (["fire", "nightly", "--set", "until=soon"], "It takes a date."),
        (["fire", "nightly", "--set", "factor=x"], "It takes an integer."),
        (["fire", "nightly", "--set", "factor"], "is not NAME=VALUE"),
        (["fire", "nihgtly"], "Did you mean 'nightly'?"),
        (["hook", "nightly"], "takes no requests"),
    ],
)
def test_what_cannot_be_done_is_said(desk: Desk, words: list[str], said: str) -> None:
    desk.declare()
    answer = CliRunner().invoke(main, ["schedules", *words, "-C", str(desk.folder)])
    assert answer.exit_code in (2, 5, 6), answer.output
    assert said in answer.output


def known_in(desk: Desk) -> list[object]:
    with desk.opened() as project:
        return list(known(project.workspace))


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def kill(lock: Path) -> None:
    os.killpg(int(lock.read_text()), signal.SIGKILL)
    with lock.open() as file:  # free when the last of its threads has gone
        fcntl.flock(file, fcntl.LOCK_EX)
