"""What is seen of an endpoint while it serves, and what is done by schedule."""

from datetime import UTC, datetime
from typing import Any

import pytest

from conformance_journey.world import NAME, World
from slipway.errors import Conflict, InvalidInput, NotFound


def _watched(world: World, rows: int) -> Any:
    """The monitors' look, once the log has so many predictions."""

    def look() -> Any:
        found = world.call("endpoints.watch", name=NAME)
        return found if found.predictions >= rows else None

    return world.until(look)


def log(world: World) -> None:
    """What an endpoint answered is in its log, and its labels with it."""
    world.ask(*[{"order_id": f"W{n}", "region": "east", "size": n / 100 - 1.5} for n in range(300)])
    labels = [{"key": {"order_id": f"W{n}"}, "value": n > 150} for n in range(300)]
    sent = world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": labels})
    assert sent.json() == {"accepted": 300}
    world.kept["watched"] = _watched(world, 300)


def monitors(world: World) -> None:
    """Each monitor that was declared gives a finding."""
    names = {one.name for one in world.kept["watched"].findings}
    assert "drift" in names
    assert any("log_loss" in name for name in names)


def quality_waits(world: World) -> None:
    """Quality is not judged before its labels can have come."""
    (found,) = (one for one in world.kept["watched"].findings if "log_loss" in one.name)
    assert found.state == "cannot tell"


def unmatched(world: World) -> None:
    """Labels of what was never predicted are counted, with an example."""
    label = {"key": {"order_id": "nobody"}, "value": True}
    world.endpoint.post(f"/endpoints/{NAME}/labels", json={"labels": [label]})

    def look() -> Any:
        found = world.call("endpoints.watch", name=NAME)
        return found if found.unmatched else None

    assert "nobody" in world.until(look).unmatched_example


def traffic(world: World) -> None:
    """Traffic is told by spans, with the rows of each."""
    assert world.call("endpoints.traffic", name=NAME).rows >= 300


def drift_map(world: World) -> None:
    """The columns whose drift is watched are listed with their state."""
    told = world.call("endpoints.drift", name=NAME)
    assert (told.endpoint, told.model) == (NAME, f"{NAME} 1")


def scheduled(world: World) -> None:
    """What the project declares by schedule is published, with its next time."""
    done = world.slipway("schedules", "apply")
    assert done.exit_code == 0, done.output
    told = world.call("schedules.get", name="nightly").schedule
    assert (told.state, told.spec.pipeline) == ("active", "spread")


def paused(world: World) -> None:
    """A schedule is paused with a reason, and goes on."""
    world.call("schedules.pause", name="nightly", reason="holidays")
    assert world.call("schedules.get", name="nightly").schedule.state == "paused"
    world.call("schedules.resume", name="nightly")
    assert world.call("schedules.get", name="nightly").schedule.state == "active"


def no_schedule(world: World) -> None:
    """A schedule that does not exist is told with those that do."""
    with pytest.raises(NotFound, match="nightly"):
        world.call("schedules.get", name="nigthly")


def fired(world: World) -> None:
    """A schedule that is fired by hand runs its pipeline from the kept code, without the project's folder."""
    world.call("schedules.fire", name="nightly")

    def ended() -> Any:
        runs = world.call("runs.search", where="attributes.pipeline = 'spread'", order="started_at desc").runs
        return next((one.run for one in runs if one.run.tags.get("slipway.schedule") or len(runs) > 2), None)

    run = world.until(ended)
    assert world.until(lambda: world.call("runs.get", id=run.id).run.state == "finished")


def standing(world: World) -> None:
    """A policy is approved ahead of time, until a day."""
    until = datetime(2013, 6, 1, tzinfo=UTC)
    kept = world.call("approvals.stand", endpoint=NAME, until=until, comment="as agreed").approval
    (told,) = world.call("approvals.standing", endpoint=NAME).approvals
    assert (told.id, told.until) == (kept.id, until)


def standing_taken_back(world: World) -> None:
    """A word that was given ahead is taken back."""
    (told,) = world.call("approvals.standing", endpoint=NAME).approvals
    world.call("approvals.revoke", id=told.id, comment="no longer")
    (told,) = world.call("approvals.standing", endpoint=NAME).approvals
    assert told.revoked_at is not None


def no_roll_out(world: World) -> None:
    """A roll-out that does not exist cannot be ended."""
    with pytest.raises((Conflict, NotFound, InvalidInput)):
        world.call("rollouts.abort", endpoint=NAME)


def reconciled(world: World) -> None:
    """A pass of the loop does what is due, and a second one finds nothing to do."""
    world.call("loop.reconcile", endpoint=NAME)
    again = world.call("loop.reconcile", endpoint=NAME)
    assert [one for one in again.actions if one.name != "note"] == []


def costs(world: World) -> None:
    """What a model cost is told of its runs."""
    assert world.call("costs.get", name=NAME).model.runs >= 1


def journey(world: World) -> None:
    """How far a model has come is told by its evidence."""
    told = world.call("journey.model", name=NAME)
    assert {one.name: one.is_shown for one in told.items}["tracked run"]


def business(world: World) -> None:
    """The business's page of a model says its purpose in the words that people answered."""
    assert world.call("business.get", model=NAME).purpose == "Whether an order comes late."


BEHAVIOURS = (
    log,
    monitors,
    quality_waits,
    traffic,
    unmatched,
    drift_map,
    scheduled,
    paused,
    no_schedule,
    fired,
    standing,
    standing_taken_back,
    no_roll_out,
    costs,
    journey,
    business,
    reconciled,
)
