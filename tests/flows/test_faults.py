"""Faults: what they do to rows, tables and processes, and how it is told afterwards whether they were met."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from time_machine import START, Control, action, hour, quiet

from slipway.backends.clocks import SimulatedClock
from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival
from slipway.flows.faults import BrokenFeed, Injected, InvertedLabels, KilledControlPlane, World, tell_of
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Served
from slipway.records.monitors import Incident
from slipway.records.rollouts import CanarySpec, Look, Rollout, RolloutSpec, ShadowSpec
from slipway.tables import versions

FEED = BrokenFeed(
    view="weather", since=hour(24), until=hour(48), convert={"temp": (5 / 9, -160 / 9), "wind": (0.5, 0.0)}
)
LABELS = InvertedLabels(table="flights", label="late", at=hour(10))
KILL = KilledControlPlane(at=hour(10), down_for=timedelta(hours=18))


@pytest.fixture
def world(workspace: Workspace) -> World:
    return World(workspace=workspace, endpoint="e")


def rollout_of(workspace: Workspace, **more: Any) -> Rollout:
    plain: dict[str, Any] = {
        "id": "rollout-1", "project": workspace.project, "created_at": hour(20), "name": "e",
        "parent_id": f"{workspace.project}/e", "state": "canary", "champion": Served(model="m", number=1, bundle="a"),
        "challenger": Served(model="m", number=2, bundle="b"), "spec": RolloutSpec(shadow=ShadowSpec(), canary=CanarySpec()),
        "since": hour(20),
    }  # fmt: skip
    return Rollout(**{**plain, **more})


def keep(workspace: Workspace, rollout: Rollout) -> None:
    with workspace.ledger.write() as tx:
        entries.put(tx, rollout)


def look(phase: Any, at: Any) -> Look:
    return Look(at=at, phase=phase, verdict="undecided", sentence="")


# --- a feed in other units ---


def test_only_rows_of_that_view_and_time_arrive_converted() -> None:
    injected = Injected(fault=FEED)

    def sent(name: str, at: float, **row: Any) -> dict[str, Any]:
        return FEED.deliver(Arrival(hour(at), name, row), injected).row

    assert sent("weather", 23, temp=50.0, wind=2.0) == {"temp": 50.0, "wind": 2.0}
    assert sent("flights", 30, temp=50.0) == {"temp": 50.0}
    assert injected.began_at is None
    before = {"temp": 50.0, "wind": None, "humid": 3.0}
    assert sent("weather", 24, **before) == pytest.approx({"temp": 10.0, "wind": None, "humid": 3.0})
    assert before["temp"] == 50.0
    assert sent("weather", 48, temp=50.0, wind=2.0) == {"temp": 50.0, "wind": 2.0}
    assert (injected.began_at, injected.facts) == (hour(24), {"rows": 1})


def test_a_feed_without_the_column_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"no column 'temp'.*Did you mean 'temps'"):
        FEED.deliver(Arrival(hour(30), "weather", {"temps": 1.0}), Injected(fault=FEED))


def incident(created: float, closed: float | None, **more: Any) -> Incident:
    plain: dict[str, Any] = {"owner": "data engineer", "cause": "broken feed"}
    return Incident(
        id="i", project="p", created_at=hour(created), parent_id="p/e", sentence="Units.",
        closed_at=None if closed is None else hour(closed), **{**plain, **more},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("incidents", "retrained_at", "handled", "words"),
    [
        (
            [incident(36, 60)],
            61,
            True,
            "told after 12 hours; no retraining began meanwhile; the incident was closed 12 hours after",
        ),
        ([incident(36, 60)], 50, False, "1 retrainings began meanwhile"),
        ([incident(10, 60, reopened=1, reopened_at=hour(30))], 61, True, "told after 6 hours"),
        ([incident(10, 60, reopened=1, reopened_at=hour(20))], 61, False, "nobody was told"),
        ([incident(36, None)], 61, False, "the incident was not closed"),
        ([incident(36, 40)], 61, False, "closed 8 hours before its mending"),
        ([incident(73, 90)], 91, False, "told after 49 hours"),
        ([incident(36, 60, owner="nobody")], 61, False, "The nobody was told"),
        (
            [incident(36, 60, cause="quality"), incident(10, 60)],
            61,
            False,
            "7 rows came in other units, and nobody was told",
        ),
    ],
)
def test_whether_a_broken_feed_was_met(
    incidents: list[Incident], retrained_at: float, handled: bool, words: str
) -> None:
    injected = Injected(fault=FEED, began_at=hour(24), ended_at=hour(48), facts={"rows": 7})
    told = tell_of(injected, [action("retrain", hour(retrained_at))], [], incidents, {})
    assert (told.was_handled, told.at, told.ended_at, told.values) == (handled, hour(24), hour(48), {"rows": 7})
    assert words in told.sentence


def test_it_says_when_the_feed_breaks_and_when_it_is_mended() -> None:
    injected, control = Injected(fault=FEED), Control([])
    assert FEED.passed(hour(24), control, injected) == ""
    FEED.deliver(Arrival(hour(24), "weather", {"temp": 1.0, "wind": 1.0}), injected)
    assert "temp, wind of weather arrive in other units" in FEED.passed(hour(24), control, injected)
    assert FEED.passed(hour(42), control, injected) == ""
    assert "mended after 1 rows" in FEED.passed(hour(48), control, injected)
    assert FEED.passed(hour(54), control, injected) == ""
    assert injected.ended_at == hour(48)


# --- labels turned round ---


@pytest.mark.parametrize(("label", "turned"), [([True, False, None], [False, True, None]), ([1.0, 0.0], [0.0, 1.0])])
def test_labels_are_inverted_for_one_retraining_and_put_back(
    world: World, clock: SimulatedClock, label: list[Any], turned: list[Any]
) -> None:
    frame = pl.DataFrame({"id": [f"F{i}" for i in range(len(label))], "late": label})
    right = versions.overwrite(world.workspace, "flights", frame, key=("id",))
    told: list[tuple[str, Any]] = []
    control, injected = Control(told), Injected(fault=LABELS)

    def content() -> list[Any]:
        return versions.read(world.workspace, "flights").collect()["late"].to_list()

    for at, done in ((6, quiet()), (12, quiet(rolling_out=1)), (18, quiet(retraining=1))):
        assert LABELS.ticked(hour(at), done, control, world, injected) == ""
    assert told == []
    assert "comes in" in LABELS.ticked(hour(24), quiet(), control, world, injected)
    assert told == [("retrain", ("e", "new version of flights"))]
    assert content() == turned
    assert LABELS.ticked(hour(30), quiet(retraining=1), control, world, injected) == ""
    assert "is back" in LABELS.ticked(hour(36), quiet(rolling_out=1), control, world, injected)
    assert content() == label
    assert LABELS.ticked(hour(42), quiet(), control, world, injected) == ""
    assert (injected.began_at, injected.ended_at) == (hour(24), hour(36))
    assert (injected.facts["right"], injected.facts["retraining"]) == (right.version, "retraining-1")
    head = versions.head(world.workspace, "flights")
    assert versions.manifest_of(world.workspace, head).key == ("id",)


def test_a_table_without_the_label_is_said(world: World) -> None:
    versions.overwrite(world.workspace, "flights", pl.DataFrame({"lat": [True]}))
    with pytest.raises(InvalidInput, match="Did you mean 'lat'"):
        LABELS.ticked(hour(12), quiet(), Control([]), world, Injected(fault=LABELS))


@pytest.mark.parametrize(
    ("more", "answered", "handled", "words"),
    [
        (
            {"state": "stopped", "looks": (look("shadow", hour(40)),)},
            {1: 9},
            True,
            "stopped in shadow after 20 hours; it answered 0 rows",
        ),
        ({"state": "stopped", "looks": (look("canary", hour(40)),)}, {1: 9}, False, "stopped in canary"),
        ({"state": "stopped", "looks": ()}, {2: 3}, False, "it answered 3 rows"),
        ({"state": "promoted", "looks": ()}, {}, False, "promoted"),
        ({"retraining_id": "another"}, {}, False, "Nothing is known of its model"),
    ],
)
def test_whether_inverted_labels_were_met(
    workspace: Workspace, more: dict[str, Any], answered: dict[int, int], handled: bool, words: str
) -> None:
    injected = Injected(fault=LABELS, began_at=hour(24), ended_at=hour(30), facts={"retraining": "r"})
    rollout = rollout_of(workspace, **{"retraining_id": "r", "ended_at": hour(40), **more})
    told = tell_of(injected, [], [rollout], [], answered)
    assert told.was_handled is handled
    assert words in told.sentence


def test_a_model_that_its_gate_refused_answered_nothing_either() -> None:
    injected = Injected(fault=LABELS, began_at=hour(24), facts={"retraining": "r"})
    told = tell_of(injected, [action("refuse", hour(30), subjects=("retraining:r",))], [], [], {})
    assert (told.was_handled, told.sentence) == (True, "Its gate refused the model that learnt from them.")


# --- a control plane that is killed ---


def test_it_is_killed_in_the_first_canary_steps_only_and_starts_again_after_its_time(
    world: World, workspace: Workspace
) -> None:
    told: list[tuple[str, Any]] = []
    control, injected = Control(told), Injected(fault=KILL)
    assert KILL.ticked(hour(12), quiet(rolling_out=1), control, world, injected) == ""
    for more in ({"state": "shadow"}, {"step": 2}, {"ended_at": hour(21)}):
        keep(workspace, rollout_of(workspace, **more))
        assert KILL.ticked(hour(24), quiet(rolling_out=1), control, world, injected) == ""
    keep(workspace, rollout_of(workspace, step=1))
    assert KILL.ticked(hour(6), quiet(rolling_out=1), control, world, injected) == ""
    assert "version 2 answers 50 %" in KILL.ticked(hour(24), quiet(rolling_out=1), control, world, injected)
    KILL.asked(100, True, injected)
    KILL.asked(1, False, injected)
    assert KILL.passed(hour(36), control, injected) == ""
    assert "1 requests were answered meanwhile, 1 failed" in KILL.passed(hour(42), control, injected)
    KILL.asked(100, True, injected)
    assert KILL.ticked(hour(48), quiet(rolling_out=1), control, world, injected) == ""
    assert told == [("kill", None), ("start", None)]
    assert injected.facts == {"rollout": "rollout-1", "step": 1, "answered": 1, "failed": 1, "rows": 100}


@pytest.mark.parametrize(
    ("facts", "more", "handled", "words"),
    [
        (
            {},
            {"state": "promoted", "ended_at": hour(80)},
            True,
            "9 requests were answered while it was down, 0 failed; the same",
        ),
        ({"failed": 1}, {"state": "promoted", "ended_at": hour(80)}, False, "1 failed"),
        ({}, {"state": "superseded", "ended_at": hour(80)}, False, "superseded"),
        ({}, {}, False, "did not go on: canary"),
        ({}, {"id": "another"}, False, "did not go on: gone"),
        ({"answered": 0}, {"state": "promoted", "ended_at": hour(80)}, False, "0 requests were answered"),
    ],
)
def test_whether_a_kill_was_met(
    workspace: Workspace, facts: dict[str, Any], more: dict[str, Any], handled: bool, words: str
) -> None:
    known = {"rollout": "rollout-1", "step": 1, "answered": 9, "failed": 0, "rows": 100, **facts}
    injected = Injected(fault=KILL, began_at=hour(24), ended_at=hour(42), facts=known)
    told = tell_of(injected, [], [rollout_of(workspace, **more)], [], {})
    assert told.was_handled is handled
    assert words in told.sentence


@pytest.mark.parametrize("fault", [FEED, LABELS, KILL])
def test_what_never_struck_was_not_met(fault: Any) -> None:
    told = tell_of(Injected(fault=fault), [], [], [], {})
    assert (told.was_handled, told.sentence) == (False, "It never struck: no occasion came.")
    assert told.at == (FEED.since if fault is FEED else hour(10))
    assert told.at > START
