"""Scales hold every float, and their marks are round."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import words

from slipway.charts.scales import Scale, bottom_axis, spanning
from slipway.charts.svg import document

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
@settings(deadline=None)
def test_every_value_lies_on_the_scale_and_in_its_order(values: list[float], zero: bool) -> None:
    scale = spanning(values, 10, 300, zero=zero)
    places = [scale.at(value) for value in sorted(values)]
    assert all(10 <= place <= 300 for place in places)
    assert places == sorted(places)
    assert not zero or scale.low <= 0 <= scale.high


@given(st.lists(numbers, min_size=1, max_size=20))
@settings(deadline=None)
def test_there_are_a_few_marks_in_order_on_the_scale(values: list[float]) -> None:
    scale = spanning(values, 0, 100)
    marks = [value for value, _ in scale.ticks()]
    assert 1 <= len(marks) <= 8
    assert marks == sorted(set(marks))
    slack = (scale.high / 2 - scale.low / 2) * 1e-6
    assert scale.low - slack <= marks[0]
    assert marks[-1] <= scale.high + slack


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.71, 0.76, ["0.71", "0.72", "0.73", "0.74", "0.75", "0.76"]),
        (-30, 120, ["0", "50", "100"]),
        (0, 250000, ["0", "50,000", "100,000", "150,000", "200,000", "250,000"]),
    ],
)
def test_marks_are_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert [name for _, name in Scale(low, high, 0, 100).ticks()] == labels


def test_one_value_alone_stands_in_the_middle() -> None:
    assert spanning([7.0], 0, 100).at(7.0) == 50
    assert spanning([0.0], 0, 100, zero=True).at(0.0) == 0


@given(st.lists(st.tuples(st.floats(0, 400), st.text("abc é漢W", max_size=30)), max_size=30))
@settings(deadline=None)
def test_labels_under_an_axis_never_touch(marks: list[tuple[float, str]]) -> None:
    svg = document("test", "t", 30, bottom_axis(sorted(marks), 0, 0, 400))
    shown = [float(place) for place in _middles(svg)]
    assert all(one < other for one, other in pairwise(shown))


def _middles(svg: str) -> list[str]:
    return [part.split('"')[0] for part in svg.split('<text x="')[1:]]


def test_the_first_and_last_label_stay_on_the_paper() -> None:
    svg = document("test", "t", 30, bottom_axis([(0, "2013-04-01"), (400, "2013-04-30")], 0, 0, 400))
    assert words(svg) == ["2013-04-01", "2013-04-30"]
    first, last = (float(place) for place in _middles(svg))
    assert math.isclose(first, 400 - last, abs_tol=0.2)
    assert first > 25
