"""Under load and `slipway up`, over real HTTP: a challenger that goes wrong is taken back, an equal one gets all traffic."""

from pathlib import Path

import pytest
from benchmarks.rollout_faults import binomial_most, in_real_time, in_shadow

pytestmark = pytest.mark.full


def test_who_fails_or_is_slow_or_costs_is_taken_back_and_who_is_equal_is_promoted(tmp_path: Path) -> None:
    *bad, equal = in_real_time(tmp_path / "store", ("raises", "slow", "inverted", "equal"), rate=40, longest_s=300)
    for one in bad:
        assert one.state == "stopped", one
        assert one.fraction * one.rows <= binomial_most(one.rows, one.most_fraction), one
    assert equal.state == "promoted", equal
    assert [one.failed for one in (*bad, equal)] == [0, 0, 0, 0]


def test_inverted_answers_are_stopped_in_shadow_before_anybody_gets_one(tmp_path: Path) -> None:
    told = in_shadow(tmp_path / "store")
    assert (told.state, told.phase, told.fraction, told.failed) == ("stopped", "shadow", 0.0, 0), told
