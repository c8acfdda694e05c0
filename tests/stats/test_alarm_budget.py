"""A budget of false pages, split over looks and questions."""

from datetime import timedelta

import numpy as np
import pytest

from slipway.stats.alarm_budget import chance, holm, is_alarm, look_level, quantile


def test_a_month_of_looks_has_the_budget_together() -> None:
    assert look_level(1.0, timedelta(hours=1)) * 720 == pytest.approx(1.0)
    assert look_level(1.0, timedelta(days=1)) * 30 == pytest.approx(1.0)
    assert look_level(30.0, timedelta(days=1)) == 0.05, "no look is that careless"


def test_student_s_tail_is_about_right_and_its_quantile_turns_it_round() -> None:
    assert chance(2.228, 10) == pytest.approx(0.025, rel=0.02)
    assert chance(4.587, 10) == pytest.approx(0.0005, rel=0.05)
    assert chance(1.96, 1e6) == pytest.approx(0.025, rel=0.01)
    assert chance(float("-inf"), 5) == 1.0
    assert chance(float("inf"), 5) == 0.0
    for level in (0.2, 0.01, 1e-5):
        assert chance(quantile(level, 12), 12) == pytest.approx(level)


def test_holm_goes_by_rank_stops_and_leaves_out_what_cannot_be_told() -> None:
    levels = holm([0.001, np.nan, 0.02, 0.3], 0.05)
    assert levels[0] == pytest.approx(0.05 / 3)
    assert levels[2] == levels[3] == pytest.approx(0.05 / 2) or levels[2] == pytest.approx(0.05 / 2)
    assert (np.array([0.001, 0.02]) < levels[[0, 2]]).all()
    assert holm([np.nan], 0.05)[0] == 0.05


@pytest.mark.parametrize(
    ("moved", "effects", "is_one"),
    [
        ([], [], False),
        ([True], [0.15], False),
        ([True], [0.31], True),
        ([True, False, True], [0.2, 0.0, 0.2], True),
        ([True, True, False], [0.2, 0.2, 0.0], True),
        ([True, False, False], [0.9, 0.0, 0.0], False),
        ([True, True, False, False], [0.2, 0.2, 0.0, 0.0], False),
    ],
)
def test_two_of_three_windows_or_a_clear_one(moved: list[bool], effects: list[float], is_one: bool) -> None:
    assert is_alarm(moved, effects, 0.1) is is_one
