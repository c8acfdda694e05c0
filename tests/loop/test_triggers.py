from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from slipway.loop.triggers import due
from slipway.records.loop import Retraining, RetrainSpec, TriggerSpec
from slipway.records.monitors import Incident
from slipway.records.plugged import Plugged

SERVES_SINCE = datetime(2013, 4, 1, tzinfo=UTC)
TWICE_A_MONTH = TriggerSpec(kind="schedule", cron="0 3 1,15 * *")
DEGRADED = TriggerSpec(kind="degraded")


def spec(*when: TriggerSpec, cooldown: timedelta = timedelta(days=14)) -> RetrainSpec:
    return RetrainSpec(pipeline="release", when=when, cooldown_us=int(cooldown.total_seconds() * 1e6))


def retraining(at: datetime, trigger: str) -> Retraining:
    return Retraining(
        id=f"r{at:%Y%m%d}",
        project="p",
        name="e",
        created_at=at,
        parent_id="p/e",
        trigger=trigger,
        snapshot="s",
        until=at,
    )


def incident(cause: str, at: datetime = SERVES_SINCE) -> Incident:
    return Incident(
        id=f"i-{cause}",
        project="p",
        name=f"{cause} of it",
        created_at=at,
        parent_id="p/e",
        sentence="",
        owner="x",
        cause=cause,
    )


def ask(now: datetime, what: RetrainSpec, **more: Any) -> str | None:
    found = due(what, now=now, since=SERVES_SINCE, **{"earlier": (), "incidents": (), **more})
    return None if found is None else f"{found.trigger} at {found.at:%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2013, 4, 15, 2, 59, tzinfo=UTC), None),  # the time of April 1 lies before it served: see `since`
        (datetime(2013, 4, 15, 3, 0, tzinfo=UTC), "schedule 0 3 1,15 * * at 04-15 03:00"),
        (datetime(2013, 4, 20, tzinfo=UTC), "schedule 0 3 1,15 * * at 04-15 03:00"),  # caught up
        (datetime(2013, 7, 20, tzinfo=UTC), "schedule 0 3 1,15 * * at 07-15 03:00"),  # once, not for every missed time
    ],
)
def test_a_schedule_asks_from_its_time_on(now: datetime, expected: str | None) -> None:
    since = datetime(2013, 4, 1, 4, tzinfo=UTC)
    found = due(spec(TWICE_A_MONTH), now=now, since=since, earlier=(), incidents=())
    assert (None if found is None else f"{found.trigger} at {found.at:%m-%d %H:%M}") == expected


def test_a_schedule_that_was_followed_is_silent_until_its_next_time() -> None:
    followed = [retraining(datetime(2013, 4, 15, 6, tzinfo=UTC), "schedule 0 3 1,15 * *")]
    assert ask(datetime(2013, 4, 30, 23, tzinfo=UTC), spec(TWICE_A_MONTH), earlier=followed) is None
    assert ask(datetime(2013, 5, 1, 3, tzinfo=UTC), spec(TWICE_A_MONTH), earlier=followed) is not None


def test_a_retraining_for_another_reason_does_not_stand_in_for_the_schedule() -> None:
    other = [retraining(datetime(2013, 4, 15, 6, tzinfo=UTC), "by hand: new data")]
    assert ask(datetime(2013, 4, 16, tzinfo=UTC), spec(TWICE_A_MONTH), earlier=other) is not None


def test_a_schedule_is_read_in_its_time_zone_also_when_clocks_change() -> None:
    berlin = TriggerSpec(kind="schedule", cron="30 8 * * *", timezone="Europe/Berlin")
    assert (
        ask(datetime(2013, 10, 26, 12, tzinfo=UTC), spec(berlin)) == "schedule 30 8 * * * Europe/Berlin at 10-26 08:30"
    )
    before_and_after = [datetime(2013, 10, 26, 6, 29, tzinfo=UTC), datetime(2013, 10, 27, 7, 29, tzinfo=UTC)]
    for now in before_and_after:  # 08:30 is 06:30 UTC in summer, 07:30 in winter
        found = due(spec(berlin), now=now, since=SERVES_SINCE, earlier=(), incidents=())
        assert found is not None
        assert found.at < now - timedelta(hours=20)


def test_a_degraded_model_asks_and_then_waits_for_the_cool_down() -> None:
    wanted, open_ones = spec(DEGRADED), [incident("quality")]
    now = datetime(2013, 5, 10, tzinfo=UTC)
    assert ask(now, wanted, incidents=open_ones) == "degraded: quality of it at 04-01 00:00"
    lately = [retraining(now - timedelta(days=13), "degraded: quality of it")]
    assert ask(now, wanted, incidents=open_ones, earlier=lately) is None
    assert ask(now + timedelta(days=1), wanted, incidents=open_ones, earlier=lately) is not None


def test_a_model_that_has_just_begun_to_serve_is_not_trained_again_for_being_degraded() -> None:
    assert ask(SERVES_SINCE + timedelta(days=13), spec(DEGRADED), incidents=[incident("quality")]) is None


@pytest.mark.parametrize("cause", ["broken feed", ""])
def test_other_incidents_ask_for_nothing(cause: str) -> None:
    assert ask(datetime(2013, 6, 1, tzinfo=UTC), spec(DEGRADED), incidents=[incident(cause)]) is None


def test_what_a_broken_feed_explains_asks_for_nothing() -> None:
    now, explained = (
        datetime(2013, 6, 1, tzinfo=UTC),
        msgspec.structs.replace(incident("quality"), silenced_by="i-feed"),
    )
    assert ask(now, spec(DEGRADED), incidents=[explained]) is None
    assert ask(now, spec(DEGRADED), incidents=[explained, incident("kpi")]) == "degraded: kpi of it at 04-01 00:00"


def test_new_labels_ask_once_there_are_enough_since_the_last_training_began() -> None:
    what = RetrainSpec(pipeline="release", when=(TriggerSpec(kind="labels", labels=200),), cooldown_us=0)
    now, began = SERVES_SINCE + timedelta(days=2), SERVES_SINCE + timedelta(days=1)
    came = {SERVES_SINCE: 200, began: 199}
    assert ask(now, what) is None, "nobody counted any"
    assert ask(now, what, labels_since=came.__getitem__) == f"200 new labels at {SERVES_SINCE:%m-%d %H:%M}"
    later = now + timedelta(hours=1)
    assert ask(later, what, labels_since=came.__getitem__) == ask(now, what, labels_since=came.__getitem__), "told once"
    assert ask(now, what, labels_since=came.__getitem__, earlier=[retraining(began, "hand")]) is None


def test_an_occasion_that_a_plugin_tells_of_asks_once_and_after_everything_else() -> None:
    plugin = Plugged("file_arrived", (("path", "/drop/go"),))
    arrived = TriggerSpec(kind="custom", custom=plugin)
    words = "custom file_arrived(path='/drop/go'): a1"
    told = f"{words} at 04-01 00:00"
    now = SERVES_SINCE + timedelta(days=20)
    assert ask(now, spec(arrived), occasion=lambda one: "") is None
    assert ask(now, spec(arrived), occasion=lambda one: "a1" if one == plugin else "") == told
    earlier = [retraining(SERVES_SINCE + timedelta(days=15), words)]
    assert ask(now, spec(arrived), occasion=lambda one: "a1", earlier=earlier) is None
    assert ask(now, spec(arrived), occasion=lambda one: "a2", earlier=earlier) == told.replace("a1", "a2").replace(
        "04-01", "04-16"
    )
    worse = ask(
        now, spec(arrived, TriggerSpec(kind="degraded")), occasion=lambda one: 1 / 0, incidents=[incident("quality")]
    )
    assert worse is not None
    assert worse.startswith("degraded")
