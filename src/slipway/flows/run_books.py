"""Run books: what to do about an incident, one page a kind of cause, in docs/runbook/."""

from __future__ import annotations

import re
from pathlib import Path

from slipway.errors import NotFound, near

__all__ = ["kinds", "page_of", "run_book"]

_HERE = Path(__file__).resolve().parents[1]
_FOLDERS = (_HERE / "runbook", _HERE.parents[1] / "docs" / "runbook")
"""In a wheel, and in a checkout."""

_OTHER = "other"


def kinds() -> list[str]:
    """The names of the pages."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.md")})


def page_of(cause: str) -> str:
    """The name of the page about a kind of cause; that of all others where it has none."""
    name = re.sub(r"[^a-z0-9]+", "-", cause.lower()).strip("-")
    return name if name in kinds() else _OTHER


def run_book(name: str) -> str:
    """A run book, Markdown.

    Raises:
        NotFound: There is none of that name.
    """
    known = kinds()
    if name not in known:
        raise NotFound(f"There is no run book {name!r}.", fix=near(name, known, what="run books"))
    path = next(path for folder in _FOLDERS if (path := folder / f"{name}.md").is_file())
    return path.read_text("utf-8")
