"""What a page shows of an artifact's bytes. They are hostile input: what is shown is text, tables or pictures.

HTML that somebody stored is shown in a frame only, where it can run and load nothing. Nothing here runs anything or trusts a name: a suffix chooses among harmless ways to
show, and bytes that do not fit it are shown as text or not at all.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec
from markupsafe import Markup

from slipway.errors import InvalidInput
from slipway.operations.runs import ArtifactContent, Rows
from slipway.server import markdown, notebooks, pictures

__all__ = ["Preview", "is_frame", "is_notebook", "is_page", "looks_like_picture", "of_rows", "preview"]

_MOST_CHARACTERS = 100_000
_MOST_ROWS, _MOST_COLUMNS, _MOST_IN_CELL = 100, 50, 200
_PAGES = frozenset({".html", ".htm", ".xhtml"})
_PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


@dataclass(frozen=True)
class Preview:
    """One artifact as a page shows it.

    Args:
        kind: "image" is shown by the route of images; "html" is markup that was made here; "page" is somebody's own,
            shown in a frame by a route of its own; "none" has only a note.
        html: Of "html": a `Markup`.
        text: Of "text"; of "page" its source.
        head: Of "table": its columns.
        rows: Of "table".
        note: What was left out, or why nothing is shown.
    """

    kind: Literal["image", "html", "page", "table", "text", "none"]
    html: str = ""
    text: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""


def looks_like_picture(name: str) -> bool:
    """Whether a name promises a picture; whether it is one, only its bytes say."""
    return PurePosixPath(name).suffix.lower() in _PICTURE_SUFFIXES


def is_frame(content: ArtifactContent) -> bool:
    """Whether an artifact is a frame whose rows can be asked for."""
    artifact = content.artifact
    return content.is_whole and (artifact.format in ("parquet", "pandas") or artifact.name.lower().endswith(".parquet"))


def is_page(content: ArtifactContent) -> bool:
    """Whether an artifact is a page that is shown in a frame: as its name says, and its bytes do not say otherwise."""
    suffix = PurePosixPath(content.artifact.name).suffix.lower()
    return suffix in _PAGES and b"\0" not in content.data and not pictures.kind_of(content.data)


def is_notebook(name: str) -> bool:
    """Whether a name promises a notebook."""
    return PurePosixPath(name).suffix.lower() == ".ipynb"


def of_rows(found: Rows) -> Preview:
    """The first rows of a frame."""
    return _table(
        [f"{name} ({kind})" for name, kind in zip(found.columns, found.types, strict=True)],
        found.rows,
        has_more=found.has_more,
    )


def preview(content: ArtifactContent) -> Preview:
    """What to show of an artifact."""
    if not content.is_whole:
        return Preview("none", note=content.withheld or "It is too large to be shown here.")
    shown = _whole(content)
    return replace(shown, note=f"{content.withheld} {shown.note}".strip()) if content.withheld else shown


def _whole(content: ArtifactContent) -> Preview:
    artifact, data = content.artifact, content.data
    if pictures.kind_of(data):
        return Preview("image")
    suffix = PurePosixPath(artifact.name).suffix.lower()
    if suffix == ".ipynb":
        return _notebook(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return Preview("none", note=f"There is no preview of this kind of file ({artifact.format}).")
    note = "It is not a picture, whatever its name says." if suffix in _PICTURE_SUFFIXES else ""
    return _worded(text, ".json" if artifact.format == "json" else suffix, artifact.name, note)


def _worded(text: str, suffix: str, name: str, note: str) -> Preview:
    if suffix == ".svg" and (drawn := pictures.drawing(text, name)) is not None:
        return Preview("html", html=drawn)
    if suffix in (".md", ".markdown"):
        html = Markup('<div class="document">{}</div>').format(markdown.to_html(text[:_MOST_CHARACTERS]))
        return Preview("html", html=html, note=_cut(text))
    if suffix in (".csv", ".tsv") and (found := _separated(text, "\t" if suffix == ".tsv" else ",")):
        return found
    if suffix == ".json":
        return _json(text)
    if suffix in _PAGES:
        told = "It is shown in a sandbox: scripts do not run, and nothing is loaded from elsewhere."
        return replace(_text(text, told), kind="page")
    return _text(text, note)


def _text(text: str, note: str = "") -> Preview:
    return Preview("text", text=text[:_MOST_CHARACTERS], note=f"{note} {_cut(text)}".strip())


def _cut(text: str) -> str:
    more = len(text) - _MOST_CHARACTERS
    return f"{more:,} more characters are in the download." if more > 0 else ""


def _notebook(data: bytes) -> Preview:
    try:
        return Preview("html", html=notebooks.to_html(data))
    except InvalidInput as problem:
        return Preview("none", note=f"{problem.what} {problem.fix}")


def _separated(text: str, separator: str) -> Preview | None:
    """Values by rows; None for what no reader of such files takes."""
    try:
        rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), _MOST_ROWS + 2))
    except csv.Error:
        return None
    return _table(rows[0], rows[1:]) if rows else None


def _json(text: str) -> Preview:
    """JSON, set out; of what MLflow stores as a table the table."""
    try:
        value = msgspec.json.decode(text)
        match value:
            case {"columns": list(head), "data": list(rows)} if all(isinstance(row, list) for row in rows):
                return _table(head, rows)
        return _text(msgspec.json.format(text, indent=2))
    except (msgspec.DecodeError, RecursionError):
        return _text(text, "It is no JSON that can be read.")


def _table(head: Sequence[Any], rows: Iterable[Sequence[Any]], *, has_more: bool = False) -> Preview:
    taken = list(islice(rows, _MOST_ROWS + 1))
    shown = taken[:_MOST_ROWS]
    width = max([len(head), *map(len, shown)])
    notes = [f"The first {_MOST_ROWS} rows are shown."] if has_more or len(taken) > _MOST_ROWS else []
    notes += [f"{width - _MOST_COLUMNS:,} more columns are in the download."] if width > _MOST_COLUMNS else []
    return Preview("table", head=_cells(head), rows=tuple(_cells(row) for row in shown), note=" ".join(notes))


def _cells(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple("" if value is None else _cell(str(value)) for value in values[:_MOST_COLUMNS])


def _cell(text: str) -> str:
    return text if len(text) <= _MOST_IN_CELL else f"{text[: _MOST_IN_CELL - 1]}…"
