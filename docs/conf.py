"""How Sphinx makes the site: `make docs-site`. Each warning is an error, and nothing is asked of another host."""

import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

project = "Slipway"
author = "The people of Slipway"
release = re.findall(r'^__version__ = "(.*)"', (HERE.parent / "src/slipway/__init__.py").read_text(), re.MULTILINE)[0]
extensions = ["myst_parser"]
myst_heading_anchors = 5
# A block need not be of one language to its last sign.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"Slipway {release}"
html_static_path = ["_static"]
html_css_files = ["slipway.css"]
html_logo = "_static/slipway.svg"
html_favicon = "_static/icon.svg"
html_copy_source = False
html_use_index = False
html_show_search_summary = False  # it would fetch each page found, which no browser allows from a file
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"sidebar_hide_name": True, "footer_icons": []}


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls first."""
    app.connect("source-read", _outside)
    app.connect("html-page-context", _calm, priority=400)  # before the theme's own, which comes at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _outside(app: Any, page: str, source: list[str]) -> None:
    """Links to files of the repository that are no pages become their paths: the site goes where the repository is not."""
    folder = (HERE / page).parent

    def told(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / link[2]))
        if path.is_relative_to(HERE) or not path.exists():
            return link[0]
        name = path.relative_to(HERE.parent).as_posix()
        return f"`{name}`" if link[1].strip("`") in name else f"{link[1]} (`{name}`)"

    # A list may name pages that are not written yet, by a pattern.
    source[0] = re.sub(
        r"^([\w./-]+)\*\n", lambda line: line[0] if any(folder.glob(f"{line[1]}*.md")) else "", source[0], flags=re.M
    )
    source[0] = re.sub(r"(?<!!)\[([^\]\n]+)\]\((\.\./[^)#\s]+)\)", told, source[0])


def _calm(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The list on the left opens where the page is, and nowhere else; a hundred decisions are listed on their page alone."""
    whole = context.get("toctree")
    if whole is not None:
        depth = 1 if page.startswith("decisions/") else -1
        context["toctree"] = lambda **wanted: whole(**{**wanted, "collapse": True, "maxdepth": depth})
