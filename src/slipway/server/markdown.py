"""The Markdown that cards, notes and notebooks are written in, as HTML.

Headings, paragraphs, lists, tables, emphasis, code and fenced code. Everything is escaped first; links and raw HTML stay
text.
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
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_NUMBERED = re.compile(r"\d{1,9}[.)] +")
_RULE = re.compile(r"\|?[\s:|-]+\|?\Z")


def to_html(text: str) -> Markup:
    """Markdown as HTML. A heading of level 1 becomes level 3, so that a card stands below a page's own headings."""
    blocks = []
    for fenced, lines in _fenced(text.splitlines()):
        if fenced:
            blocks.append(Markup("<pre>{}</pre>").format("\n".join(lines)))
        else:
            blocks += [_block(kind, list(some)) for kind, some in groupby(lines, _kind) if kind != "blank"]
    return Markup("\n").join(blocks)


def _fenced(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """The lines in stretches, those between fences apart; a fence that is not closed runs to the end."""
    found: list[tuple[bool, list[str]]] = [(False, [])]
    fence = ""
    for line in lines:
        begun = _FENCE.match(line)
        if fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
            found.append((False, []))
        elif not fence and begun:
            fence = begun.group(1)
            found.append((True, []))
        else:
            found[-1][1].append(line)
    return found


def _kind(line: str) -> str:
    bare = line.strip()
    if not bare:
        return "blank"
    if _HEADING.match(bare):
        return "heading"
    if bare.startswith(("- ", "* ")):
        return "list"
    if _NUMBERED.match(bare):
        return "numbered"
    return "table" if bare.startswith("|") else "text"


def _block(kind: str, lines: list[str]) -> Markup:
    if kind == "heading":
        return Markup("\n").join(_heading(line.strip()) for line in lines)
    if kind == "list":
        items = Markup().join(Markup("<li>{}</li>").format(_inline(line.strip()[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    if kind == "numbered":
        items = Markup().join(
            Markup("<li>{}</li>").format(_inline(_NUMBERED.sub("", line.strip(), count=1))) for line in lines
        )
        return Markup("<ol>{}</ol>").format(items)
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
