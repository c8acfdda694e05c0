"""Strokes: paths through places, the styles by which several are told apart, and their legend."""

from collections.abc import Mapping, Sequence

from slipway.charts.svg import SERIES, SMALL, WIDTH, Svg, coordinate, element, label
from slipway.charts.text import clean, width_of

__all__ = ["Style", "legend", "path", "style_of"]

Style = tuple[str, float, str | None]
"""Colour, width and dash."""

_DASHES = (None, "6 3", "2 4")
_QUIET_DASHES = ("7 4", "2 4")


def style_of(index: int, name: str = "", emphasis: str = "") -> Style:
    """The style of the line at a place; where a name is to be emphasised, its line stands out from all others."""
    colour = SERIES[index % len(SERIES)]
    if emphasis:
        return (colour, 2.6, None) if name == emphasis else (colour, 1.6, _QUIET_DASHES[index % len(_QUIET_DASHES)])
    return colour, 2, _DASHES[index // len(SERIES) % len(_DASHES)]


def path(
    places: Sequence[tuple[float, float] | None], colour: str, *, width: float = 2, dash: str | None = None
) -> Svg:
    """A line through the places, broken at each None; a place alone between gaps is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            runs.append([])
        else:
            runs[-1].append(place)
    steps = [
        "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in (run * 2 if len(run) == 1 else run))
        for run in runs
        if run
    ]
    return element(
        "path",
        d="".join(steps),
        fill="none",
        stroke=colour,
        stroke_width=width,
        stroke_dasharray=dash,
        stroke_linecap="round",
        stroke_linejoin="round",
    )


def legend(styles: Mapping[str, Style], top: float) -> tuple[Svg, float]:
    """The names with their colours, in as many rows as they need, and where it ends; nothing for one without a name."""
    if len(styles) == 1 and not any(map(clean, styles)):
        return Svg(""), top
    parts, x = [], 0.0
    for name, (colour, width, dash) in styles.items():
        room = min(width_of(clean(name), SMALL), 170.0)
        if x and x + room + 24 > WIDTH:
            x, top = 0.0, top + 16
        parts.append(path([(x + 1, top + 6), (x + 17, top + 6)], colour, width=width, dash=dash))
        parts.append(label(name, x + 23, top + 10, room=171))
        x += room + 40
    return Svg("".join(parts)), top + 20
