"""SVG elements, escaped; and the frame that every drawing shares.

Colours are `currentColor` and CSS variables with a middle tone behind them that is legible on light and dark paper, set
as attributes: a page whose policy forbids inline styles shows them too. A page may set `--accent`, `--series-1` to
`--series-6` and, for lineage, `--kind-<kind>`. No element has an id, so that many drawings stand in one page.
"""

import re
from html import escape
from typing import NewType

from slipway.charts.text import clean, shortened

__all__ = [
    "ACCENT",
    "BOLD",
    "SERIES",
    "SMALL",
    "WIDTH",
    "Svg",
    "coordinate",
    "document",
    "element",
    "heading",
    "label",
    "line",
    "nothing_to_show",
    "stamped",
    "text",
]

Svg = NewType("Svg", str)
"""Markup. Text becomes markup through `text` and `element` only, and the type checker sees to it."""

WIDTH = 400.0
"""Units across a chart: on a column of 400 pixels a unit is a pixel."""
SMALL = 11.0
"""The size of the letters of axes and notes."""
BOLD = 1.1
"""How much wider heavy letters are than plain ones."""
ACCENT = "var(--accent, var(--link, #2f7fd1))"
_TONES = ("#2f7fd1", "#c9771a", "#0f8f83", "#b4589a", "#7c6cd6", "#6f8a1f")
SERIES = tuple(f"var(--series-{place}, {tone})" for place, tone in enumerate(_TONES, 1))
_QUIET = "0.72"
_FRAME = re.compile(
    r'<svg xmlns="(?P<space>[^"]*)" class="(?P<kind>chart [^"]*)" role="(?P<role>img|group)" viewBox="0 0 (?P<width>[\d.]+) (?P<height>[\d.]+)"'
    r' width="(?P<shown>[^"]*)"(?: height="[^"]*")?(?P<rest>[^>]*)>(?P<content>.*?)</svg>',
    re.DOTALL,
)
_STAMP = 12.0
"""How high the line is on which a drawing's stamp stands."""


def coordinate(value: float) -> str:
    """A length or place with one decimal, as short as it goes."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def text(content: str) -> Svg:
    """A text as markup: escaped, and cleaned of what XML forbids."""
    return Svg(escape(clean(content), quote=True))


def element(name: str, /, *content: Svg, **attributes: str | float | None) -> Svg:
    """One element. Attributes keep their order; None leaves one out; `class_` is `class`, and `_` becomes `-`."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = text(value) if isinstance(value, str) else coordinate(value)
            parts.append(f'{key if key == "viewBox" else key.rstrip("_").replace("_", "-")}="{shown}"')
    opening = " ".join(parts)
    return Svg(f"<{opening}>{''.join(content)}</{name}>" if content else f"<{opening}/>")


def label(
    content: str,
    x: float,
    y: float,
    *,
    room: float,
    anchor: str = "start",
    size: float | None = None,
    weight: str | None = None,
    quiet: bool = False,
) -> Svg:
    """A text in the drawing, shortened to its room; the full one is then in its title.

    Args:
        content: Whatever somebody named something.
        x: Where it is anchored.
        y: Its base line.
        room: How wide it may be.
        anchor: "start", "middle" or "end".
        size: Of its letters; None for `SMALL`.
        weight: Of its letters, "600" say.
        quiet: Whether it stands back.
    """
    full = clean(content)
    shown = shortened(full, room, (size or SMALL) * (BOLD if weight else 1))
    return element(
        "text",
        *((element("title", text(full)),) if shown != full else ()),
        text(shown),
        x=x,
        y=y,
        text_anchor=None if anchor == "start" else anchor,
        font_size=size,
        font_weight=weight,
        fill_opacity=_QUIET if quiet else None,
    )


def line(
    start: tuple[float, float],
    end: tuple[float, float],
    *content: Svg,
    stroke: str = "currentColor",
    width: float = 1,
    opacity: str | None = None,
    dash: str | None = None,
) -> Svg:
    """A straight line."""
    return element(
        "line",
        *content,
        x1=start[0],
        y1=start[1],
        x2=end[0],
        y2=end[1],
        stroke=stroke,
        stroke_width=None if width == 1 else width,
        stroke_opacity=opacity,
        stroke_dasharray=dash,
        stroke_linecap="round" if width > 1 and not dash else None,
    )


def document(
    kind: str,
    title: str,
    height: float,
    *content: Svg,
    width: float = WIDTH,
    description: str = "",
    is_fixed: bool = False,
) -> str:
    """The drawing.

    Args:
        kind: Its class, beside `chart`.
        title: What it is called, read aloud in its place.
        height: In units.
        content: What is in it.
        width: In units.
        description: What is to be seen, in a sentence.
        is_fixed: Whether a unit is a pixel always; else the drawing is as wide as its place.
    """
    return element(
        "svg",
        element("title", text(title) or text(kind)),
        *((element("desc", text(description)),) if description else ()),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        class_=f"chart {kind}",
        role="group" if any("<a " in part for part in content) else "img",  # what can be clicked is no picture's part
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        width=width if is_fixed else "100%",
        height=height if is_fixed else None,
        font_family="system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif",
        font_size=SMALL,
        fill="currentColor",
    )


def heading(title: str) -> tuple[Svg, float]:
    """The title at the top of a chart, and the height that it takes; no text where there is none."""
    if not clean(title):
        return Svg(""), 4.0
    return label(title, 0, 13, room=WIDTH, size=13, weight="600"), 24.0


def stamped(markup: str, word: str) -> str:
    """A page or a drawing with a word on each drawing that `document` made: below it, so that it hides nothing.

    It is part of the drawing, and goes along where the drawing is taken from its page.

    Args:
        markup: What was made; all else in it stays as it is.
        word: What each drawing says.
    """

    def stamp(found: re.Match[str]) -> str:
        width, height = float(found["width"]), float(found["height"]) + _STAMP
        said = label(word, width, height - 2, room=width, anchor="end", size=9, weight="600")
        fixed = f' height="{coordinate(height)}"' if found["shown"] != "100%" else ""
        return (
            f'<svg xmlns="{found["space"]}" class="{found["kind"]}" role="{found["role"]}" '
            f'viewBox="0 0 {found["width"]} {coordinate(height)}" width="{found["shown"]}"{fixed}{found["rest"]}>'
            f"{found['content']}{said}</svg>"
        )

    return _FRAME.sub(stamp, markup)


def nothing_to_show(kind: str, title: str, why: str) -> str:
    """The picture of nothing: a frame that says so, and why.

    Args:
        kind: The chart that would have stood here.
        title: Its title.
        why: What was missing, in a few words.
    """
    head, top = heading(title)
    said = f"Nothing to show: {why}"
    frame = element(
        "rect",
        x=0.5,
        y=top + 0.5,
        width=WIDTH - 1,
        height=63,
        rx=6,
        fill="none",
        stroke="currentColor",
        stroke_opacity="0.3",
        stroke_dasharray="4 4",
    )
    note = label(said, WIDTH / 2, top + 36, room=WIDTH - 16, anchor="middle", quiet=True)
    return document(kind, title, top + 64, head, frame, note, description=said)
