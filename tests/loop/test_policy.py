from datetime import UTC, datetime

from slipway.loop.policy import answer
from slipway.loop.triggers import Due
from slipway.records.endpoints import Served
from slipway.records.loop import Retraining
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout, RolloutSpec

NOW = datetime(2013, 9, 1, 6, tzinfo=UTC)
ASKED = Due(trigger="schedule 0 3 1 * *", at=NOW)
COMMON = {"project": "p", "created_at": NOW, "parent_id": "p/e"}
BROKEN = Incident(id="i", name="drift", sentence="weather moved.", owner="data engineer", cause="broken feed", **COMMON)
DEGRADED = Incident(id="j", name="quality", sentence="worse.", owner="data scientist", cause="quality", **COMMON)
RUNNING = Retraining(id="r", name="e", trigger="by hand", snapshot="s", until=NOW, **COMMON)
SERVED = Served(model="m", number=2, bundle="b" * 64)
ROLLING = Rollout(
    id="o", name="e", state="shadow", champion=SERVED, challenger=SERVED, spec=RolloutSpec(), since=NOW, **COMMON
)


def test_nothing_in_the_way_means_that_it_is_trained() -> None:
    found = answer(ASKED, incidents=[DEGRADED], running=None, rollout=None)
    assert (found.do, found.owner) == ("retrain", "")
    assert "schedule 0 3 1 * *" in found.why


def test_a_broken_feed_comes_before_everything_and_names_its_owner() -> None:
    found = answer(ASKED, incidents=[DEGRADED, BROKEN], running=RUNNING, rollout=ROLLING)
    assert (found.do, found.owner, found.subjects) == ("hold", "data engineer", ("incident:i",))
    assert "weather moved" in found.why


def test_one_thing_at_a_time() -> None:
    assert answer(ASKED, incidents=[], running=RUNNING, rollout=None).subjects == ("retraining:r",)
    assert answer(ASKED, incidents=[], running=None, rollout=ROLLING).subjects == ("rollout:o",)
