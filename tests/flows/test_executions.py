"""Everything that executes, in one list: states, what is late and stuck, what is due, and who may see what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from filled_store import BAD_RUN, NASTY, NOW, fill
from server_desk import asker
from slipway.errors import InvalidInput
from slipway.flows.execution_times import silent_for
from slipway.flows.executions import list_executions
from slipway.ledger import entries
from slipway.operations.executions import AskExecutions, Execution, Executions
from slipway.ports.workspace import Workspace
from slipway.records.ci_runs import CiRun, CiStage
from slipway.records.people import Actor
from slipway.records.runs import Run
from slipway.records.schedules import Firing, Schedule

HOME = "/projects/flights"


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    fill(workspace)
    return workspace


def executions(workspace: Workspace, **asked: Any) -> Executions:
    return list_executions(workspace, AskExecutions(**asked))


def named(workspace: Workspace, id: str) -> Execution:
    return next(one for one in executions(workspace, limit=500).executions if one.id == id)


def a_run(workspace: Workspace, id: str, **more: Any) -> None:
    fields = {"state": "running", "pipeline": "release", "actor": Actor("ada"), "started_at": datetime.now(UTC)} | more
    with workspace.ledger.write() as tx:
        entries.put(tx, Run(id=id, project="flights", name="release", created_at=NOW, **fields))


def test_all_kinds_are_in_one_list(filled: Workspace) -> None:
    a_run(filled, "1" * 32, state="finished", ended_at=datetime.now(UTC))
    stages = (CiStage(name="train", state="waiting", sentence="It waits."),)
    with filled.ledger.write() as tx:
        entries.put(
            tx,
            CiRun(
                id="flights/release/c1", project="flights", name="release", number=1, commit="c" * 40, stages=stages,
                state="waiting", actor=Actor("ada"), created_at=NOW, updated_at=NOW,
            ),
        )  # fmt: skip
    found = executions(filled, limit=500)
    assert {"run", "retraining", "firing", "scoring", "simulation", "action", "CI run"} <= set(found.kinds)
    assert sum(found.kinds.values()) == sum(found.states.values()) == len(found.executions)
    assert named(filled, "flights/release/c1").why == "train: It waits."
    assert not [one for one in found.executions if one.id == BAD_RUN], "a run inside another is told by that one"
    assert len({(one.kind, one.id) for one in found.executions}) == len(found.executions)


@pytest.mark.full
def test_what_needs_a_look_comes_first(filled: Workspace) -> None:
    a_run(filled, "1" * 32)
    a_run(filled, "2" * 32, started_at=datetime.now(UTC) - timedelta(days=3))
    states = [one.state for one in executions(filled, kind="run").executions]
    assert states[:2] == ["stuck", "running"]


def test_a_run_is_stuck_by_what_its_like_take_and_not_while_it_shows_life(filled: Workspace) -> None:
    now = datetime.now(UTC)
    for number in range(3):
        begun = now - timedelta(days=1)
        a_run(filled, f"{number + 3}" * 32, state="finished", started_at=begun, ended_at=begun + timedelta(hours=1))
    a_run(filled, "1" * 32, started_at=now - timedelta(hours=2))
    a_run(filled, "2" * 32, started_at=now - timedelta(hours=4))
    assert named(filled, "1" * 32).state == "running"
    assert named(filled, "2" * 32).state == "stuck"
    assert "its like take 60 minutes" in named(filled, "2" * 32).why


def test_silence_is_measured_by_the_like() -> None:
    assert silent_for(NOW, NOW - timedelta(minutes=9), (1.0,)) == ""
    assert silent_for(NOW, NOW - timedelta(minutes=11), (1.0,))
    assert silent_for(NOW, NOW - timedelta(hours=23), ()) == ""
    assert "none of its like has finished yet" in silent_for(NOW, NOW - timedelta(hours=25), ())


def test_a_firing_whose_time_is_over_is_late(filled: Workspace) -> None:
    with filled.ledger.write() as tx:
        one = next(one for one in entries.every(tx, Firing, project="flights") if one.name == "nightly")
        due = filled.clock.now() - timedelta(minutes=11)
        entries.put(tx, msgspec.structs.replace(one, id="f-late", state="due", due_at=due, run_id="", not_before=None))
        soon = filled.clock.now() - timedelta(minutes=9)
        entries.put(tx, msgspec.structs.replace(one, id="f-due", state="due", due_at=soon, run_id="", not_before=None))
    assert named(filled, "f-late").state == "late"
    assert named(filled, "f-due").state == "waiting"
    with filled.ledger.write() as tx:
        busy = msgspec.structs.replace(one, id="f-busy", state="started", due_at=due, run_id="", started_at=due)
        entries.put(tx, busy)
    assert named(filled, "f-late").state == "waiting"
    assert "the firing before it" in named(filled, "f-late").why
    with filled.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(busy, state="finished"))
        schedule = entries.get(tx, Schedule, one.parent_id)
        entries.put(tx, msgspec.structs.replace(schedule, state="paused"))
    assert named(filled, "f-late").why == "Its schedule is paused or withdrawn."


@pytest.mark.full
def test_a_clock_that_nobody_looked_at_is_late(filled: Workspace) -> None:
    with filled.ledger.write() as tx:
        one = next(one for one in entries.every(tx, Schedule, project="flights", state="active") if one.marks)
        marks = {
            words: msgspec.structs.replace(mark, at=filled.clock.now() - timedelta(days=9))
            for words, mark in one.marks.items()
        }
        entries.put(tx, msgspec.structs.replace(one, marks=marks))
    late = [each for each in executions(filled, state="late").executions if each.name == one.name]
    assert late
    assert "nothing has looked at its clock" in late[0].why


@pytest.mark.full
def test_what_is_due_is_told_with_its_time(filled: Workspace) -> None:
    found = executions(filled).due
    assert "nightly" in {one.name for one in found}
    assert list(found) == sorted(found, key=lambda one: one.at)
    assert all(one.at > filled.clock.now() for one in found)


@pytest.mark.full
def test_filters_count_each_other(filled: Workspace) -> None:
    a_run(filled, "1" * 32)
    a_run(filled, "2" * 32, state="failed", ended_at=datetime.now(UTC))
    runs = executions(filled, kind="run")
    assert {one.kind for one in runs.executions} == {"run"}
    assert sum(runs.states.values()) == len(runs.executions)
    failed = executions(filled, state="failed", kind="run")
    assert {one.state for one in failed.executions} == {"failed"}
    assert executions(filled, limit=1).more == len(executions(filled, limit=500).executions) - 1


@pytest.mark.full
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"kind": "runs"}, "Did you mean 'run'"),
        ({"state": NASTY}, "no state"),
        ({"limit": 0}, "limit 0"),
        ({"limit": 501}, "501"),
    ],
)
def test_what_does_not_fit_is_a_sentence(filled: Workspace, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as told:
        executions(filled, **asked)
    assert words in f"{told.value.what} {told.value.fix}"


@pytest.mark.full
def test_each_role_sees_the_kinds_that_it_may_read(filled: Workspace) -> None:
    viewer = executions(replace(filled, actor=Actor("sam", roles=("executive viewer", "member"))))
    assert set(viewer.kinds) <= {"retraining", "scoring", "simulation", "action", "promotion"}
    assert not [one for one in viewer.executions if one.kind == "run"]
    caller = executions(replace(filled, actor=Actor("shop", roles=("software engineer", "member"))))
    assert all(one.cpu_s is None and one.money is None for one in caller.executions)


@pytest.mark.full
def test_a_run_tells_what_it_took(filled: Workspace) -> None:
    told = next(each for each in executions(filled).executions if each.seconds == 83.0)
    assert told.kind in ("run", "firing"), "a run that a firing began is told as that"
    assert told.cpu_s == 83.0


@pytest.mark.full
@pytest.mark.parametrize("path", ["/executions", f"{HOME}/executions"])
def test_the_page_filters_by_its_address(filled: Workspace, path: str) -> None:
    a_run(filled, "1" * 32)
    ask = asker(filled)
    text = ask("GET", path).text
    assert NASTY not in text
    assert "Stuck: it runs" in text
    assert 'href="?kind=run"' in text
    only = ask("GET", f"{path}?kind=simulation").text
    assert "<td>simulation</td>" in only
    assert "<td>run</td>" not in only
    assert ask("GET", f"{path}?kind=nix").status_code == 422
    assert ask("GET", f"{path}?limit=many").status_code == 422
    assert ask("GET", f"{path}?nix=1").status_code == 200
