"""Looks at a roll-out: what is shown, what is missing, and how often whole roll-outs end wrongly."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.records.rollouts import CanarySpec, Look, ShadowSpec
from slipway.rollout.judge_canary import judge_canary
from slipway.rollout.judge_shadow import judge_shadow
from slipway.rollout.looks import is_overdue
from slipway.stats.evidence import mean_sequence
from slipway.stats.intervals import paired_difference

BEGAN = datetime(2013, 4, 15, 3, tzinfo=UTC)
SHADOW, CANARY = ShadowSpec(), CanarySpec()


def after(days: float) -> datetime:
    return BEGAN + timedelta(days=days)


def pairs(by_day: list[float], *, first: int = -14, rows: int = 20) -> pl.DataFrame:
    """Labelled rows whose log loss differs by just the day's number: all true, the champion answering one half."""
    start = datetime(2013, 4, 15, 6, tzinfo=UTC) + timedelta(days=first)
    at = [start + timedelta(days=day, minutes=row) for day in range(len(by_day)) for row in range(rows)]
    more = np.repeat(by_day, rows)
    return pl.DataFrame(
        {
            "at": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "label": np.ones(more.size),
            "champion": np.full(more.size, 0.5),
            "challenger": 0.5 * np.exp(-more),
            "source": ["live" if each >= BEGAN else "replayed" for each in at],
        }
    )


def counts(*blocks: tuple[int, int, int, int], first: datetime = BEGAN) -> pl.DataFrame:
    """Blocks of six hours: champion's rows and failures, challenger's rows and failures."""
    names = ("champion_rows", "champion_failures", "challenger_rows", "challenger_failures")
    columns = {name: [block[place] for block in blocks] for place, name in enumerate(names)}
    at = [first + timedelta(hours=6 * place) for place in range(len(blocks))]
    schema = {"at": pl.Datetime("us", "UTC"), **dict.fromkeys(names, pl.Int64)}
    return pl.DataFrame({"at": at, **columns}, schema=schema)


def canary(frame: pl.DataFrame, *, days: float = 2, since: datetime = BEGAN, **more: Any) -> Look:
    return judge_canary(CANARY, frame, **{"step": 0, "since": since, "now": after(days), **more})


# --- shadow -----------------------------------------------------------------------------------------------------------


def test_a_challenger_that_is_as_good_goes_on_once_it_is_shown_and_has_run_long_enough() -> None:
    frame = pairs([0.001, -0.001] * 9)
    early = judge_shadow(SHADOW, frame, since=BEGAN, now=after(2.5))
    assert early.verdict == "undecided"
    assert "12 hours are left of the 3 days that it has to run" in early.sentence
    look = judge_shadow(SHADOW, frame, since=BEGAN, now=after(4))
    assert (look.phase, look.step, look.verdict, look.at) == ("shadow", 0, "not worse", after(4))
    assert "360 rows of 18 days: 80 live, 280 replayed" in look.sentence
    assert "below the margin of 0.01" in look.sentence


def test_a_challenger_that_is_worse_is_stopped_without_waiting() -> None:
    look = judge_shadow(SHADOW, pairs([0.04, 0.06] * 8, first=-15), since=BEGAN, now=after(1))
    assert look.verdict == "worse"
    assert "0.05 higher than the champion's" in look.sentence
    assert "Worse" in look.sentence


def test_a_day_counts_once_its_labels_have_had_their_time() -> None:
    frame = pairs([0.001, -0.001] * 9)
    looks = [
        judge_shadow(SHADOW, frame, since=BEGAN, now=after(4), label_delay=timedelta(days=days)) for days in (0, 1, 1.5)
    ]
    assert [len(look.values["days"]) for look in looks] == [18, 17, 16]
    assert [look.values["waiting"] for look in looks] == [0, 20, 40]


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_challenger_that_scores_the_easy_rows_only_is_worse(score: float | None) -> None:
    frame = pairs([0.001, -0.001] * 9).with_row_index("row")
    fails = (pl.col("row") % 8 == 0).alias("fails")
    hard = frame.with_columns(challenger=pl.when(fails).then(pl.lit(score, dtype=pl.Float64)).otherwise("challenger"))
    look = judge_shadow(SHADOW, hard, since=BEGAN, now=after(4))
    assert look.verdict == "worse"
    assert look.sentence.endswith("Worse: it failed on 45 of 360 rows that the champion could score.")
    once = frame.with_columns(challenger=pl.when(pl.col("row") == 5).then(None).otherwise("challenger"))
    look = judge_shadow(SHADOW, once, since=BEGAN, now=after(4))
    assert (look.verdict, look.values["failed"], look.values["asked"]) == ("not worse", 1, 360)


def test_what_is_not_shown_is_undecided_and_says_what_is_missing() -> None:
    wide = judge_shadow(SHADOW, pairs([0.05, -0.05] * 9), since=BEGAN, now=after(4))
    assert wide.verdict == "undecided"
    assert "worse by 0.01 is not excluded yet, about" in wide.sentence
    assert "more days at this difference and spread" in wide.sentence
    never = judge_shadow(SHADOW, pairs([0.07, -0.04] * 9), since=BEGAN, now=after(4))
    assert "a year would not do it" in never.sentence
    few = judge_shadow(SHADOW, pairs([0.0] * 5, first=-1), since=BEGAN, now=after(4))
    assert few.verdict == "undecided"
    assert "5 days with labels, of at least 7" in few.sentence


def test_without_a_row_nothing_is_shown() -> None:
    look = judge_shadow(SHADOW, pairs([]), since=BEGAN, now=after(4))
    assert look.verdict == "undecided"
    assert "no day with labelled rows of both is over yet" in look.sentence
    assert "nan" not in look.sentence


def test_replayed_rows_alone_are_no_shadow() -> None:
    look = judge_shadow(SHADOW, pairs([0.001, -0.001] * 7), since=BEGAN, now=after(4))
    assert look.verdict == "undecided"
    assert "no row that was decided since the shadow began" in look.sentence


def test_the_day_under_way_is_no_block() -> None:
    look = judge_shadow(SHADOW, pairs([0.0] * 18 + [5.0]), since=BEGAN, now=after(4.5))
    assert look.values["waiting"] == 20
    assert look.values["days"][-1] == "2013-04-18"
    assert look.verdict == "not worse"


def test_rows_that_cannot_be_compared_are_left_out_and_told() -> None:
    frame = pairs([0.001, -0.001] * 9)
    spoiled = frame.with_columns(
        challenger=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("challenger"),
        label=pl.when(pl.int_range(pl.len()) == 4).then(0.5).otherwise("label"),
        champion=pl.when(pl.int_range(pl.len()) == 5).then(math.nan).otherwise("champion"),
    )
    look = judge_shadow(SHADOW, spoiled, since=BEGAN, now=after(4))
    assert look.values["left_out"] == 3
    assert "3 rows without a label of 0 or 1, or without a score, are left out" in look.sentence


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_the_difference_is_that_of_the_metric_and_rows_have_no_order(metric: str) -> None:
    random = np.random.default_rng(1)
    frame = pairs([0.0] * 18).with_columns(
        label=random.integers(0, 2, 360).astype(float), champion=random.random(360), challenger=random.random(360)
    )
    spec = ShadowSpec(metric=metric)
    look = judge_shadow(spec, frame, since=BEGAN, now=after(5))
    truth, champion, challenger = (frame[name].to_numpy() for name in ("label", "champion", "challenger"))
    assert look.values["difference"] == pytest.approx(paired_difference(truth, challenger, champion, metric).value)
    assert judge_shadow(spec, frame.sample(fraction=1, shuffle=True, seed=2), since=BEGAN, now=after(5)) == look


def test_a_look_can_be_judged_again_from_its_values() -> None:
    look = judge_shadow(SHADOW, pairs([0.05, -0.05] * 9), since=BEGAN, now=after(4))
    again = msgspec.json.decode(msgspec.json.encode(look), type=Look)
    assert again == look
    found = mean_sequence(again.values["sums"], again.values["counts"], alpha=again.values["alpha"])
    assert (found.value, found.low, found.high) == tuple(again.values[name] for name in ("difference", "low", "high"))


def test_a_deadline_that_has_passed_is_told_and_decides_nothing_here() -> None:
    frame = pairs([0.05, -0.05] * 9)
    assert not is_overdue(SHADOW, BEGAN, after(11.9))
    assert is_overdue(SHADOW, BEGAN, after(12))
    late = judge_shadow(SHADOW, frame, since=BEGAN, now=after(12))
    assert late.verdict == "undecided"
    assert late.values["is_overdue"]
    assert late.sentence.endswith("The deadline of 12 days has passed.")


# --- canary -----------------------------------------------------------------------------------------------------------


def test_a_step_is_taken_once_a_margin_is_excluded() -> None:
    look = canary(counts(*[(900, 9, 100, 1)] * 6))
    assert (look.phase, look.step, look.verdict) == ("canary", 0, "not worse")
    assert "failed on 6 of 600 requests (1.0%), the champion on 54 of 5,400 (1.0%)" in look.sentence
    assert "less than the margin of 3 percentage points" in look.sentence


def test_a_challenger_that_fails_more_often_is_worse_and_stays_so() -> None:
    bad = [(900, 9, 100, 12)] * 2
    look = canary(counts(*bad))
    assert look.verdict == "worse"
    assert "800 to 1 stops it" in look.sentence
    assert canary(counts(*bad, *[(900, 90, 100, 0)] * 8)).verdict == "worse"
    assert "more than a million to 1" in canary(counts(*bad * 3)).sentence


def test_too_few_rows_are_undecided_and_say_how_many_are_missing() -> None:
    look = canary(counts((900, 9, 100, 1)))
    assert look.verdict == "undecided"
    assert "more requests of the challenger at these shares would do it" in look.sentence
    assert "no number of requests" in canary(counts((900, 9, 100, 5))).sentence


@pytest.mark.parametrize("frame", [counts(), counts((0, 0, 0, 0)), counts((1000, 10, 0, 0))])
def test_a_challenger_that_answered_nothing_is_never_promoted(frame: pl.DataFrame) -> None:
    look = canary(frame)
    assert look.verdict == "undecided"
    assert "it has answered no request yet; at the least about 198 without a failure are needed" in look.sentence
    assert "nan" not in look.sentence


def test_evidence_is_of_all_steps_but_each_step_needs_rows_of_its_own() -> None:
    earlier = counts(*[(900, 9, 100, 1)] * 6)
    look = canary(earlier, step=1, since=after(1.5))
    assert look.verdict == "undecided"
    assert "it has answered no row since the step of 50% began" in look.sentence
    later = pl.concat([earlier, counts((500, 5, 500, 4), first=after(1.5))])
    assert canary(later, step=1, since=after(1.5)).verdict == "not worse"


def test_the_last_step_has_no_champion_beside_it() -> None:
    steps = pl.concat([counts(*[(900, 9, 100, 1)] * 6), counts((0, 0, 1000, 10), first=after(1.5))])
    assert canary(steps, step=2, since=after(1.5)).verdict == "not worse"
    outage = pl.concat([counts(*[(900, 9, 100, 1)] * 6), counts((0, 0, 1000, 500), first=after(1.5))])
    assert canary(outage, step=2, since=after(1.5)).verdict == "undecided"
    assert canary(counts((0, 0, 1000, 10)), step=2).verdict == "not worse"
    assert "the champion answered none" in canary(counts((0, 0, 1000, 10)), step=2).sentence


def test_times_of_unseen_scores_are_told() -> None:
    frame = counts(*[(900, 9, 100, 1)] * 6)
    simulated = canary(frame, took_ms=(1.5, 40.0), in_simulation=True)
    assert simulated.verdict == "not worse"
    assert "measured, not judged in simulation" in simulated.sentence
    assert " ms" not in simulated.sentence  # two runs of one seed must say the same
    assert simulated.values["took_ms"] == [1.5, 40.0]
    live = canary(frame, took_ms=(0.015, 0.04)).sentence
    assert "took 0.04 ms, the champion's 0.015 ms (medians)" in live
    silent = canary(frame, took_ms=(math.nan, 1.4))
    assert "ms" not in silent.sentence
    assert silent.values["took_ms"] == [None, 1.4]


def test_a_canary_s_look_keeps_its_counts_and_its_deadline() -> None:
    look = canary(counts((900, 9, 100, 1)), days=7)
    assert look.values["challenger_rows"] == [100]
    assert look.values["at"] == ["2013-04-15T03:00:00+00:00"]
    assert look.sentence.endswith("The deadline of 7 days has passed.")
    assert msgspec.json.decode(msgspec.json.encode(look), type=Look) == look


# --- whole roll-outs --------------------------------------------------------------------------------------------------


def shadow_ends(random: np.random.Generator, difference: float, effect: float, replayed: int) -> str:
    """One shadow looked at every morning, its days differing by more than its rows do."""
    by_day = difference + effect * random.standard_t(5, replayed + 12) / (5 / 3) ** 0.5
    frame = pairs(by_day.tolist(), first=-replayed, rows=5)
    for day in range(1, 13):
        look = judge_shadow(SHADOW, frame, since=BEGAN, now=after(day))
        if look.verdict != "undecided":
            return look.verdict
    return "undecided"


def canary_ends(random: np.random.Generator, more: float, outage: float) -> str:
    """One canary of three steps, looked at daily; a fifth of the blocks has an outage that both arms share."""
    blocks: list[tuple[int, int, int, int]] = []
    since, step = BEGAN, 0
    while not is_overdue(CANARY, since, now := BEGAN + timedelta(hours=6 * len(blocks))):
        for _ in range(4):
            n = int(random.binomial(300, CANARY.steps[step] / 100))
            rate = outage if random.random() < 0.2 else 0.01
            blocks.append((300 - n, int(random.binomial(300 - n, rate)), n, int(random.binomial(n, rate + more))))
        now = BEGAN + timedelta(hours=6 * len(blocks))
        look = judge_canary(CANARY, counts(*blocks), step=step, since=since, now=now)
        if look.verdict == "worse":
            return "worse"
        if look.verdict == "not worse":
            step, since = step + 1, now
            if step == len(CANARY.steps):
                return "not worse"
    return "undecided"


def ends(of: Any, runs: int, *args: Any) -> dict[str, float]:
    random = np.random.default_rng(3)
    found = [of(random, *args) for _ in range(runs)]
    return {verdict: found.count(verdict) / runs for verdict in ("worse", "undecided", "not worse")}


@pytest.mark.parametrize(("runs", "slack"), [(40, 0.03), pytest.param(1000, 0.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("effect", [0.005, 0.03])
def test_shadows_of_equal_models_are_almost_never_stopped(runs: int, slack: float, effect: float) -> None:
    found = ends(shadow_ends, runs, 0.0, effect, 14)
    assert found["worse"] <= SHADOW.alpha + slack
    assert found["not worse"] >= (0.9 if effect < 0.01 else 0.0)


@pytest.mark.parametrize(("runs", "slack"), [(40, 0.03), pytest.param(1000, 0.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("effect", [0.005, 0.03])
def test_shadows_of_worse_models_are_almost_never_let_through(runs: int, slack: float, effect: float) -> None:
    assert ends(shadow_ends, runs, 2 * SHADOW.margin, effect, 14)["not worse"] <= SHADOW.alpha + slack


@pytest.mark.full
@pytest.mark.parametrize(("runs", "slack"), [(10, 0.1), pytest.param(300, 0.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("outage", [0.05, 0.2])
def test_canaries_of_equal_models_go_through_and_of_worse_ones_do_not(runs: int, slack: float, outage: float) -> None:
    alike = ends(canary_ends, runs, 0.0, outage)
    assert alike["worse"] <= CANARY.alpha + slack
    assert alike["not worse"] >= (0.8 if outage < 0.1 else 0.3)
    assert ends(canary_ends, runs, 2 * CANARY.margin, outage)["not worse"] <= CANARY.alpha + slack
