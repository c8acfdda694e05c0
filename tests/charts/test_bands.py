"""Bands: a value within its bounds, along a line, and the levels that they are compared with."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.bands import band_chart

value = st.none() | st.floats()
labels = st.text(max_size=12)


@given(
    st.lists(st.tuples(labels, value, value, value), max_size=20), labels, labels, st.dictionaries(labels, st.floats(), max_size=3)
)  # fmt: skip
@settings(deadline=None)
def test_a_band_is_drawn_of_any_points(
    points: list[tuple[str, float | None, float | None, float | None]], title: str, unit: str, levels: dict[str, float]
) -> None:
    svg = band_chart(points, title=title, y_label=unit, levels=levels)
    assert read(svg).get("width") == "100%"
    known = [point for point in points if all(one is not None and math.isfinite(one) for one in point[1:])]
    assert ("Nothing to show" in svg) == (not known)


def test_the_area_lies_between_the_bounds() -> None:
    points = [("1 May", 0.0, -1.0, 1.0), ("2 May", 0.2, -0.5, 0.7), ("3 May", 0.1, 0.0, 0.2)]
    svg = band_chart(points, y_label="difference", levels={"": 0.0, "margin": 0.5})
    area, middle = (path.attrib["d"] for path in read(svg).iter(f"{SVG}path"))
    assert (area.count("L"), middle.count("L")) == (5, 2)
    places = [tuple(map(float, place.split())) for place in area.removeprefix("M").removesuffix("Z").split("L")]
    tops, bottoms = [y for _, y in places[:3]], [y for _, y in reversed(places[3:])]
    assert all(top < bottom for top, bottom in zip(tops, bottoms, strict=True))
    assert tops == sorted(tops)
    assert "margin" in words(svg)
    assert "3 looks; the last, 3 May: 0.1, 0 to 0.2" in told(svg)


def test_one_point_is_a_whisker() -> None:
    svg = band_chart([("1 May", 0.0, -1.0, 1.0)])
    assert not list(read(svg).iter(f"{SVG}path"))
    assert len(list(read(svg).iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize("points", [[], [("a", 1.0, None, 2.0)]])
def test_nothing_known_says_so(points: list[tuple[str, float | None, float | None, float | None]]) -> None:
    assert "Nothing to show" in band_chart(points)
