"""Plain text that people can read."""

import math
from datetime import UTC, datetime

import pytest

from slipway.cli.layout import columns, count, facts, figure, instant


def test_columns_are_aligned_and_figures_stand_right() -> None:
    text = columns(("name", "rows"), [("flights", "81,000"), ("planes", "12")], empty="none")
    assert text == "name       rows\nflights  81,000\nplanes       12"
    assert columns(("a",), [], empty="There is nothing.") == "There is nothing."


def test_facts_leave_out_what_is_empty_and_indent_what_is_long() -> None:
    assert facts([("a", "1"), ("longer", "x\ny"), ("gone", "")]) == "a       1\nlonger  x\n        y"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.74612, "0.7461"),
        (3.0, "3"),
        (81000, "81,000"),
        (1234.56, "1,234.6"),
        (math.nan, "-"),
        (math.inf, "infinite"),
        (1e14, "100,000,000,000,000"),
        (-1e308, "-1e+308"),
    ],
)
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text


def test_counts_and_instants() -> None:
    assert (count(1, "row"), count(3000, "row")) == ("1 row", "3,000 rows")
    assert (instant(None), instant(datetime(2013, 4, 1, 5, tzinfo=UTC))) == ("", "2013-04-01 05:00")
