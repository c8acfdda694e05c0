"""Curves of stretches: gaps stay gaps, the band is what lies between, extremes stay on the paper."""

import math
import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.curves import Mark, curve_chart

anything = st.floats()
place = st.floats(allow_nan=False, allow_infinity=False)


def one(x: float, y: float) -> Mark:
    return Mark(x, y, x, y, y, y)


def paths(svg: str) -> list[str]:
    return [path.attrib["d"] for path in read(svg).iter(f"{SVG}path")]


def corners(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.lists(st.builds(Mark, place, anything, place, anything, anything, anything), max_size=12),
        max_size=9,
    ),
    st.text(max_size=12),
)
@settings(deadline=None)
def test_curves_are_drawn_of_any_marks_and_stay_on_the_paper(curves: dict[str, list[Mark]], title: str) -> None:
    svg = curve_chart(curves, title=title, x_label="step")
    assert svg == curve_chart(curves, title=title, x_label="step")
    height = float(read(svg).attrib["viewBox"].split()[3])
    for path in paths(svg):
        assert all(0 <= x <= 400 and 0 <= y <= height for x, y in corners(path))


def test_points_alone_are_a_line_with_dots_and_no_band() -> None:
    svg = curve_chart({"": [one(0, 1.0), one(5, 0.5), one(10, 0.25)]}, title="loss", x_label="step")
    (line,) = paths(svg)
    assert len(corners(line)) == 3
    assert {"loss", "step", "0", "10"} <= set(words(svg))
    assert "5: 0.5" in told(svg)
    assert "values: 0.25 to 1, last 0.25" in told(svg)


def test_one_point_is_a_dot() -> None:
    svg = curve_chart({"": [one(7, 0.5)]}, title="loss")
    assert len(list(read(svg).iter(f"{SVG}circle"))) == 1


def test_a_stretch_has_a_band_from_its_least_value_to_its_greatest() -> None:
    svg = curve_chart({"": [Mark(0, 1.0, 49, 2.0, 0.0, 4.0), Mark(50, 2.0, 100, 3.0, 2.0, 3.0)]})
    band, line = paths(svg)
    xs, ys = zip(*corners(band), strict=True)
    assert len(corners(band)) == 8
    assert min(xs) == min(x for x, _ in corners(line))
    assert min(ys) < min(y for _, y in corners(line)), "4 lies above all that the line meets"
    assert max(ys) > max(y for _, y in corners(line)), "and 0 below"


def test_what_is_no_number_leaves_a_gap_in_line_and_band() -> None:
    nan = math.nan
    curve = [Mark(0, 1, 9, 2, 0, 3), Mark(10, nan, 19, nan, nan, nan), Mark(20, 2, 29, nan, 1, math.inf)]
    band, line = paths(curve_chart({"": curve}))
    assert band.count("Z") == 2
    assert line.count("M") == 2
    assert "Nothing to show: no value is a number" in words(curve_chart({"": curve[1:2]}))
    assert "Nothing to show: no values" in words(curve_chart({}))


def test_what_a_level_axis_would_hide_gets_a_logarithmic_one() -> None:
    falling = [one(step, 10.0 ** (3 - step)) for step in range(7)]
    svg = curve_chart({"": falling}, x_label="step")
    assert "step · log scale" in words(svg)
    heights = [y for _, y in corners(paths(svg)[0])]
    assert len({round(b - a) for a, b in pairwise(heights)}) == 1, "decades are equally wide"
    assert "step" in words(curve_chart({"": [*falling, one(7, 0.0)]}, x_label="step")), "zero has no logarithm"
    assert "step" in words(curve_chart({"": [one(step, 1.0 + step) for step in range(7)]}, x_label="step"))


def test_a_curve_that_falls_and_stays_keeps_its_level_axis() -> None:
    assert "step" in words(curve_chart({"": [one(step, 1 / (1 + step)) for step in range(40)]}, x_label="step"))


def test_steps_are_marked_at_whole_numbers_and_hours_need_not_be() -> None:
    assert {"0", "1", "2"} <= set(words(curve_chart({"": [one(step, 10.0 + step / 7) for step in range(3)]})))
    assert "0.5" not in words(curve_chart({"": [one(step, 10.0 + step / 7) for step in range(3)]}))
    assert "0.5" in words(curve_chart({"": [one(0, 10.0), one(1.5, 11.0)]}))


def test_several_are_told_apart_by_their_names() -> None:
    svg = curve_chart({f"run {n}": [one(0, n), one(1, n + 1)] for n in range(8)})
    lines = list(read(svg).iter(f"{SVG}path"))[8:]
    assert len({(path.get("stroke"), path.get("stroke-dasharray")) for path in lines}) == 8
    assert {f"run {n}" for n in range(8)} <= set(words(svg))
