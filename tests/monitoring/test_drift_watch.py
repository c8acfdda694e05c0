"""Drift over time: like for like, two of three windows, a budget of pages; what cannot be told is not called steady."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks import drift_watch as simulated
from slipway.monitoring.declare import Drift
from slipway.monitoring.drift_found import with_time
from slipway.monitoring.drift_watch import HOUR, Looks, OverTime, Windows, judge_at, judge_over_time, usual_noise
from slipway.monitoring.hard_breaks import hard_breaks
from slipway.monitoring.judge import Found
from slipway.stats.flat_profiles import Flat
from slipway.stats.profiles import profile

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
START = int(MONDAY.timestamp()) // 3600
CARRIERS = ("AA", "DL", "UA")
QUIET = Found(state="ok", sentence="Nothing.", rows=100, values={})


def day(random: np.random.Generator, number: int, rows: int, **changes: Any) -> dict[str, Any]:
    """One day's rows: Sundays have a mix of their own, and UA flies farther."""
    mix = changes.get("mix", (0.2, 0.3, 0.5) if number % 7 == 6 else (0.5, 0.3, 0.2))
    carrier = random.choice(CARRIERS, rows, p=mix)
    flying = random.permutation(carrier) if changes.get("parted") else carrier
    distance = random.normal(10, 2, rows) + 4 * (flying == "UA") + changes.get("shift", 0.0)
    wind = random.normal(0, 1, rows)
    if changes.get("frozen"):
        wind = np.full(rows, 0.2)
    wind[random.random(rows) < changes.get("gone", 0.02)] = np.nan
    return {"distance": distance, "wind": wind, "carrier": carrier.tolist()}


@cache
def reference() -> Flat:
    random = np.random.default_rng(9)
    days = [day(random, number, 400) for number in range(14)]
    joined: dict[str, Any] = {name: np.concatenate([one[name] for one in days]) for name in ("distance", "wind")}
    joined["carrier"] = [value for one in days for value in one["carrier"]]
    return Flat(profile(joined))


def traffic(days: int, *, rows: int = 1000, seed: int = 1, parts: bool = False, **last: Any) -> Windows:
    """Days up to and with the last ones, which are changed: `of_last` of them."""
    random, flat = np.random.default_rng(seed), reference()
    of_last, few = last.pop("of_last", 2), last.pop("few", rows)
    counts = []
    for number in range(days):
        is_last = number >= days - of_last
        found = day(random, number, few if is_last else rows, **(last if is_last else {}))
        names = CARRIERS if parts else ("",)
        of = np.array(found["carrier"])
        counts.append(
            [
                flat.counts(
                    profile(
                        {
                            name: values[of == part] if name != "carrier" else of[of == part].tolist()
                            for name, values in found.items()
                        }
                        if part
                        else found,
                        flat.reference,
                    )
                )
                for part in names
            ]
        )
    return Windows(np.arange(days, dtype=np.int64) * 24 + START, np.array(counts))


def judged(hours: Windows, **looks: Any) -> OverTime:
    now = datetime.fromtimestamp((int(hours.starts[-1]) + 24) * 3600, UTC)
    return judge_over_time(reference(), hours, Looks(**looks), now)


def verdicts(found: OverTime) -> dict[tuple[str, str], str]:
    return {(one.column, one.question): one.verdict for one in found.columns}


def test_an_ordinary_day_is_steady_a_sunday_too() -> None:
    for days in (34, 35, 36):
        found = judged(traffic(days))
        assert found.drifted == []
        assert found.season.startswith("same weekday, ")
        assert verdicts(found)["distance", "shape"] == "steady"


def test_a_shift_is_found_on_its_second_day_a_clear_one_on_its_first() -> None:
    small = {"shift": 1.2}
    assert verdicts(judged(traffic(40, of_last=1, **small)))["distance", "shape"] == "moved"
    (one,) = judged(traffic(40, of_last=2, **small)).drifted
    assert (one.column, one.question) == ("distance", "shape")
    assert one.since == MONDAY + timedelta(days=38)
    assert one.low < one.effect < one.high
    assert one.low > one.floor
    assert "distance" in one.sentence
    (clear,) = judged(traffic(40, of_last=1, shift=4.0)).drifted
    assert clear.effect > 3 * clear.floor


def test_missing_values_are_a_question_of_their_own() -> None:
    found = judged(traffic(40, of_last=2, gone=0.3))
    assert ("wind", "missing") in {(one.column, one.question) for one in found.drifted}
    assert "like windows before" in found.drifted[0].sentence


def test_few_rows_cannot_tell_and_are_not_called_steady() -> None:
    found = judged(traffic(40, few=90, shift=9.0))
    assert set(verdicts(found).values()) == {"cannot tell"}
    assert verdicts(judged(traffic(40, rows=110)))["distance", "shape"] == "cannot tell", "a clear change might hide"


def test_nothing_is_no_window() -> None:
    assert (
        judge_over_time(
            reference(), Windows(np.empty(0, np.int64), np.empty((0, 1, reference().width), np.int64)), Looks(), MONDAY
        )
        == OverTime()
    )


def test_until_four_like_weeks_the_last_week_is_compared_with_training() -> None:
    young = judged(traffic(5))
    assert (young.season, set(verdicts(young).values())) == ("training", {"cannot tell"})
    found = judged(traffic(14, of_last=7, shift=4.0))
    assert found.season == "training"
    assert verdicts(found)["distance", "shape"] == "moved"
    assert found.drifted == [], "training is another season: it is told, and never more"


def test_a_holiday_is_not_judged_and_teaches_nothing() -> None:
    hours = traffic(40, of_last=1, shift=9.0)
    on = (MONDAY + timedelta(days=39)).date()
    found = judged(hours, holidays=(on,))
    assert (found.drifted, found.season) == ([], "holiday")
    assert set(verdicts(found).values()) == {"cannot tell"}
    assert judged(hours, holidays=(date(2020, 1, 1),)).drifted != []


def test_what_the_model_does_not_use_drifts_and_never_pages() -> None:
    found = judged(traffic(40, shift=4.0), used={"wind": 1.0})
    assert verdicts(found)["distance", "shape"] == "drifted"
    assert found.drifted == []


def test_a_changed_mix_and_changes_within_are_told_apart() -> None:
    mix = judged(traffic(40, parts=True, mix=(0.1, 0.1, 0.8)), segment="carrier")
    assert {one.column for one in mix.drifted} == {"carrier"}, "distances within carriers are as they were"
    assert "the mix of carrier moved" in mix.drifted[0].sentence
    assert "distance" in {one.column for one in judged(traffic(40, mix=(0.1, 0.1, 0.8))).drifted}
    within = judged(traffic(40, parts=True, shift=1.5), segment="carrier")
    assert {one.column for one in within.drifted} == {"distance"}
    assert "within carrier" in within.drifted[0].sentence


def found_of(hours: Windows, **declared: Any) -> Found:
    over = judged(hours)
    return with_time(QUIET, Drift(**declared).spec(), over, [], {"distance": "windows over flights"})


def test_drift_pages_only_within_a_declared_budget() -> None:
    hours = traffic(40, shift=4.0)
    noted = found_of(hours)
    assert (noted.state, noted.causes) == ("note", ())
    assert "Over time 1 drifted" in noted.sentence
    paged = found_of(hours, pages_a_month=1)
    assert paged.state == "alert"
    (cause,) = paged.causes
    assert (cause.kind, cause.about, cause.columns) == ("drift", "windows over flights", ("distance",))
    assert cause.low is not None
    assert cause.value is not None
    assert cause.low < cause.value
    assert "no reason to retrain" in paged.sentence
    assert found_of(traffic(40), pages_a_month=1).state == "ok"


def hourly(hours: int, *, last: int, **changes: Any) -> Windows:
    random, flat = np.random.default_rng(4), reference()
    counts = [
        [flat.counts(profile(day(random, n // 24, 60, **(changes if n >= hours - last else {})), flat.reference))]
        for n in range(hours)
    ]
    return Windows(np.arange(hours, dtype=np.int64) + START, np.array(counts))


@pytest.mark.parametrize(("change", "kind"), [({"gone": 1.1}, "missing"), ({"frozen": True}, "stale")])
def test_a_column_that_is_gone_or_stands_still_is_told_within_the_hour(change: dict[str, Any], kind: str) -> None:
    hours = hourly(240, last=2, **change)
    now = datetime.fromtimestamp((int(hours.starts[-1]) + 1) * 3600, UTC)
    (one,) = hard_breaks(reference(), hours, now, feeds={"wind": "feature view weather"})
    assert (one.column, one.kind, one.feed) == ("wind", kind, "feature view weather")
    assert one.since == now - timedelta(hours=2)
    assert "wind is" in one.sentence
    found = with_time(QUIET, Drift().spec(), OverTime(), [one], {"wind": "feature view weather"})
    assert (found.state, found.causes[0].kind, found.causes[0].about) == (
        "alert",
        "broken feed",
        "feature view weather",
    )
    young = Windows(hours.starts[120:], hours.counts[120:])
    assert hard_breaks(reference(), young, now, feeds={}) == [], "five days do not say what is usual"


def test_what_happened_before_or_is_over_is_no_hard_break() -> None:
    hours = hourly(240, last=2, gone=1.1)
    now = datetime.fromtimestamp((int(hours.starts[-1]) + 1) * 3600, UTC)
    before = hours.counts.copy()
    before[100] = hours.counts[-1]
    assert hard_breaks(reference(), Windows(hours.starts, before), now, feeds={}) == []
    at = datetime.fromtimestamp(int(hours.starts[100]) * 3600, UTC)
    assert len(hard_breaks(reference(), Windows(hours.starts, before), now, feeds={}, faulty=[(at, at + HOUR)])) == 1
    assert hard_breaks(reference(), hours, now + timedelta(days=1), feeds={}) == [], "nobody asks any more"


def test_columns_that_part_company_are_told_though_each_is_as_it_was() -> None:
    assert verdicts(judged(traffic(40)))["distance", "dependence"] == "steady"
    (one,) = judged(traffic(40, parted=True)).drifted
    assert (one.column, one.other, one.question) == ("distance", "carrier", "dependence")
    assert one.floor < one.low < one.effect < one.high
    assert abs(one.now) < 0.1 < 0.4 < abs(one.before)
    assert one.sentence.startswith("distance and carrier: correlated by ")
    assert one.since == MONDAY + timedelta(days=38)
    paged = with_time(QUIET, Drift(pages_a_month=1).spec(), judged(traffic(40, parted=True)), [], {})
    assert paged.causes[0].columns == ("distance", "carrier")
    assert judged(traffic(40, parted=True), used={"distance": 1.0}).drifted == [], "a pair counts where both are used"
    moved = judged(traffic(40, mix=(0.1, 0.1, 0.8)))
    assert {one.question for one in moved.drifted} == {"shape"}, "who merely comes more often keeps its company"
    few = judged(traffic(40, few=120, parted=True))
    assert verdicts(few)["distance", "dependence"] != "steady", "few rows hide no clear change"


def test_dependence_within_a_segment_is_judged_at_the_mix_of_before() -> None:
    assert judged(traffic(40, parts=True), segment="carrier").drifted == []
    (one,) = judged(traffic(40, parts=True, parted=True), segment="carrier").drifted
    assert one.question == "dependence"


def test_training_of_other_hours_is_noted_where_nothing_better_is_known() -> None:
    at = [MONDAY + timedelta(hours=9 + number % 8, days=number // 8 % 5) for number in range(5600)]
    trained = day(np.random.default_rng(9), 1, 5600)
    flat = Flat(profile(trained, at=at))
    counts = flat.counts(profile(day(np.random.default_rng(1), 1, 1000), flat.reference))
    starts = np.array([START + 24 * number + hour for number in range(7) for hour in (3, 10)])
    hours = Windows(starts, np.repeat(counts[None, None], starts.size, axis=0))
    found = judge_over_time(flat, hours, Looks(), MONDAY + timedelta(days=7))
    (when,) = (one for one in found.columns if one.column == "weekday and hour" and one.question == "shape")
    assert (when.verdict, when.is_used, when.season) == ("moved", False, "training")
    assert when.effect > 0.6


@pytest.mark.full
def test_hourly_looks_keep_the_budget_and_find_shifts_small() -> None:
    found = simulated.traffic(simulated.World(5, 12, 300.0), 28 + 10)
    ready = simulated.ready_for(found, Looks(window=HOUR, pages_a_month=1.0))
    fired = simulated.alarms(ready, 28 * 24, every=24)
    assert simulated.pages([bool(one) for one in fired]) <= 1
    assert sum(simulated.by_plain_test(found, ready, 28 * 24)) > 0.5 * len(fired)
    begin = 30 * 24 + 10
    moved = simulated.traffic(simulated.World(5, 12, 300.0), 31, shifted_from=begin, shifts={3: 1.0})
    ready = simulated.ready_for(moved, Looks(window=HOUR, pages_a_month=1.0))
    around = usual_noise(ready, begin)
    assert any(
        one.verdict == "drifted" and one.column == "x3"
        for last in (begin, begin + 1)
        for one in judge_at(ready, last, around)
    )


@pytest.mark.full
def test_ordinary_weekdays_do_not_alarm() -> None:
    looked, wrong = simulated.weekdays(10, 400.0, 2)
    assert (looked, wrong) == (14, 0)
