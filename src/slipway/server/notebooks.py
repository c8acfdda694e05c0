"""Notebooks as HTML: text through the house's own Markdown, code escaped, outputs as text and pictures.

Whatever is in a notebook was written by somebody else: its HTML is never rendered, only offered as text. Source: the
format of Jupyter notebooks, nbformat 4.5.
"""

import re
from base64 import b64decode
from binascii import Error
from typing import Any

import msgspec
from markupsafe import Markup
from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.hashing import digest
from slipway.server import markdown, pictures

__all__ = ["Cell", "cells_of", "printed", "to_html"]

_MOST_CELLS = 500
_MOST_OUTPUTS = 50
_MOST_CHARACTERS = 20_000
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_Text = str | list[str]


class _Output(Struct):
    output_type: str = ""
    name: str = ""
    text: _Text = ""
    data: dict[str, Any] = {}
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []


class Cell(Struct):
    """A cell of a notebook as its file has it."""

    cell_type: str
    source: _Text = ""
    outputs: list[_Output] = []
    execution_count: int | None = None

    @property
    def text(self) -> str:
        """Its source."""
        return _joined(self.source)


class _Notebook(Struct):
    nbformat: int
    cells: list[Cell] = []


def cells_of(data: bytes) -> list[Cell]:
    """A notebook's cells in order.

    Raises:
        InvalidInput: It is no notebook of format 4.
    """
    try:
        notebook = msgspec.json.decode(data, type=_Notebook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InvalidInput(f"It is no notebook: {problem}.", fix="Download it to look at what it is.") from problem
    if notebook.nbformat != 4:
        raise InvalidInput(
            f"It is a notebook of format {notebook.nbformat}, and format 4 is shown.",
            fix="Download it, and open it with Jupyter, which brings it to format 4.",
        )
    return notebook.cells


def to_html(data: bytes) -> Markup:
    """A notebook's cells in order, as HTML.

    Raises:
        InvalidInput: It is no notebook of format 4.
    """
    cells = cells_of(data)
    parts = [_cell(cell) for cell in cells[:_MOST_CELLS]]
    if len(cells) > _MOST_CELLS:
        parts.append(_left_out(len(cells) - _MOST_CELLS, "cells"))
    return Markup('<div class="notebook">{}</div>').format(Markup("\n").join(parts))


def _cell(cell: Cell) -> Markup:
    source = _joined(cell.source)
    if cell.cell_type == "markdown":
        return Markup('<div class="document">{}</div>').format(markdown.to_html(source[:_MOST_CHARACTERS]))
    if cell.cell_type != "code":
        return _pre(source)
    count = "" if cell.execution_count is None else cell.execution_count
    outputs = [_output(output) for output in cell.outputs[:_MOST_OUTPUTS]]
    if len(cell.outputs) > _MOST_OUTPUTS:
        outputs.append(_left_out(len(cell.outputs) - _MOST_OUTPUTS, "outputs"))
    return Markup('<div class="cell"><span class="place">[{}]</span><div>{}{}</div></div>').format(
        count, _pre(source, "code"), Markup().join(outputs)
    )


def printed(cell: Cell) -> str:
    """What a cell printed and gave, as text; a picture is told by its size alone."""
    return "\n".join(filter(None, (_said(output).rstrip("\n") for output in cell.outputs[:_MOST_OUTPUTS])))


def _said(output: _Output) -> str:
    if output.output_type == "stream":
        return _ESCAPE.sub("", _joined(output.text))
    if output.output_type == "error":
        return _ESCAPE.sub("", f"{output.ename}: {output.evalue}")
    pictures_there = [
        f"[{kind}, {len(_joined(value)):,} characters, {digest(_joined(value).encode())[:12]}]"
        for kind, value in sorted(output.data.items())
        if kind.startswith("image/")
    ]
    return "\n".join([*pictures_there, *filter(None, [_ESCAPE.sub("", _joined(output.data.get("text/plain", "")))])])


def _output(output: _Output) -> Markup:
    if output.output_type == "stream":
        return _pre(_joined(output.text), "errors" if output.name == "stderr" else "output")
    if output.output_type == "error":
        told = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
        return _pre(told, "errors")
    return _shown(output.data)


def _shown(data: dict[str, Any]) -> Markup:
    """The richest form of a result that is harmless, and its HTML as text."""
    plain = _joined(data.get("text/plain", ""))
    for kind in _PICTURES:
        picture = _picture(_joined(data.get(kind, "")), plain)
        if picture is not None:
            return picture
    drawing = _joined(data.get("image/svg+xml", ""))
    if drawing and (drawn := pictures.drawing(drawing, plain[:200] or "drawing")) is not None:
        return Markup('<div class="output">{}</div>').format(drawn)
    if text := _joined(data.get("text/markdown", "")):
        return Markup('<div class="output document">{}</div>').format(markdown.to_html(text[:_MOST_CHARACTERS]))
    page = _joined(data.get("text/html", ""))
    shown = _pre(plain, "output") if plain or not data else Markup()
    if page:
        return Markup("{}<details><summary>Its HTML, as text</summary>{}</details>").format(shown, _pre(page))
    if not plain and data:
        return Markup('<p class="quiet">An output of {}, which is not shown.</p>').format(", ".join(sorted(data))[:200])
    return shown


def _picture(text: str, title: str) -> Markup | None:
    if not text:
        return None
    try:
        data = b64decode("".join(text.split()), validate=True)
    except (Error, ValueError):
        return None
    picture = pictures.inline(data, title[:200] or "picture")
    return picture and Markup('<div class="output">{}</div>').format(picture)


def _pre(text: str, kind: str = "") -> Markup:
    plain = _ESCAPE.sub("", text)
    more = len(plain) - _MOST_CHARACTERS
    note = _left_out(more, "characters") if more > 0 else ""
    shown = Markup("<pre{}>{}</pre>{}")
    return shown.format(Markup(' class="{}"').format(kind) if kind else "", plain[:_MOST_CHARACTERS], note)


def _left_out(number: int, what: str) -> Markup:
    return Markup('<p class="quiet">{} more {} are in the download.</p>').format(f"{number:,}", what)


def _joined(text: Any) -> str:
    """A text of a notebook: a string, or lines; "" for what is none."""
    if isinstance(text, list):
        return "".join(line for line in text if isinstance(line, str))
    return text if isinstance(text, str) else ""
