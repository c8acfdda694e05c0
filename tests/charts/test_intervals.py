"""Intervals and reliability: what is not known is not drawn, and is said."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.intervals import interval_chart, reliability_chart

value = st.none() | st.floats()
share = value | st.floats(0, 1)


@given(st.lists(st.tuples(st.text(max_size=20), value, value, value), max_size=12), st.text(max_size=9), value)
@settings(deadline=None)
def test_intervals_are_drawn_of_any_rows(
    rows: list[tuple[str, float | None, float | None, float | None]], title: str, reference: float | None
) -> None:
    svg = interval_chart(rows, title=title, value_label=title, reference=reference)
    assert svg == interval_chart(rows, title=title, value_label=title, reference=reference)
    known = sum(row[1] is not None and math.isfinite(row[1]) for row in rows)
    assert len(list(read(svg).iter(f"{SVG}circle"))) == known


def test_a_dot_lies_on_its_whisker_and_the_reference_across_all() -> None:
    svg = interval_chart(
        [("JFK", 0.73, 0.72, 0.74), ("LGA", 0.75, None, 0.76), ("EWR", None, 0.7, 0.8)], title="AUC", reference=0.735
    )
    root = read(svg)
    dots = list(root.iter(f"{SVG}circle"))
    whiskers = [one for one in root.iter(f"{SVG}line") if one.get("stroke-width") == "3"]
    (line,) = [one for one in root.iter(f"{SVG}line") if one.get("stroke-dasharray")]
    assert (len(dots), len(whiskers)) == (2, 1)
    x = float(dots[0].attrib["cx"])
    assert math.isclose(x, (float(whiskers[0].attrib["x1"]) + float(whiskers[0].attrib["x2"])) / 2, abs_tol=0.11)
    assert x < float(line.attrib["x1"]) < float(dots[1].attrib["cx"])
    assert {"JFK: 0.73, 0.72 to 0.74", "LGA: 0.75", "EWR: \N{EN DASH}, 0.7 to 0.8", "reference: 0.735"} <= set(
        told(svg)
    )
    assert "2 of 3 values, from 0.73 to 0.75; the upright line is at 0.735" in told(svg)


@given(st.lists(st.tuples(share, share, share, share, st.integers(-1, 10**9)), max_size=12))
@settings(deadline=None)
def test_reliability_is_drawn_of_any_points(
    points: list[tuple[float | None, float | None, float | None, float | None, int]],
) -> None:
    svg = reliability_chart(points)
    assert svg == reliability_chart(points)
    assert len(list(read(svg).iter(f"{SVG}circle"))) <= len(points)


def test_a_calibrated_point_lies_on_the_diagonal_and_more_rows_make_a_larger_dot() -> None:
    root = read(reliability_chart([(0.25, 0.25, 0.2, 0.3, 100), (0.75, 0.75, 0.7, 0.8, 400)]))
    (diagonal,) = [one for one in root.iter(f"{SVG}line") if one.get("stroke-dasharray")]
    x1, y1, x2, y2 = (float(diagonal.attrib[name]) for name in ("x1", "y1", "x2", "y2"))
    dots = [tuple(float(dot.attrib[name]) for name in ("cx", "cy", "r")) for dot in root.iter(f"{SVG}circle")]
    for (x, y, _), at in zip(dots, (0.25, 0.75), strict=True):
        assert math.isclose(x, x1 + at * (x2 - x1), abs_tol=0.11)
        assert math.isclose(y, y1 + at * (y2 - y1), abs_tol=0.11)
    assert dots[0][2] < dots[1][2]


def test_points_that_cannot_be_shown_are_counted() -> None:
    svg = reliability_chart([(0.5, 0.5, math.nan, 0.6, 3), (math.nan, 0.5, 0.4, 0.6, 3), (0.5, 1.5, 1.0, 2.0, 3)])
    assert "2 of 3 points cannot be shown" in words(svg)
    assert "predicted 0.5, observed 0.5, 3 rows" in told(svg)


def test_nothing_is_said_to_be_nothing() -> None:
    for svg in (interval_chart([]), interval_chart([("a", None, 0, 1)]), reliability_chart([])):
        assert any(word.startswith("Nothing to show: ") for word in words(svg))
