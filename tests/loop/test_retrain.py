"""What becomes of a retraining: refused, unchanged, failed, killed; and that none of it keeps the next from its turn."""

import dataclasses
import re
from typing import Any

import pytest

import slipway as sw
from incident_desk import incidents, notifications
from looping_desk import NAME
from looping_hand import HandDesk
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.release import declare_endpoint
from slipway.flows.standing import list_standing, revoke
from slipway.loop.retrain import list_retrainings, start_by_hand
from slipway.models import registry
from slipway.operations.governance import ListStanding, Revoke
from slipway.operations.rollouts import ListRetrainings, StartRetraining
from slipway.pipelines import staging
from slipway.ports.runner import RESULT_FILE
from slipway.records.loop import Action, Retraining

FIRST, GOOD = 1, 2


def begin(desk: HandDesk, reason: str = "new data") -> Retraining:
    return start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason=reason)).retraining


def looked(desk: HandDesk) -> Action:
    """The one thing that the next pass does."""
    (action,) = desk.look()
    return action


def last(desk: HandDesk) -> Retraining:
    return desk.retrainings()[-1]


def declare(desk: HandDesk, **changes: Any) -> None:
    declare_endpoint(desk.workspace, dataclasses.replace(desk.endpoint, **changes))


def test_what_is_run_is_the_snapshot_on_data_up_to_the_day(desk: HandDesk) -> None:
    desk.clock.advance_to(desk.at(3.4))
    begun = begin(desk)
    assert (begun.trigger, begun.until, begun.attempts) == ("by hand: new data", desk.at(3), 1)
    task = staging.read_task(desk.runner.started[0])
    assert (task.pipeline, task.params, task.endpoint) == ("release", {"until": "2013-04-04"}, NAME)
    assert (task.snapshot, task.actor.name, task.tags) == (
        begun.snapshot, "controller", {"slipway.retraining": begun.id}
    )  # fmt: skip
    assert list_retrainings(desk.workspace, ListRetrainings(endpoint=NAME)).retrainings == (begun,)


def test_one_at_a_time_and_for_a_reason(desk: HandDesk) -> None:
    with pytest.raises(InvalidInput, match="--reason"):
        begin(desk, "  ")
    with pytest.raises(NotFound):
        start_by_hand(desk.workspace, StartRetraining(endpoint="nobody", reason="x"))
    begin(desk)
    with pytest.raises(Conflict, match=r"being trained again already \(by hand: new data\)"):
        begin(desk)
    desk.runner.brings(GOOD)
    assert looked(desk).name == "shadow"
    with pytest.raises(Conflict, match="looping 2 is being rolled out"):
        begin(desk)


def test_without_a_declared_retraining_there_is_nothing_to_run(desk: HandDesk) -> None:
    declare(desk, retrain=None)
    with pytest.raises(Conflict, match=r"has no retraining.*slipway run PIPELINE"):
        begin(desk)


def test_the_same_model_again_is_told_and_changes_nothing(desk: HandDesk) -> None:
    begin(desk)
    desk.runner.brings(FIRST)
    action = looked(desk)
    assert (action.name, action.sentence) == (
        "ignore", "The retraining brought looping 1 again, which serves already."
    )  # fmt: skip
    assert last(desk).state == "unchanged"
    assert desk.revision.number == 1


def test_a_failure_is_told_and_the_next_one_begins(desk: HandDesk) -> None:
    begin(desk)
    desk.runner.fails("every label is the same")
    action = looked(desk)
    assert (action.name, action.owner) == ("alert", "data scientist")
    assert action.sentence == "The retraining failed: every label is the same"
    assert action.subjects == (f"retraining:{last(desk).id}", f"run:{'r' * 32}")
    assert last(desk).state == "failed"
    assert desk.look() == []
    (incident,) = incidents(desk.workspace, "open")
    assert (incident.cause, incident.sentence, incident.told_at) == ("retraining", action.sentence, desk.clock.now())
    assert [one.name for one in notifications(desk.workspace) if one.parent_id == f"incident:{incident.id}"] == [
        "opened"
    ]
    begin(desk)
    desk.runner.fails("and again")
    assert looked(desk).sentence == "The retraining failed: and again"
    assert [one.sentence for one in incidents(desk.workspace, "open")] == ["The retraining failed: and again"]
    begin(desk)
    desk.runner.brings(GOOD)
    assert looked(desk).name == "shadow"
    assert incidents(desk.workspace, "open") == []


def test_one_that_was_killed_is_started_again_twice_and_then_failed(desk: HandDesk) -> None:
    begin(desk)
    for attempt in (2, 3):
        desk.runner.dies()
        assert desk.look() == []
        assert (last(desk).state, last(desk).attempts) == ("running", attempt)
    assert len(desk.runner.started) == 3
    assert len(set(desk.runner.started)) == 1, "it is the same task"
    desk.runner.dies()
    assert looked(desk).sentence == "The retraining failed: its process ended 3 times without an answer"
    assert (last(desk).state, len(desk.runner.started)) == ("failed", 3)


def test_one_that_was_killed_and_then_answers_is_taken_in(desk: HandDesk) -> None:
    begin(desk)
    desk.runner.dies()
    desk.look()
    desk.runner.brings(GOOD)
    assert looked(desk).name == "shadow"


@pytest.mark.parametrize("retrain", [None, "another pipeline"])
def test_what_was_begun_is_gone_on_with_whatever_is_declared_by_now(desk: HandDesk, retrain: str | None) -> None:
    begun = begin(desk)
    desk.runner.dies()

    @sw.pipeline
    def other() -> int:
        return 1

    declare(desk, retrain=sw.Retrain(other, when=[sw.degraded]) if retrain else None)
    assert desk.look() == []
    assert len(desk.runner.started) == 2
    assert staging.read_task(desk.runner.started[1]).pipeline == "release"
    desk.runner.brings(GOOD)
    action = looked(desk)
    assert (action.name, last(desk).id) == ("refuse", begun.id)
    assert "the policy has changed since Grace (simulated) approved it" in action.sentence


def test_without_a_standing_approval_the_gate_waits_for_a_person(desk: HandDesk) -> None:
    (given,) = list_standing(desk.workspace, ListStanding(endpoint=NAME)).approvals
    revoke(desk.workspace, Revoke(id=given.id))
    assert begin(desk).standing_id == ""
    desk.runner.brings(GOOD)
    action = looked(desk)
    assert (action.name, action.owner) == ("refuse", "data scientist")
    assert action.sentence == (
        "The gate refused looping 2: approved as accountable: nobody gave their word for these bytes "
        "(Grace (simulated) took their word back on 2013-04-01)."
    )
    assert last(desk).state == "refused"
    assert desk.revision.number == 1


def test_what_the_gate_refuses_is_not_rolled_out(desk: HandDesk) -> None:
    declare(desk, gate=sw.Gate(sw.metric("auc") >= 0.99))
    begin(desk)
    desk.runner.brings(GOOD)
    action = looked(desk)
    assert (action.name, last(desk).state) == ("refuse", "refused")
    assert action.sentence.startswith("The gate refused looping 2: auc at least 0.99: 0.")
    assert desk.rollouts() == []


def test_a_model_that_cannot_be_put_forward_is_told_once(desk: HandDesk) -> None:
    begin(desk)
    desk.runner.brings(GOOD)
    manifest = registry.get(desk.workspace, NAME, GOOD).manifest
    (desk.workspace.root / "blobs" / manifest[:2] / manifest[2:]).unlink()
    action = looked(desk)
    assert (action.name, action.owner, last(desk).state) == ("alert", "ml engineer", "failed")
    assert action.sentence.startswith("looping 2 cannot be put forward: ")
    assert desk.look() == []


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (b"{", "The result in .* cannot be read: "),
        (b'{"state": "finished", "model": "looping", "version": 77}', "The model 'looping' has no version '77'."),
        (b'{"state": "finished", "model": "nobody", "version": 1}', "There is no model 'nobody' in the project"),
    ],
)
def test_an_answer_that_says_nothing_is_a_failure_and_the_next_one_begins(
    desk: HandDesk, result: bytes, why: str
) -> None:
    begin(desk)
    (desk.runner.started[0] / RESULT_FILE).write_bytes(result)
    action = looked(desk)
    assert (action.name, last(desk).state) == ("alert", "failed")
    assert re.match(f"The retraining failed: {why}", action.sentence)
    assert desk.look() == []
    begin(desk)
