"""What went into what, drawn from left to right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.charts.arrows import arrow
from slipway.charts.layout import BOX_HEIGHT, Box, Route, lay_out
from slipway.charts.svg import BOLD, Svg, document, element, label, nothing_to_show, text
from slipway.charts.text import clean, width_of
from slipway.errors import InvalidInput

__all__ = ["Node", "lineage_graph"]

_LETTERS, _KIND_LETTERS = 12.0, 10.0
_NARROWEST, _WIDEST, _PADDING = 76.0, 176.0, 12.0
_KINDS = {
    "table": "#0f8f83",
    "run": "#7c6cd6",
    "artifact": "#6b7f8c",
    "model": "#2f7fd1",
    "bundle": "#b07d12",
    "verdict": "#3f9142",
    "approval": "#b4589a",
    "revision": "#cf5f3c",
    "column": "#0f8f83",
    "request": "#6b7f8c",
    "feature": "#7c6cd6",
    "features": "#7c6cd6",
    "endpoint": "#cf5f3c",
    "prediction": "#b07d12",
}
# A link leads over HTTP or stays on the site: nothing that could be a script.
_LEADS_SOMEWHERE = re.compile(r"(?:https?://|/|\./|\.\./|#|\?)", re.IGNORECASE)


@dataclass(frozen=True)
class Node:
    """A thing in the graph.

    Args:
        id: Unique in the graph: `model:m-0192...`, say.
        kind: table, run, artifact, model, bundle, verdict, approval, revision; column, request, feature, endpoint or
            prediction: written small above the label, each in its colour; any other kind has the colour of the text.
        label: What is written in its box, shortened where it is long; the full one is in the tool tip.
        href: Where a click leads: an address over HTTP or a path; "" and anything else for nowhere.
    """

    id: str
    kind: str
    label: str
    href: str = ""


def lineage_graph(
    nodes: Sequence[Node],
    edges: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    title: str = "Lineage",
    focus: str = "",
) -> str:
    """Boxes, and arrows from each source to what was made of it. No arrow runs behind a box.

    A unit is a pixel, whatever the place: a long lineage is wider than a small screen, and the page lets it scroll.

    Args:
        nodes: The things, in the order in which they should stand where nothing else decides.
        edges: Source and target by id, and the role if it has one. One given twice is drawn once, and none from a node
            to itself. An end that is no node becomes one: `kind:label`, as the ledger writes it. An arrow that would
            close a cycle is dashed and leads back.
        title: What is drawn.
        focus: The id of the node that all this is about, drawn stronger; "" for none.

    Raises:
        InvalidInput: When two nodes have the same id.

    Returns:
        An SVG element.
    """
    known = {node.id: node for node in nodes}
    if len(known) < len(nodes):
        ids = [node.id for node in nodes]
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InvalidInput(
            f"Two nodes of the graph have the id {twice!r}.",
            why="An edge to it could mean either.",
            fix="Give each node once.",
        )
    roles: dict[tuple[str, str], list[str]] = {}
    for source, target, *role in edges:
        roles.setdefault((source, target), []).extend(role)
        for end in (source, target):
            known.setdefault(end, Node(end, *_named(end)))
    if not known:
        return nothing_to_show("lineage", title, "no links are recorded")
    layout = lay_out({name: _width(node) for name, node in known.items()}, list(roles))
    arrows = [_arrow(route, known, roles[route.source, route.target]) for route in layout.routes]
    boxes = [_box(node, layout.boxes[name], is_focus=name == focus) for name, node in known.items()]
    return document(
        "lineage",
        title,
        layout.height,
        *arrows,
        *boxes,
        width=layout.width,
        description=_told(list(known.values()), len(layout.routes)),
        is_fixed=True,
    )


def _named(identity: str) -> tuple[str, str]:
    """Kind and label of a node that is known by its id alone."""
    kind, colon, rest = identity.partition(":")
    return (kind, rest) if colon and rest else ("", identity)


def _width(node: Node) -> float:
    needed = (
        max(width_of(clean(node.label), _LETTERS * BOLD), width_of(clean(node.kind), _KIND_LETTERS)) + 2 * _PADDING + 1
    )
    return min(_WIDEST, max(_NARROWEST, needed))


def _told(nodes: Sequence[Node], links: int) -> str:
    kinds = list(dict.fromkeys(node.kind or "other" for node in nodes))
    counts = ", ".join(f"{sum((node.kind or 'other') == kind for node in nodes)} {kind}" for kind in kinds)
    return f"{len(nodes)} nodes ({counts}) and {links} {'link' if links == 1 else 'links'}, from left to right"


def _arrow(route: Route, nodes: dict[str, Node], roles: Sequence[str]) -> Svg:
    role = ", ".join(dict.fromkeys(filter(None, roles)))
    return arrow(route, f"{nodes[route.source].label} → {nodes[route.target].label}" + (f": {role}" if role else ""))


def _box(node: Node, box: Box, *, is_focus: bool) -> Svg:
    kind = clean(node.kind)
    colour = f"var(--kind-{kind}, {_KINDS[kind]})" if kind in _KINDS else "currentColor"
    room, inner = box.width - 2 * _PADDING, box.x + _PADDING
    body = element(
        "rect",
        class_="box",
        x=box.x,
        y=box.y,
        width=box.width,
        height=box.height,
        rx=7,
        fill=colour,
        fill_opacity="0.22" if is_focus else "0.1",
        stroke=colour,
        stroke_width=2.2 if is_focus else 1.2,
    )
    words = [label(node.label, inner, box.y + BOX_HEIGHT - 10.5, room=room, size=_LETTERS, weight="600")]
    if kind:
        words.insert(0, label(kind, inner, box.y + 15.5, room=room, size=_KIND_LETTERS, quiet=True))
    else:
        words = [label(node.label, inner, box.y + BOX_HEIGHT / 2 + 4, room=room, size=_LETTERS, weight="600")]
    told = element("title", text(f"{kind} {node.label}".strip()))
    if not _LEADS_SOMEWHERE.match(node.href):
        return element("g", told, body, *words, class_="node")
    return element("a", told, body, *words, class_="node", href=node.href)
