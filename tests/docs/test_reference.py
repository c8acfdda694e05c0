"""The reference pages say what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def _pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


@pytest.mark.parametrize("name", ["commands.md", "names.md", "operations.md", "settings.md", "errors.md", "roles.md"])
def test_reference_pages_are_what_the_code_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    written = (DOCS / "reference" / name).read_text()
    assert written == _pages()[name].rstrip() + "\n", "Type `make docs` and commit what it writes."


def test_links_between_pages_lead_somewhere() -> None:
    pages = [
        DOCS.parent / "README.md",
        DOCS.parent / "CONTRIBUTING.md",
        *DOCS.glob("*.md"),
        *DOCS.glob("decisions/*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_architecture_page_names_every_room() -> None:
    text = (DOCS / "architecture.md").read_text()
    rooms = [path.name for path in (DOCS.parent / "src" / "slipway").iterdir() if (path / "__init__.py").exists()]
    missing = [room for room in rooms if f"{room}/" not in text and room != "code"]
    assert not missing
