"""Lines: gaps stay gaps, an axis has numbers or labels, and nothing is drawn of nothing."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.lines import line_chart, sparkline

value = st.none() | st.floats()
labels = st.text(max_size=12)


@given(st.lists(value, max_size=40), labels)
@settings(deadline=None)
def test_a_sparkline_is_drawn_of_any_values(values: list[float | None], title: str) -> None:
    svg = sparkline(values, title=title)
    root = read(svg)
    assert svg == sparkline(values, title=title)
    assert ("nothing to show" in words(svg)) == (not any(one is not None and math.isfinite(one) for one in values))
    assert (root.get("width"), root.get("height")) == ("120", "28")


@given(
    st.dictionaries(labels, st.lists(st.tuples(st.floats() | labels, value), max_size=12), max_size=9), labels, labels
)
@settings(deadline=None)
def test_lines_are_drawn_of_any_points(
    series: dict[str, list[tuple[float | str, float | None]]], title: str, unit: str
) -> None:
    svg = line_chart(series, title=title, y_label=unit)
    assert read(svg).get("width") == "100%"
    assert svg == line_chart(series, title=title, y_label=unit)


def _steps(svg: str) -> list[str]:
    return [path.attrib["d"] for path in read(svg).iter(f"{SVG}path")]


def test_what_is_no_number_breaks_the_line() -> None:
    (line,) = _steps(sparkline([1, 2, None, math.nan, 3, 4, math.inf, 5]))
    assert line.count("M") == 3


def test_a_sparkline_says_how_its_values_run() -> None:
    assert told(sparkline([0.7, 0.75, None, 0.72], title="AUC")) == ["AUC: 3 of 4 values, 0.7 to 0.75, last 0.72"]
    assert told(sparkline([4])) == ["1 value, 4"]


def test_numbers_lie_at_their_values_in_ascending_order() -> None:
    (line,) = _steps(line_chart({"": [(10, 1.0), (0, 0.0), (5, 0.5)]}))
    xs = [float(place.split()[0]) for place in line.removeprefix("M").split("L")]
    assert xs == sorted(xs)
    assert math.isclose(xs[1], (xs[0] + xs[2]) / 2, abs_tol=0.11)


def test_labels_stand_in_the_order_in_which_they_come_and_are_shared() -> None:
    svg = line_chart({"a": [("mon", 1), ("tue", 2)], "b": [("tue", 3), ("wed", 4)]})
    assert [word for word in words(svg) if word in {"mon", "tue", "wed"}] == ["mon", "tue", "wed"]
    first, second = _steps(svg)[-2:]
    assert first.split("L")[1].split()[0] == second.removeprefix("M").split("L")[0].split()[0]


def test_a_month_of_days_has_labels_at_even_steps() -> None:
    days = [f"2013-04-{day:02d}" for day in range(1, 31)]
    shown = [word for word in words(line_chart({"n": [(day, 1.0) for day in days]})) if word.startswith("2013")]
    steps = {days.index(other) - days.index(one) for one, other in pairwise(shown)}
    assert len(shown) >= 3
    assert len(steps) == 1


def test_series_are_told_apart_and_told() -> None:
    series = {f"series {index}": [(0, index), (1, index)] for index in range(8)}
    svg = line_chart(series, title="Many", y_label="rows")
    paths = list(read(svg).iter(f"{SVG}path"))[8:]
    assert len({(path.get("stroke"), path.get("stroke-dasharray")) for path in paths}) == 8
    assert {"Many", "rows", *series} <= set(words(svg))
    assert "series 7: 2 points, 7 to 7, last 7" in told(svg)[-1]


def test_a_point_tells_its_figures() -> None:
    assert "AUC, 2013-04-01: 0.74" in told(line_chart({"AUC": [("2013-04-01", 0.74)]}))


@pytest.mark.parametrize(
    "draw", [lambda: line_chart({}), lambda: line_chart({"a": []}), lambda: line_chart({"a": [(1, math.nan)]})]
)
def test_nothing_is_said_to_be_nothing(draw: Callable[[], str]) -> None:
    assert [word for word in words(draw()) if word.startswith("Nothing to show: ")]


def test_the_line_that_matters_is_unbroken_and_on_top() -> None:
    svg = line_chart({name: [(0, 1.0), (1, 2.0)] for name in ("never", "blind", "ours")}, emphasis="ours")
    paths = list(read(svg).iter(f"{SVG}path"))
    legend, lines = paths[:3], paths[3:]
    dashes = [path.get("stroke-dasharray") for path in lines]
    assert dashes[-1] is None
    assert len({dash for dash in dashes[:-1] if dash}) == 2
    assert [path.get("stroke-dasharray") for path in legend] == [*dashes[:-1], None]
    assert float(lines[-1].attrib["stroke-width"]) > float(lines[0].attrib["stroke-width"])


def test_a_reference_is_on_the_scale_even_where_no_value_is() -> None:
    points = {"": [(0, 5.0), (1, 6.0)]}
    plain, referred = line_chart(points), line_chart(points, reference=0)
    assert "0" in words(referred)
    lines = list(read(referred).iter(f"{SVG}line"))
    (level,) = [line for line in lines if line.get("stroke-opacity") == "0.55"]
    grid = [float(line.attrib["y1"]) for line in lines if line.get("stroke-opacity") == "0.16"]
    assert float(level.attrib["y1"]) == float(level.attrib["y2"]) == max(grid), "zero is where the scale begins"
    assert 'stroke-opacity="0.55"' not in plain
    assert line_chart(points, reference=math.nan) == plain
