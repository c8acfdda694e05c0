"""Documents as Markdown, and as one HTML page without anything from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from slipway.records.documents import Document, DocumentField

__all__ = ["front_matter", "html", "markdown"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
_LIKE_VALUES = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_SPECIAL = re.compile(r"([\\`*\[<>|])")
_LEADING = re.compile(r"^(?=#|~|[-+=](\s|[-=]*$))")
_STYLE = """
:root { color-scheme: light; --ink: #1d2a30; --quiet: #5d6b72; --line: #dedbd2; }
body { margin: 0 auto; max-width: 52rem; padding: 1rem 1.2rem 3rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } p, ul { margin: .3rem 0; }
.state { font-size: .8rem; font-weight: 500; padding: 0 .5em; border-radius: 99px; border: 1px solid; white-space: nowrap; }
.auto { color: #2b6b45; } .asked { color: #3f5a73; } .missing { color: #a1352c; } .stale { color: #7a5a12; }
.quiet { color: var(--quiet); font-size: .86rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); }
.simulated { color: #7a5a12; font-weight: 600; }
@media print { body { font-size: 11pt; max-width: none; padding: 0; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def markdown(document: Document) -> str:
    """As Markdown, with its metadata as YAML in front where it has some. What people wrote is text, and no markup."""
    lines = [*front_matter(document.metadata), f"# {_text(document.title)}", "", _text(document.lead), ""]
    if document.simulated:
        lines += [f"***SIMULATED***: made-up rows of {_text(', '.join(document.simulated))} are behind it.", ""]
    lines += [document.summary, ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for field in section.fields:
            lines += _field(field)
    return "\n".join(lines).rstrip() + "\n"


def _field(field: DocumentField) -> Iterator[str]:
    yield f"### {field.title} ({field.state}{', stale' if field.is_stale else ''})"
    yield ""
    if field.state == "missing" and field.question:
        yield f"*{field.question}* Not answered yet."
        yield ""
    elif field.text:
        yield from (_text(line) for line in field.text.splitlines())
        yield ""
    if field.items:
        yield from (f"- {_text(item)}" for item in field.items)
        yield ""
    if field.head:
        yield f"| {' | '.join(_text(cell) for cell in field.head)} |"
        yield "|" + "---|" * len(field.head)
        yield from (f"| {' | '.join(_text(cell) for cell in row)} |" for row in field.rows)
        yield ""
    if field.stale:
        yield f"**Stale:** {_text(field.stale)}"
        yield ""
    if field.fix:
        yield f"What to do: {_text(field.fix)}"
        yield ""
    if told := field.source:
        yield f"*{_text(told)}*"
        yield ""


def _text(text: str) -> str:
    """Text that Markdown shows as it is, also at the beginning of a line."""
    return _LEADING.sub(r"\\", _SPECIAL.sub(r"\\\1", " ".join(text.split())))


def front_matter(values: Mapping[str, object]) -> list[str]:
    """Values as YAML between two lines of dashes; [] for none."""
    return ["---", *_yaml(values, ""), "---", ""] if values else []


def _yaml(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _under(f"{indent}{_scalar(key)}:", one, indent + "  ")
    elif isinstance(value, Sequence):
        for one in value:
            if isinstance(one, Mapping):
                first, *rest = _yaml(one, indent + "  ")
                yield f"{indent}- {first.strip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(one)}"


def _under(head: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
        yield head if value else f"{head} {'{}' if isinstance(value, Mapping) else '[]'}"
        yield from _yaml(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: object) -> str:
    """A plain word as it is, anything else as JSON, which YAML 1.2 reads alike."""
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _LIKE_VALUES:
        return value
    return json.dumps(value, ensure_ascii=False)


def html(document: Document) -> str:
    """As one page of HTML that needs nothing else and can be printed."""
    parts = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(document.title)}</h1>", f"<p>{escape(document.lead)}</p>",
    ]  # fmt: skip
    if document.simulated:
        made_up = escape(", ".join(document.simulated))
        parts.append(f'<p class="simulated">SIMULATED: made-up rows of {made_up} are behind it.</p>')
    parts.append(f'<p class="quiet">{escape(document.summary)}</p>')
    for section in document.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [line for field in section.fields for line in _html_field(field)]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _html_field(field: DocumentField) -> Iterator[str]:
    stale = ' <span class="state stale">stale</span>' if field.is_stale else ""
    yield f'<h3>{escape(field.title)} <span class="state {field.state}">{field.state}</span>{stale}</h3>'
    if field.state == "missing" and field.question:
        yield f"<p><em>{escape(field.question)}</em> Not answered yet.</p>"
    elif field.text:
        yield f"<p>{'<br>'.join(escape(line) for line in field.text.splitlines())}</p>"
    if field.items:
        yield f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in field.items)}</ul>"
    if field.head:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in field.head)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in field.rows)
        yield f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    if field.stale:
        yield f'<p class="stale">{escape(field.stale)}</p>'
    if field.fix:
        yield f'<p class="quiet">What to do: {escape(field.fix)}</p>'
    if told := field.source:
        yield f'<p class="quiet">{escape(told)}</p>'
