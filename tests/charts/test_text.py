"""Texts in a drawing cannot break it, pose as another, or run out of it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.charts.drawn import SVG, read

from slipway.charts.svg import document, element, label, stamped, text
from slipway.charts.text import clean, decimals_of, finite, number, percent, shortened, width_of

anything = st.text(alphabet=st.characters(codec=None), max_size=60)
hostile = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><script>',
        "' onload='alert(1)",
        "]]>",
        "&amp;<!--",
        "a\0b",
        "\ud800",
        "\ufffe",
        "line\nline\ttab",
        "passed\u202edessap",
    ]
)


@given(anything | hostile)
@settings(deadline=None)
def test_any_text_comes_back_from_the_xml_as_it_was_cleaned(given_text: str) -> None:
    svg = document("test", given_text, 10, label(given_text, 0, 0, room=1e9), description=given_text)
    root = read(svg)
    shown = root.find(f"{SVG}text")
    assert shown is not None
    assert (shown.text or "") == clean(given_text)


@given(anything | hostile)
@settings(deadline=None)
def test_an_attribute_cannot_be_left(given_text: str) -> None:
    root = read(document("test", "t", 10, element("g", data_name=given_text)))
    assert root[1].attrib == {"data-name": clean(given_text)}
    assert len(root) == 2


def test_marks_that_turn_the_writing_and_what_xml_forbids_are_replaced() -> None:
    assert clean("a\u202eb\0c\ud800d\uffff") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert clean("  two\n lines\t") == "two lines"
    assert text("<&\"'>") == "&lt;&amp;&quot;&#x27;&gt;"


@given(anything, st.floats(1, 200))
@settings(deadline=None)
def test_a_shortened_text_fits_and_keeps_its_ends(given_text: str, room: float) -> None:
    full = clean(given_text)
    short = shortened(full, room, 11)
    if width_of(full, 11) <= room:
        assert short == full
    else:
        assert width_of(short, 11) <= max(room, width_of("…", 11))
        front, back = short.split("…") if short.count("…") == 1 else ("", "")
        assert full.startswith(front)
        assert full.endswith(back)


def test_the_version_of_a_long_name_stays_to_be_read() -> None:
    assert shortened("delays_by_origin_and_carrier@0f9e8d7c", 150, 12) == "delays_by…@0f9e8d7c"


def test_a_wide_letter_takes_more_room_and_an_accent_none() -> None:
    assert width_of("漢", 10) == 10
    assert width_of("e\u0301", 10) == width_of("e", 10)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (3.0, "3"),
        (-33.5, "\N{MINUS SIGN}33.5"),
        (0.731234, "0.7312"),
        (12345.678, "12,345.7"),
        (1234567.0, "1,234,567"),
        (1.5e12, "1.5e+12"),
        (0.00001, "1e-05"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "\N{EN DASH}"),
        (None, "\N{EN DASH}"),
    ],
)
def test_numbers_read_as_a_person_writes_them(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [(0, 7, "0.0 %"), (1, 7, "14.3 %"), (7, 7, "100.0 %"), (1, 2000, "0.1 %"), (1, 2001, "under 0.1 %")],
)
def test_a_share_is_never_rounded_away(count: int, of: int, shown: str) -> None:
    assert percent(count, of) == shown


def test_what_cannot_be_drawn_is_none() -> None:
    assert [finite(value) for value in (None, math.nan, math.inf, -math.inf, 10**400, 2, True)] == [
        None, None, None, None, None, 2.0, 1.0,
    ]  # fmt: skip


def test_decimals_tell_the_steps_apart() -> None:
    assert [decimals_of(step) for step in (10, 1, 0.5, 0.1, 0.05, 0.01, 0.0)] == [0, 0, 1, 1, 2, 2, 0]


@pytest.mark.parametrize("is_fixed", [True, False])
def test_a_stamp_stands_below_each_drawing_and_leaves_all_else(is_fixed: bool) -> None:
    mark = element("circle", cx=1, cy=1, r=1)
    drawn = document("bars", "<1>", 40, mark, width=100, is_fixed=is_fixed, description="one")
    page = f"<p>before</p>{drawn}<p>between</p>{drawn}<svg viewBox='0 0 16 16'></svg>"
    told = stamped(page, "MADE & UP")
    assert told.count("MADE &amp; UP") == 2
    first, *_, last = told.split("<p>between</p>")
    assert last.endswith("<svg viewBox='0 0 16 16'></svg>")
    root = read(first.removeprefix("<p>before</p>"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert (width, height) == (100, 52)
    assert root.get("height") == ("52" if is_fixed else None)
    (said,) = root.iter(f"{SVG}text")
    assert 40 < float(said.attrib["y"]) <= 52, "it hides nothing"
    assert stamped("<p>no drawing</p>", "MADE UP") == "<p>no drawing</p>"
