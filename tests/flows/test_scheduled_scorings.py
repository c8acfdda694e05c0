"""Scorings that the loop begins: once for each time and each new version, whoever looks and whatever is killed."""

import os
import signal
import time

import polars as pl
import pytest
from scoring_desk import at, here, look, nightly, scored, scores, scorings
from small_desk import Desk

from slipway.flows.score import task_folder
from slipway.flows.triggers import cron, on_table
from slipway.ports.runner import LOCK_FILE
from slipway.tables import versions


def append_flights(desk: Desk, name: str) -> None:
    last = versions.read(desk.workspace, "flights").collect().tail(5)
    ids = pl.Series("flight_id", [f"{name}{place}" for place in range(5)])
    versions.append(desk.workspace, "flights", last.with_columns(ids))


def test_a_clock_begins_one_scoring_for_each_time(desk: Desk) -> None:
    desk = here(desk)
    nightly(desk, schedule=[cron("0 5 * * *")])
    look(desk)
    assert scorings(desk) == []  # times before it was deployed are not caught up
    at(desk, 1, 5)
    for _ in range(3):
        look(desk)
    assert [(one.trigger, one.state, one.rows) for one in scorings(desk)] == [("schedule 0 5 * * *", "finished", 3360)]
    at(desk, 4, 12)  # three times were missed: they are caught up once
    append_flights(desk, "N")
    look(desk)
    look(desk)
    assert [(one.state, one.rows) for one in scorings(desk)] == [("finished", 3360), ("finished", 5)]
    at(desk, 5, 5)
    look(desk)
    assert scorings(desk)[-1].state == "unchanged"
    assert scorings(desk)[-1].ended_at == desk.clock.now()


def test_a_new_version_of_the_table_begins_one(desk: Desk) -> None:
    desk = here(desk)
    nightly(desk, schedule=[on_table("flights")])
    look(desk)
    assert scorings(desk) == []  # what was there is scored by hand, or with what comes
    at(desk, 1, 3)
    append_flights(desk, "N")
    look(desk)
    look(desk)
    assert [(one.trigger, one.rows) for one in scorings(desk)] == [("table flights", 3365)]
    at(desk, 1, 4)
    append_flights(desk, "M")
    scored(desk)
    look(desk)
    assert [(one.trigger, one.state, one.rows) for one in scorings(desk)[1:]] == [
        ("by hand", "finished", 5),
        ("table flights", "unchanged", 0),
    ]


@pytest.mark.full
def test_a_schedule_that_changes_begins_anew_and_one_that_stays_goes_on(desk: Desk) -> None:
    desk = here(desk)
    nightly(desk, schedule=[cron("0 5 * * *")])
    at(desk, 1, 5)
    look(desk)
    at(desk, 2, 6)
    nightly(desk, schedule=[cron("0 5 * * *"), cron("0 1 * * *")])
    look(desk)
    assert [one.trigger for one in scorings(desk)] == ["schedule 0 5 * * *"] * 2
    at(desk, 3, 2)
    look(desk)
    assert scorings(desk)[-1].trigger == "schedule 0 1 * * *"
    nightly(desk)
    at(desk, 4, 6)
    look(desk)
    assert len(scorings(desk)) == 3


@pytest.mark.full
def test_one_that_failed_waits_for_its_next_time(desk: Desk) -> None:
    desk = here(desk)
    nightly(desk, schedule=[cron("0 5 * * *")], time="departure", max_refused=0.0)
    late = versions.read(desk.workspace, "flights").collect().tail(1).with_columns(flight_id=pl.lit("Z"), origin=None)
    versions.append(desk.workspace, "flights", late.with_columns(pl.col("origin").cast(pl.String)))
    at(desk, 1, 5)
    look(desk)
    assert look(desk, settle=True).scoring == 0
    assert [one.state for one in scorings(desk)] == ["failed"]
    assert "1 of 3,361 rows got no score" in scorings(desk)[0].sentence
    look(desk, settle=True)
    assert len(scorings(desk)) == 1
    at(desk, 2, 5)
    look(desk)
    look(desk, settle=True)
    assert [(one.number, one.state) for one in scorings(desk)] == [(1, "failed"), (2, "failed")]


@pytest.mark.full
def test_one_that_is_killed_is_gone_on_with_by_the_next_look(desk: Desk) -> None:
    nightly(desk, schedule=[cron("0 5 * * *")], batch_rows=60)
    at(desk, 1, 5)
    assert look(desk).scoring == 1
    folder = task_folder(desk.workspace, scorings(desk)[0])
    until = time.monotonic() + 60
    while not list((folder.parent.parent / "endpoints").glob("*/*/scorings/1/part-*")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(int((folder / LOCK_FILE).read_text()), signal.SIGKILL)
    while desk.workspace.runner.state(folder) == "running" and time.monotonic() < until:
        time.sleep(0.01)
    assert look(desk).scoring == 1
    look(desk, settle=True)
    assert [(one.state, one.attempts, one.rows) for one in scorings(desk)] == [("finished", 2, 3360)]
    assert scores(desk).height == 3360
