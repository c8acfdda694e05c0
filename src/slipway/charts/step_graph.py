"""The steps of a run, drawn from left to right, each with how it stands: told by a word, a mark and a colour."""

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.charts.arrows import arrow
from slipway.charts.layout import BOX_HEIGHT, Box, lay_out
from slipway.charts.svg import BOLD, Svg, document, element, label, nothing_to_show, text
from slipway.charts.text import clean, width_of

__all__ = ["STATES", "StepNode", "step_graph"]

_LETTERS, _STATE_LETTERS = 12.0, 10.5
_NARROWEST, _WIDEST, _PADDING, _MARK = 92.0, 200.0, 10.0, 16.0


@dataclass(frozen=True)
class _Look:
    word: str
    mark: str
    colour: str
    dash: str | None = None
    width: float = 1.3


STATES = {
    "finished": _Look("ran", "✓", "var(--good, #3f9142)"),
    "cached": _Look("found stored", "↺", "var(--calm, #5d7fa3)", dash="6 3"),
    "failed": _Look("failed", "✕", "var(--bad, #cf5f3c)", width=2.6),
    "running": _Look("running", "▶", "var(--accent, #2f7fd1)", width=2.2),
    "waiting": _Look("waiting", "…", "var(--warn, #b07d12)", dash="3 3"),
    "cancelled": _Look("did not begin", "-", "currentColor", dash="2 4"),
    "to come": _Look("to come", "○", "currentColor", dash="1 4"),
}
"""By the state of a step: the word, the mark before it, and the colour and stroke of the box."""


@dataclass(frozen=True)
class StepNode:
    """A step in the graph: one call of it, or all of many.

    Args:
        id: Unique in the graph.
        name: What is written in its box.
        state: One of `STATES`.
        note: Beside the state: how long, how many.
        href: Where a click leads; "" for nowhere.
    """

    id: str
    name: str
    state: str
    note: str = ""
    href: str = ""


def step_graph(nodes: Sequence[StepNode], edges: Sequence[tuple[str, str]], *, title: str = "Steps") -> str:
    """Boxes of steps, and arrows from each to those that took its result.

    A unit is a pixel: a long pipeline is wider than a small screen, and the page lets it scroll.

    Args:
        nodes: The steps, in the order of their calls.
        edges: From which to which, by id.
        title: What is drawn.

    Returns:
        An SVG element.
    """
    if not nodes:
        return nothing_to_show("steps", title, "no step was called yet")
    known = {node.id: node for node in nodes}
    layout = lay_out({node.id: _width(node) for node in nodes}, [pair for pair in edges if set(pair) <= known.keys()])
    arrows = [
        arrow(
            route,
            f"{known[route.target].name} takes what {known[route.source].name} gave",
            is_faint=known[route.target].state == "to come",
        )
        for route in layout.routes
    ]
    boxes = [_box(node, layout.boxes[node.id]) for node in nodes]
    return document(
        "steps",
        title,
        layout.height,
        *arrows,
        *boxes,
        width=layout.width,
        description="; ".join(f"{clean(node.name)}: {_said(node)}" for node in nodes),
        is_fixed=True,
    )


def _said(node: StepNode) -> str:
    return ", ".join(filter(None, (STATES[node.state].word, clean(node.note))))


def _width(node: StepNode) -> float:
    widest = max(
        width_of(clean(node.name), _LETTERS * BOLD),
        _MARK + width_of(_said(node), _STATE_LETTERS),
    )
    return min(_WIDEST, max(_NARROWEST, widest + 2 * _PADDING + 1))


def _box(node: StepNode, box: Box) -> Svg:
    look = STATES[node.state]
    is_faint = node.state in ("to come", "cancelled")
    body = element(
        "rect",
        class_="box",
        x=box.x,
        y=box.y,
        width=box.width,
        height=box.height,
        rx=7,
        fill=look.colour,
        fill_opacity="0.02" if is_faint else "0.1",
        stroke=look.colour,
        stroke_width=look.width,
        stroke_dasharray=look.dash,
    )
    left, room = box.x + _PADDING, box.width - 2 * _PADDING
    words = [
        label(node.name, left, box.y + 16.5, room=room, size=_LETTERS, weight="600"),
        element("text", text(look.mark), x=left, y=box.y + BOX_HEIGHT - 8, font_size=_STATE_LETTERS, fill=look.colour),
        label(_said(node), left + _MARK, box.y + BOX_HEIGHT - 8, room=room - _MARK, size=_STATE_LETTERS),
    ]
    told = element("title", text(f"{node.name}: {_said(node)}"))
    if not node.href.startswith(("/", "#")):
        return element("g", told, body, *words, class_="node")
    return element("a", told, body, *words, class_="node", href=node.href, aria_label=f"{node.name}: {_said(node)}")
