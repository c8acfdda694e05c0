"""A score by day of decision: what labels say, hatched where they are still coming in, beside what was estimated before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from slipway.charts.scales import Scale, bottom_axis, left_axis, room_for, spanning
from slipway.charts.svg import (
    ACCENT,
    SERIES,
    WIDTH,
    Svg,
    coordinate,
    document,
    element,
    heading,
    label,
    line,
    nothing_to_show,
    text,
)
from slipway.charts.text import clean, finite, number, width_of

__all__ = ["Cohort", "cohort_chart"]

_TALL = 150.0
_STRIPES = 5.0
_SECOND = SERIES[1]
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Cohort:
    """One day's score.

    Args:
        day: The day of the decisions, or the last one of a window.
        value: The score; one that is None, NaN or infinite leaves the day empty.
        low: Lower end of its interval.
        high: Upper end.
        is_mature: Whether its labels are complete.
        note: What is said of it besides.
    """

    day: date
    value: float | None
    low: float | None = None
    high: float | None = None
    is_mature: bool = True
    note: str = ""


_Plain = tuple[Cohort, float, float | None, float | None]


def cohort_chart(
    realised: Sequence[Cohort],
    estimated: Sequence[Cohort] = (),
    *,
    title: str = "",
    y_label: str = "",
    levels: Mapping[str, float] | None = None,
) -> str:
    """Dots with whiskers by day, full ones where labels are complete, and hollow ones over hatching where they are not.

    Args:
        realised: By labels, in any order.
        estimated: Before labels: a dashed line with its band.
        title: Stands above the chart, and names it.
        y_label: What the score is, with its unit.
        levels: Level lines by name.

    Returns:
        An SVG element.
    """
    dots, guesses = _plain(realised), _plain(estimated)
    if not dots and not guesses:
        return nothing_to_show("cohorts", title, "no day has a score" if realised or estimated else "no days")
    marked = {clean(name): level for name, given in (levels or {}).items() if (level := finite(given)) is not None}
    head, top = heading(title)
    names, top = _legend(dots, bool(guesses), top)
    caption = label(y_label, 0, top + 9, room=WIDTH, quiet=True) if y_label else Svg("")
    top += 22 if y_label else 8
    bottom = top + _TALL
    upright = spanning([*_figures(dots), *_figures(guesses), *marked.values()], bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    days = sorted({one.day for one, *_ in (*dots, *guesses)})
    half = min(9.0, max(1.5, (WIDTH - left) / max(2, (days[-1] - days[0]).days + 1) / 2))
    across = spanning([float(days[0].toordinal()), float(days[-1].toordinal())], left + half + 2, WIDTH - half - 2)
    return document(
        "cohorts",
        title or y_label,
        bottom + 24,
        head,
        names,
        caption,
        *(
            _hatched(across.at(one.day.toordinal()), half, top, bottom)
            for one in {cohort.day: cohort for cohort, *_ in dots if not cohort.is_mature}.values()
        ),
        left_axis(upright, left, WIDTH),
        *(_level(name, level, upright, left) for name, level in marked.items()),
        _band(guesses, across, upright) if guesses else Svg(""),
        *(_dot(one, across, upright) for one in dots),
        bottom_axis([(across.at(day.toordinal()), _named(day)) for day in days], bottom, 0, WIDTH),
        description=_told(dots, guesses),
    )


def _plain(cohorts: Iterable[Cohort]) -> list[_Plain]:
    found = []
    for one in sorted(cohorts, key=lambda cohort: cohort.day):
        value = finite(one.value)
        if value is not None:
            found.append((one, value, finite(one.low), finite(one.high)))
    return found


def _figures(points: Iterable[_Plain]) -> list[float]:
    return [figure for _, *figures in points for figure in figures if figure is not None]


def _named(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _legend(dots: Sequence[_Plain], has_guesses: bool, top: float) -> tuple[Svg, float]:
    """What each mark means, in as many rows as it needs."""
    marks: list[tuple[Svg, str]] = []
    y = top + 6
    if any(one.is_mature for one, *_ in dots):
        marks.append((element("circle", cx=8, cy=y, r=3.6, fill=ACCENT), "labels complete"))
    if any(not one.is_mature for one, *_ in dots):
        marks.append((_hatched(8, 8, y - 6, y + 6), "labels still coming in"))
    if has_guesses:
        guess = line((0, y), (16, y), stroke=_SECOND, width=2, dash="5 3")
        marks.append((guess, "estimated before labels"))
    parts, x = [], 0.0
    for mark, name in marks:
        room = width_of(name, 11.0)
        if x and x + room + 22 > WIDTH:
            x, top = 0.0, top + 17
        drop = top + 6 - y
        place = f"translate({coordinate(x)} {coordinate(drop)})"
        parts.append(element("g", mark, label(name, 22, y + 4, room=WIDTH), transform=place))
        x += room + 40
    return Svg("".join(parts)), top + 20


def _hatched(x: float, half: float, top: float, bottom: float) -> Svg:
    """Stripes over a stretch, drawn one by one: a pattern would need an id."""
    left, right = x - half, x + half
    steps, y = [], top
    while y < bottom + 2 * half:
        x1, y1, x2, y2 = left, y, right, y - 2 * half
        if y1 > bottom:
            x1, y1 = x1 + (y1 - bottom), bottom
        if y2 < top:
            x2, y2 = x2 - (top - y2), top
        if x2 > x1:
            steps.append(f"M{coordinate(x1)} {coordinate(y1)}L{coordinate(x2)} {coordinate(y2)}")
        y += _STRIPES
    return element("path", class_="hatch", d="".join(steps), fill="none", stroke="currentColor", stroke_opacity="0.3")


def _level(name: str, level: float, upright: Scale, left: float) -> Svg:
    drawn = line((left, upright.at(level)), (WIDTH, upright.at(level)), opacity="0.6", dash="4 3")
    return Svg(drawn + label(name, WIDTH, upright.at(level) - 4, room=WIDTH - left, anchor="end", quiet=True))


def _band(points: Sequence[_Plain], across: Scale, upright: Scale) -> Svg:
    places = [(across.at(one.day.toordinal()), upright.at(value)) for one, value, *_ in points]
    bounds = [
        (across.at(one.day.toordinal()), upright.at(low), upright.at(high))
        for one, _, low, high in points
        if low is not None and high is not None
    ]
    parts = []
    if len(bounds) > 1:
        there = "L".join(f"{coordinate(x)} {coordinate(high)}" for x, _, high in bounds)
        back = "L".join(f"{coordinate(x)} {coordinate(low)}" for x, low, _ in reversed(bounds))
        parts.append(element("path", d=f"M{there}L{back}Z", fill=_SECOND, fill_opacity="0.18"))
    middle = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in places)
    parts.append(element("path", d=f"M{middle}", fill="none", stroke=_SECOND, stroke_width=1.8, stroke_dasharray="5 3"))
    for (x, y), point in zip(places, points, strict=True):
        parts.append(
            element("circle", element("title", text(f"estimated, {_said(point)}")), cx=x, cy=y, r=2.2, fill=_SECOND)
        )
    return element("g", *parts)


def _dot(point: _Plain, across: Scale, upright: Scale) -> Svg:
    one, value, low, high = point
    x = across.at(one.day.toordinal())
    parts = [element("title", text(_said(point)))]
    if low is not None and high is not None:
        parts.append(line((x, upright.at(low)), (x, upright.at(high)), stroke=ACCENT, width=2, opacity="0.5"))
    parts.append(
        element(
            "circle",
            cx=x,
            cy=upright.at(value),
            r=3.4,
            fill=ACCENT if one.is_mature else "var(--card, #fff)",
            stroke=ACCENT,
            stroke_width=1.6,
        )
    )
    return element("g", *parts)


def _said(point: _Plain) -> str:
    one, value, low, high = point
    known = "" if low is None or high is None else f", {number(low)} to {number(high)}"
    state = "" if one.is_mature else "; labels are still coming in"
    return f"{_named(one.day)}: {number(value)}{known}{state}{'; ' + clean(one.note) if one.note else ''}"


def _told(dots: Sequence[_Plain], guesses: Sequence[_Plain]) -> str:
    parts = []
    if dots:
        open_ones = sum(not one.is_mature for one, *_ in dots)
        parts.append(
            f"{len(dots)} days by labels, {open_ones} of them with labels still coming in; the last, {_said(dots[-1])}"
        )
    if guesses:
        parts.append(f"{len(guesses)} estimates before labels; the last, {_said(guesses[-1])}")
    return ". ".join(parts)
