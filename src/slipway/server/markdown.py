"""The Markdown that model cards are written in, as HTML: headings, paragraphs, lists, tables, emphasis, code.

Everything is escaped first; links and raw HTML stay text.
"""

import re
from itertools import groupby

from markupsafe import Markup, escape

__all__ = ["to_html"]

_INLINE = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*]+)\*"), r"<em>\1</em>"),
)
_HEADING = re.compile(r"(#{1,4}) +(.*)")
_RULE = re.compile(r"\|?[\s:|-]+\|?\Z")


def to_html(text: str) -> Markup:
    """Markdown as HTML. A heading of level 1 becomes level 3, so that a card stands below a page's own headings."""
    blocks = []
    for kind, lines in groupby(text.splitlines(), _kind):
        if kind != "blank":
            blocks.append(_block(kind, list(lines)))
    return Markup("\n").join(blocks)


def _kind(line: str) -> str:
    bare = line.strip()
    if not bare:
        return "blank"
    if _HEADING.match(bare):
        return "heading"
    if bare.startswith(("- ", "* ")):
        return "list"
    return "table" if bare.startswith("|") else "text"


def _block(kind: str, lines: list[str]) -> Markup:
    if kind == "heading":
        return Markup("\n").join(_heading(line.strip()) for line in lines)
    if kind == "list":
        items = Markup().join(Markup("<li>{}</li>").format(_inline(line.strip()[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    if kind == "table":
        return _table(lines)
    return Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _heading(line: str) -> Markup:
    marks, _, title = line.partition(" ")
    level = min(len(marks) + 2, 6)
    return Markup("<h{0}>{1}</h{0}>").format(level, _inline(title.strip()))


def _table(lines: list[str]) -> Markup:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not _RULE.match(line)]
    if not rows:
        return Markup()
    head = Markup().join(Markup("<th>{}</th>").format(_inline(cell)) for cell in rows[0])
    body = Markup().join(
        Markup("<tr>{}</tr>").format(Markup().join(Markup("<td>{}</td>").format(_inline(cell)) for cell in row))
        for row in rows[1:]
    )
    return Markup('<div class="wide"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        head, body
    )


def _inline(text: str) -> Markup:
    safe = str(escape(text))
    for pattern, replacement in _INLINE:
        safe = pattern.sub(replacement, safe)
    return Markup(safe)
