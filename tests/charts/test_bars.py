"""Bars begin at zero, and a histogram's shares are of its own rows."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read, told, words

from slipway.charts.bars import bar_chart, histogram
from slipway.errors import InvalidInput

value = st.none() | st.floats()


def rects(svg: str) -> list[tuple[float, float, float, float]]:
    return [
        (float(r.attrib["x"]), float(r.attrib["y"]), float(r.attrib["width"]), float(r.attrib["height"]))
        for r in read(svg).iter(f"{SVG}rect")
    ]


@given(st.lists(st.tuples(st.text(max_size=20), value), max_size=15), st.text(max_size=12))
@settings(deadline=None)
def test_bars_are_drawn_of_any_values(bars: list[tuple[str, float | None]], title: str) -> None:
    svg = bar_chart(bars, title=title)
    assert svg == bar_chart(bars, title=title)
    assert all(x >= -0.1 and x + width <= 400.1 for x, _, width, _ in rects(svg))


def test_bars_are_as_long_as_their_values_on_both_sides_of_zero() -> None:
    up, down, twice = rects(bar_chart([("a", 10), ("b", -10), ("c", 20), ("d", None), ("e", 0)]))
    assert math.isclose(up[2], down[2], abs_tol=0.11)
    assert math.isclose(twice[2], 2 * up[2], abs_tol=0.21)
    assert math.isclose(down[0] + down[2], up[0], abs_tol=0.11)


def test_a_bar_without_a_value_shows_a_dash_and_the_drawing_says_so() -> None:
    svg = bar_chart([("a", 1), ("b", math.nan)], title="Costs", value_label="dollars")
    assert {"Costs", "dollars", "a", "b", "\N{EN DASH}"} <= set(words(svg))
    assert "1 of 2 bars have a value, 1 to 1" in told(svg)


@st.composite
def spreads(draw: st.DrawFn) -> tuple[list[float], list[float | None], list[float | None] | None]:
    edges = sorted(draw(st.sets(st.floats(allow_nan=False, allow_infinity=False), min_size=0, max_size=9)))
    bins = max(0, len(edges) + draw(st.sampled_from([-1, 1])))
    counts = draw(st.lists(value, min_size=bins, max_size=bins))
    return edges, counts, draw(st.none() | st.lists(value, min_size=bins, max_size=bins))


@given(spreads())
@settings(deadline=None)
def test_a_histogram_is_drawn_of_any_counts(
    drawn: tuple[list[float], list[float | None], list[float | None] | None],
) -> None:
    edges, counts, reference = drawn
    svg = histogram(edges, counts, reference=reference, title="t", x_label="x")
    assert svg == histogram(edges, counts, reference=reference, title="t", x_label="x")


def test_columns_are_as_high_as_their_shares_and_stand_side_by_side() -> None:
    columns = rects(histogram([0, 1, 2, 10], [10, 20, 40]))
    assert math.isclose(columns[1][3], 2 * columns[0][3], abs_tol=0.2)
    assert math.isclose(columns[2][3], 4 * columns[0][3], abs_tol=0.4)
    assert all(one[0] + one[2] < other[0] for one, other in pairwise(columns))
    assert len({round(width) for _, _, width, _ in columns}) == 1


def test_open_ends_are_told_in_words() -> None:
    titles = told(histogram([0, 5], [1, 2, 1]))
    assert {"up to 0: 1 rows, 25.0%", "0 to 5: 2 rows, 50.0%", "over 5: 1 rows, 25.0%"} <= set(titles)


def test_a_reference_is_compared_by_shares_not_by_rows() -> None:
    svg = histogram([0, 1, 2], [1, 1], reference=[500, 500])
    (outline,) = [path.attrib["d"] for path in read(svg).iter(f"{SVG}path")]
    heights = {float(part.split("H")[0]) for part in outline.split("V")[1:-1]}
    assert heights == {rects(svg)[0][1]}
    assert "share of rows; the outline is the reference" in words(svg)


@pytest.mark.parametrize(
    ("edges", "counts", "reference", "what"),
    [
        ([0, 1], [1, 2], None, "2 edges for 2 counts"),
        ([], [1, 2, 3], None, "0 edges for 3 counts"),
        ([0, 1, 2], [1, 2], [1], "3 edges for 2 counts and 1 of a reference"),
        ([0, 0, 1], [1, 2], None, "not ascending"),
        ([0, math.inf], [1], None, "not ascending"),
    ],
)
def test_edges_and_counts_must_fit(
    edges: list[float], counts: list[int], reference: list[int] | None, what: str
) -> None:
    with pytest.raises(InvalidInput, match=what):
        histogram(edges, counts, reference=reference)


def test_nothing_is_said_to_be_nothing() -> None:
    for svg in (bar_chart([]), bar_chart([("a", math.inf)]), histogram([], []), histogram([0, 1], [0])):
        assert any(word.startswith("Nothing to show: ") for word in words(svg))
