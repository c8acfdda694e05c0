"""A shortened version of the simulated roll-outs, and that judging only the last look is judging all of them."""

from typing import Any

import numpy as np
import pytest
from benchmarks.__main__ import section

from benchmarks import rollout_decisions
from slipway.rollout.declare import Canary
from slipway.rollout.judge_canary import judge_canary


def is_worse(counts: Any) -> bool:
    at = rollout_decisions._START
    return judge_canary(Canary().spec(), counts, step=0, since=at, now=at).verdict == "worse"


def test_a_canary_is_worse_at_some_look_just_if_it_is_at_the_last() -> None:
    random, seen = np.random.default_rng(3), set()
    for rate in (0.01, 0.03, 0.06, 0.1):
        a, b = random.binomial(900, 0.01, 6), random.binomial(100, rate, 6)
        rows = np.full(6, 100)
        by_look = [is_worse(rollout_decisions.counts_of(a[:k], 9 * rows[:k], b[:k], rows[:k])) for k in range(1, 7)]
        assert by_look == sorted(by_look)
        seen.add(by_look[-1])
    assert seen == {False, True}


@pytest.mark.full
@pytest.mark.long
def test_few_simulated_roll_outs_meet_the_goals() -> None:
    rows = rollout_decisions.run(runs=40, sizes=(20, 1_000))
    goals = [row for row in rows if "goal" in row]
    assert len(goals) == 6
    for row in goals:
        at_most = max(row["goal"], 2.5) if row["what"].endswith("%") else row["goal"]  # one of 40 may err
        assert row["slipway"] <= at_most, row["what"]
    page = section(rollout_decisions, rows)
    assert "| 20, shared outage | 100 % |" in page
