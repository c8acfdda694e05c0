import itertools
from datetime import UTC, datetime

import pytest
from msgspec import structs

from slipway.loop.policy import TABLE, Signals, answer, decide
from slipway.loop.signals import signals
from slipway.loop.triggers import Due
from slipway.records.endpoints import Served
from slipway.records.loop import Retraining
from slipway.records.monitors import Finding, Incident
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


TOLD = {
    "broken pipe": Signals(feed="broken", realised="down", inputs="moved", estimated="down"),
    "no results": Signals(service="down", realised="down"),
    "roll back": Signals(inputs="moved", estimated="down", realised="down", former="better"),
    "concept change": Signals(inputs="still", estimated="flat", realised="down"),
    "changed inputs": Signals(inputs="moved", estimated="down", realised="down"),
    "worse": Signals(realised="down"),
    "business": Signals(kpi="down", realised="flat", inputs="moved"),
    "cost alone": Signals(kpi="down"),
    "probably worse": Signals(inputs="moved", estimated="down"),
    "labels say otherwise": Signals(inputs="moved", estimated="down", realised="flat"),
    "moved": Signals(inputs="moved", estimated="flat"),
    "moved, little used": Signals(inputs="moved, little used", estimated="flat", realised="flat"),
    "nothing": Signals(inputs="still", estimated="flat", realised="flat", kpi="flat"),
}
DONE = {
    "broken pipe": ("broken pipe", "data engineer"),
    "no results": ("alert", "on-call"),
    "roll back": ("roll back", "data scientist"),
    "concept change": ("retrain on recent rows", "data scientist"),
    "changed inputs": ("retrain", "ml engineer"),
    "worse": ("retrain", "data scientist"),
    "business": ("alert", "business owner"),
    "cost alone": ("retrain", "data scientist"),
    "probably worse": ("retrain", "data scientist"),
    "labels say otherwise": ("note", "data scientist"),
    "moved": ("note", "data scientist"),
    "moved, little used": ("note", "data engineer"),
    "nothing": ("ignore", ""),
}


@pytest.mark.parametrize("name", TOLD)
def test_each_case_has_its_verdict_and_its_person(name: str) -> None:
    row = decide(TOLD[name])
    assert row.name == name
    assert (row.do, row.owner) == DONE[name]


def test_every_row_is_reached_and_a_broken_feed_is_never_learnt_from() -> None:
    assert {row.name for row in TABLE} == set(TOLD)
    words = [("down", "flat", "unknown")] * 4
    for inputs in ("moved", "moved, little used", "still", "unknown"):
        for service, estimated, realised, kpi in itertools.product(*words):
            found = Signals(
                feed="broken", inputs=inputs, service=service, estimated=estimated, realised=realised, kpi=kpi
            )  # type: ignore[arg-type]  # words of each
            assert decide(found).do == "broken pipe"
            whole = decide(structs.replace(found, feed="whole"))
            assert whole.do.startswith("retrain") <= ("down" in (estimated, realised, kpi))
            back = decide(structs.replace(found, feed="whole", former="better"))
            assert back.name == ("roll back" if realised == "down" != service else whole.name), (
                "before anything is trained"
            )


WORSE = Due(trigger="degraded: cost", at=NOW, subjects=("incident:k",), is_degraded=True)


def test_a_business_figure_alone_trains_nothing_and_goes_to_the_business() -> None:
    found = answer(WORSE, incidents=[], running=None, rollout=None, row=decide(TOLD["business"]))
    assert (found.do, found.owner, found.policy) == ("hold", "business owner", "business")
    assert "the threshold, the policy or the product" in found.why
    scheduled = answer(ASKED, incidents=[], running=None, rollout=None, row=decide(TOLD["business"]))
    assert (scheduled.do, scheduled.policy) == ("retrain", ""), "a schedule asks for another reason"


def test_a_concept_change_is_learnt_from_recent_rows() -> None:
    found = answer(WORSE, incidents=[], running=None, rollout=None, row=decide(TOLD["concept change"]))
    assert (found.do, found.is_recent, found.policy) == ("retrain", True, "concept change")


def test_a_limit_holds_a_schedule_too() -> None:
    found = answer(ASKED, incidents=[], running=None, rollout=None, against="the budget is used up.")
    assert found.do == "hold"
    assert found.why == "schedule 0 3 1 * *: held, because the budget is used up."
    for cause in ("schema", "stale feed"):
        broken = structs.replace(BROKEN, cause=cause)
        assert answer(ASKED, incidents=[broken], running=None, rollout=None).policy == "broken pipe"


def finding(state: str, **values: object) -> Finding:
    return Finding(
        id="f", name="m", state=state, window_from=NOW, window_until=NOW, rows=9, sentence="", values=values, **COMMON
    )  # type: ignore[arg-type]  # a state


def test_signals_are_read_from_findings_and_incidents() -> None:
    moved = [finding("note", moved=[["wind", "shape", 0.3, 0.2]])]
    found = signals({"drift": moved, "quality": [finding("ok")], "kpi": [finding("cannot tell")]}, [])
    assert found == Signals(inputs="moved", realised="flat")
    assert signals({"drift": moved}, [], {"wind": 0.01, "size": 0.9}).inputs == "moved, little used"
    assert signals({"drift": moved}, [], {"wind": 0.3}).inputs == "moved"
    assert signals({"drift": [finding("ok")], "estimated": [finding("alert")]}, []) == Signals(
        inputs="still", estimated="down"
    )
    still_open = signals({"quality": [finding("cannot tell")]}, [DEGRADED, BROKEN])
    assert (still_open.realised, still_open.feed) == ("down", "broken")
