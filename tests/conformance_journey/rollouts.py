"""A version's way into production beside the one that serves, and a model that is trained again without anybody's hand."""

from typing import Any

import pytest

from conformance_journey.world import NAME, World
from slipway.errors import Conflict, InvalidInput

ROWS = [{"order_id": f"B{n}", "region": "north", "size": n / 100 - 1.0} for n in range(200)]


def _versions(world: World) -> list[int]:
    """Which version answered each of the rows."""
    return [one["version"] for one in world.ask(*ROWS).json()["predictions"]]


def rejected(world: World) -> None:
    """A roll-out of a version that somebody rejected ends at the next look, and says who did."""
    world.call("endpoints.deploy", model=NAME, version="2")
    world.call("loop.reconcile", endpoint=NAME)
    told = world.call("rollouts.get", endpoint=NAME).rollout
    assert told.state == "stopped"
    assert "rejected it" in told.reason


def shadow(world: World) -> None:
    """Where a roll-out is declared, a version that is deployed begins in the shadow: the champion answers."""
    world.call("approvals.grant", model=NAME, version="2", comment="seen again")
    told = world.call("endpoints.deploy", model=NAME, version="2")
    assert (told.revision.served.number, told.revision.challenger.served.number) == (1, 2)
    assert world.call("rollouts.get", endpoint=NAME).rollout.state == "shadow"
    assert set(_versions(world)) == {1}


def no_other(world: World) -> None:
    """While a roll-out is under way the model is not trained again by hand."""
    with pytest.raises(Conflict):
        world.call("retrainings.start", endpoint=NAME, reason="to see")


def looked_at(world: World) -> None:
    """Both score every row in the shadow; without labels a look is undecided and says what it lacks."""
    world.later(hours=1)

    def look() -> Any:
        world.ask(*ROWS)
        world.call("loop.reconcile", endpoint=NAME)
        looks = world.call("rollouts.get", endpoint=NAME).rollout.looks
        return looks[-1] if looks else None

    found = world.until(look)
    assert (found.phase, found.verdict) == ("shadow", "undecided")
    assert "label" in found.sentence


def held_still(world: World) -> None:
    """A roll-out is paused with a reason, and goes on from where it stood."""
    world.call("rollouts.pause", endpoint=NAME, reason="the fair")
    paused = world.call("rollouts.get", endpoint=NAME).rollout
    world.call("rollouts.resume", endpoint=NAME, reason="it is over")
    going = world.call("rollouts.get", endpoint=NAME).rollout
    assert (paused.state, going.state, going.paused_at) == ("shadow", "shadow", None)
    assert paused.paused_at is not None


def no_reason(world: World) -> None:
    """A step by a person's word asks why."""
    with pytest.raises(InvalidInput):
        world.call("rollouts.advance", endpoint=NAME, reason="")
    assert world.call("rollouts.get", endpoint=NAME).rollout.state == "shadow"


def canary(world: World) -> None:
    """By a person's word it takes a step: the challenger answers its share of the rows and no more."""
    told = world.call("rollouts.advance", endpoint=NAME, reason="seen by the desk").rollout
    assert (told.state, told.percent) == ("canary", 10)
    answered = world.kept["canary"] = world.until(lambda: found if 2 in (found := _versions(world)) else None)
    assert 1 <= answered.count(2) <= 50  # of 200 rows; 10 % are 20, and six standard deviations more are 46


def sticky(world: World) -> None:
    """The same row gets the same version each time it is asked."""
    assert _versions(world) == world.kept["canary"]


def wider(world: World) -> None:
    """A step more: whoever was answered by the challenger still is, and others with them."""
    world.call("rollouts.advance", endpoint=NAME, reason="still fine")
    before = world.kept["canary"]
    after = world.until(lambda: found if (found := _versions(world)).count(2) > before.count(2) else None)
    assert all(now == 2 for then, now in zip(before, after, strict=True) if then == 2)


def aborted(world: World) -> None:
    """A roll-out that is ended by a person leaves every row to the champion, and keeps what was decided and why."""
    world.call("rollouts.abort", endpoint=NAME, reason="callers complain")
    assert set(_versions(world)) == {1}
    told = world.call("rollouts.get", endpoint=NAME).rollout
    assert [one.what for one in told.words] == ["pause", "resume", "advance", "advance", "abort"]
    assert (told.state, told.words[-1].reason) == ("stopped", "callers complain")


def _retrained(world: World, count: int) -> Any:
    """The newest retraining, once there are so many and it has ended."""

    def ended() -> Any:
        world.call("loop.reconcile", endpoint=NAME, settle=True)
        found = world.call("retrainings.list", endpoint=NAME).retrainings
        return found[0] if len(found) >= count and found[0].state != "running" else None

    return world.until(ended)


def by_hand(world: World) -> None:
    """A model is trained again by a person's word, from the kept code, and its run is a record like any other."""
    world.call("retrainings.start", endpoint=NAME, reason="new prices")
    found = _retrained(world, 1)
    assert "new prices" in found.trigger
    assert found.state in ("made", "unchanged", "refused")
    assert world.call("runs.get", id=found.run_id).run.state == "finished"


def by_clock(world: World) -> None:
    """At the time that a trigger names it is trained again without anybody's hand, and the loop says why."""
    rollouts = world.call("rollouts.list", endpoint=NAME).rollouts
    if rollouts[0].is_under_way:
        world.call("rollouts.abort", endpoint=NAME, reason="the next one comes")
    world.later(days=27)  # past the 8th of April
    assert "0 3 8 * *" in _retrained(world, 2).trigger
    retrained = [one for one in world.call("loop.actions", endpoint=NAME).actions if one.name == "retrain"]
    assert [one.evidence["trigger"] for one in retrained] == ["hand", "schedule 0 3 8 * *"]


BEHAVIOURS = (
    rejected,
    shadow,
    no_other,
    looked_at,
    held_still,
    no_reason,
    canary,
    sticky,
    wider,
    aborted,
    by_hand,
    by_clock,
)
