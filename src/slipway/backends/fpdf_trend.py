"""Drawings on a sheet of fpdf2: how a figure went, period by period, as lines and not as pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

from fpdf import FPDF

from slipway.records.documents import Trend

__all__ = ["HEIGHT_MM", "draw_trend"]

HEIGHT_MM = 52.0
"""What a picture takes on the page."""

_LINE, _BAND, _LEVEL, _GRID, _QUIET = (39, 111, 134), (214, 230, 235), (161, 53, 44), (222, 228, 230), (93, 107, 114)
_MOST_LABELS = 7


def draw_trend(sheet: FPDF, trend: Trend, font: str, known: Callable[[str], str]) -> None:
    """Draw it where the sheet stands, over its whole width, and go below it.

    Args:
        sheet: With at least `HEIGHT_MM` left on its page.
        trend: At least two points.
        font: Of its words.
        known: Makes of a text what the font can show.
    """
    top, left, right = sheet.get_y() + 9.0, sheet.l_margin + 14.0, sheet.w - sheet.r_margin
    bottom = sheet.get_y() + HEIGHT_MM - 9.0
    ends = [one for point in trend.points for one in (point.value, point.low, point.high) if one is not None]
    ends = [one for one in (*ends, *(level for _, level in trend.levels)) if math.isfinite(one)]
    low, high = min(ends), max(ends)
    span = high - low or abs(high) or 1.0

    def at(value: float) -> float:
        return bottom - (min(max(value, low), high) - low) / span * (bottom - top)

    def over(place: int) -> float:
        return left + 3.0 + place / (len(trend.points) - 1) * (right - left - 6.0)

    def say(text: str, x: float, y: float, align: str, colour: tuple[int, int, int] = _QUIET) -> None:
        sheet.set_font(font, "", 7.5)
        sheet.set_text_color(*colour)
        shown = known(text)
        width = sheet.get_string_width(shown)
        sheet.text(x - {"L": 0.0, "C": width / 2, "R": width}[align], y, shown)

    say(trend.title, sheet.l_margin, sheet.get_y() + 4.0, "L")
    sheet.set_line_width(0.2)
    sheet.set_draw_color(*_GRID)
    for value, name in trend.ticks:
        sheet.line(left, at(value), right, at(value))
        say(name, left - 2.0, at(value) + 1.0, "R")
    _draw_line(sheet, trend, at, over)
    for name, value in trend.levels:
        sheet.set_draw_color(*_LEVEL)
        sheet.set_dash_pattern(dash=1.6, gap=1.2)
        sheet.line(left, at(value), right, at(value))
        sheet.set_dash_pattern()
        first, last = (abs(trend.points[place].value - value) for place in (0, -1))
        x, align = (left + 1.0, "L") if first > last else (right, "R")  # where the line is farther from it
        say(name, x, at(value) - 1.2, align, _LEVEL)
    stride = math.ceil(len(trend.points) / _MOST_LABELS)
    for place, point in enumerate(trend.points):
        if place % stride == 0:
            say(point.label, min(max(over(place), left + 8.0), right - 8.0), bottom + 5.0, "C")
    sheet.set_y(sheet.get_y() + HEIGHT_MM)


def _draw_line(sheet: FPDF, trend: Trend, at: Callable[[float], float], over: Callable[[int], float]) -> None:
    """The likely range where every point has one, then the line with a dot on each value."""
    upper = [(over(place), at(one.high)) for place, one in enumerate(trend.points) if one.high is not None]
    lower = [(over(place), at(one.low)) for place, one in enumerate(trend.points) if one.low is not None]
    if len(upper) == len(lower) == len(trend.points):
        sheet.set_fill_color(*_BAND)
        sheet.polygon([*upper, *reversed(lower)], style="F")
    places = [(over(place), at(one.value)) for place, one in enumerate(trend.points)]
    sheet.set_draw_color(*_LINE)
    sheet.set_fill_color(*_LINE)
    sheet.set_line_width(0.6)
    sheet.polyline(places)
    for x, y in places:
        sheet.circle(x, y, 0.9, style="F")
    sheet.set_line_width(0.2)
    sheet.set_fill_color(255)
