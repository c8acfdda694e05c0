"""Slow answers of a canary: found soon, not hidden by a stall, and hardly ever seen where there are none."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.loop.slow import slow_blocks
from slipway.records.rollouts import CanarySpec
from slipway.rollout.guardrails import Seen, guarded
from slipway.rollout.judge_canary import judge_canary

BEGAN = datetime(2013, 4, 15, tzinfo=UTC)
NEEDED = math.log(800)


def rows(seed: int, requests: int, *, times: float, rows: int = 1, share: float = 0.1, stalls: int = 0) -> pl.DataFrame:
    """Rows of requests 20 ms apart; a stall hits the next 25 requests, whoever answers."""
    random = np.random.default_rng(seed)
    stalled = np.zeros(requests)
    for begin in random.integers(0, requests, stalls):
        stalled[begin : begin + 25] = 300_000
    of = np.repeat(np.arange(requests), rows)
    is_challenger = random.random(of.size) < share
    took = 4000 * np.exp(0.15 * random.normal(size=(2, requests))) * np.array([[1.0], [times]]) + stalled
    at = [BEGAN + timedelta(milliseconds=20 * int(place)) for place in of]
    return pl.DataFrame(
        {
            "revision": np.full(of.size, 2),
            "arm": np.where(is_challenger, "challenger", "champion"),
            "at": at,
            "answered_at": at,
            "took_us": took[is_challenger.astype(int), of].astype(int),
            "propensity": np.where(is_challenger, share, 1 - share),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "answered_at": pl.Datetime("us", "UTC")},
    )


def evidence(frame: pl.DataFrame) -> float:
    return guarded("slow answers", slow_blocks(frame, {2: 0.1})[0]).log_e


@pytest.mark.parametrize("per_request", [1, 2, 10])
def test_five_times_as_slow_is_found_within_500_requests_also_after_a_stall_at_the_beginning(per_request: int) -> None:
    for seed in range(5):
        frame = rows(seed, 500, times=5, rows=per_request)
        first = pl.col("at") < BEGAN + timedelta(milliseconds=400)
        stalled = frame.with_columns(pl.when(first).then(300_000).otherwise("took_us").alias("took_us"))
        assert evidence(frame) > NEEDED
        assert evidence(stalled) > NEEDED


def test_equal_arms_with_stalls_are_seldom_slow_at_any_look() -> None:
    wrong = 0
    for seed in range(40):
        frame = rows(seed, 1000, times=1, stalls=4)
        looks = (BEGAN + timedelta(seconds=each) for each in (2, 4, 8, 14, 20))
        wrong += max(evidence(frame.filter(pl.col("at") < look)) for look in looks) > math.log(20)
    assert wrong <= 4  # of 40 at 5 %: more in one of twenty


def counts(challenger: int) -> pl.DataFrame:
    plain: dict[str, Any] = {"champion_rows": 9 * challenger, "champion_failures": 0, "challenger_failures": 0}
    return pl.DataFrame({"at": [BEGAN], **plain, "challenger_rows": challenger})


def test_no_step_is_taken_before_times_were_compared() -> None:
    def looked(frame: pl.DataFrame, spec: CanarySpec) -> Any:
        seen = Seen(guards={"slow answers": slow_blocks(frame, {2: 0.1})[0]})
        now = BEGAN + timedelta(hours=2)
        return judge_canary(spec, counts(400), step=0, since=BEGAN, now=now, rows_since=9, seen=seen)

    few, enough = rows(1, 20, times=1), rows(1, 2000, times=1)
    assert looked(few, CanarySpec()).verdict == "undecided"
    assert "none of its answers is timed beside the champion's yet" in looked(few, CanarySpec()).sentence
    assert "more would tell" in looked(rows(1, 200, times=1), CanarySpec()).sentence
    assert looked(enough, CanarySpec()).verdict == "not worse"
    assert looked(few, CanarySpec(steps=(100,))).verdict != "worse"
    assert "timed" not in looked(few, CanarySpec(steps=(100,))).sentence


def test_a_model_below_a_millisecond_is_not_slow_and_nothing_is_beside_it_at_all_traffic() -> None:
    fast = rows(2, 1000, times=5).with_columns(pl.col("took_us") // 40)
    assert evidence(fast) == 0.0
    assert slow_blocks(rows(2, 1000, times=5, share=0.99), {2: 1.0})[0].is_empty()
