"""The arrows of drawn graphs: curves across the gaps, straight lines along the lanes, and a head at the target's side."""

from itertools import pairwise

from slipway.charts.layout import Route
from slipway.charts.svg import Svg, coordinate, element, text

__all__ = ["arrow"]


def arrow(route: Route, told: str, *, is_faint: bool = False) -> Svg:
    """The arrow along a route; one that leads back is dashed.

    Args:
        route: Where it leads along.
        told: What it says to who points at it.
        is_faint: Whether it is dotted: what it leads to has not happened yet.
    """
    corners = route.corners
    path = f"M{_point(*corners[0])}"
    for index, ((x0, y0), (x1, y1)) in enumerate(pairwise(corners)):
        middle = (x0 + x1) / 2
        is_straight = index % 2 or abs(y0 - y1) < 0.05
        path += f"H{coordinate(x1)}" if is_straight else f"C{_point(middle, y0)} {_point(middle, y1)} {_point(x1, y1)}"
    x, y = corners[-1]
    is_back = corners[0][0] > x
    base = x + (7.0 if is_back else -7.0)
    dash = "2 4" if is_faint else "5 4" if is_back else None
    return element(
        "g",
        element("title", text(told)),
        element(
            "path",
            class_="edge",
            d=path,
            fill="none",
            stroke="currentColor",
            stroke_width=1.3,
            stroke_dasharray=dash,
        ),
        element("path", d=f"M{_point(base, y - 3.5)}L{_point(x, y)}L{_point(base, y + 3.5)}Z"),
        opacity="0.55",
    )


def _point(x: float, y: float) -> str:
    return f"{coordinate(x)} {coordinate(y)}"
