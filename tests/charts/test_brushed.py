"""Pictures of many runs: each run is in them by its number, whatever its values and names are."""

import math
import re
from xml.etree import ElementTree

from slipway.charts.brushed import Axis, Course, courses, parallel, scatter

NASTY = '<script>"\x00&'


def runs_in(svg: str) -> list[str]:
    ElementTree.fromstring(svg)
    return sorted(re.findall(r'data-run="(\d+)"', svg))


def test_each_run_is_a_line_on_all_axes_and_what_is_missing_has_its_place() -> None:
    axes = [
        Axis("rate", [0.001, 0.1, None, 10.0]),
        Axis(NASTY, ["a", NASTY, True, None]),
        Axis("auc", [0.5, math.nan, math.inf, 0.7]),
    ]
    svg = parallel([NASTY, "b", "c", "d"], axes, best=3)
    assert runs_in(svg) == ["0", "1", "2", "3"]
    lines = re.findall(r'd="M([^"]*)"', svg)
    assert all(len(one.split("L")) == 3 for one in lines)
    assert "rate (log)" in svg
    assert svg.count(">none<") == 3
    assert [one.partition('"')[0] for one in svg.split('data-axis="')[1:]] == ["0", "1", "2"]
    assert "<script>" not in svg
    assert "Nothing to show" in parallel(["a"], axes[:1])


def test_a_dot_is_a_run_with_both_values() -> None:
    svg = scatter(["a", "b", "c"], Axis("depth", [1, 2, None]), Axis("auc", [0.5, math.nan, 0.7]))
    assert runs_in(svg) == ["0"]
    assert "2 without both" in svg
    assert "Nothing to show" in scatter(["a"], Axis("x", [None]), Axis("y", [1.0]))
    assert runs_in(scatter(["a", "b"], Axis("x", [1e308, -1e308]), Axis("y", [5, 5]))) == ["0", "1"]


def test_curves_are_broken_where_there_is_no_number() -> None:
    lines = [Course(4, NASTY, [(0, 1.0), (1, math.nan), (2, 3.0)]), Course(7, "b", [(0, math.nan)])]
    svg = courses("loss", lines, 100, best=4)
    assert runs_in(svg) == ["4", "7"]
    assert re.findall(r'd="(M[^"]*)"', svg)[0].count("M") <= 2
    assert "Nothing to show" in courses("loss", [Course(0, "a", [(0, math.nan)])], 1)
    assert "no run has it" in courses("loss", [], 1)
