"""The site of the docs: it builds without a warning, and is read and searched from a file, without a network."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_tab import CHROMIUM, in_a_browser, sync_api

ROOT = Path(__file__).parents[2]
STAMP = ROOT / ".venv" / "stamps" / "docs"
pytestmark = [
    *in_a_browser,
    pytest.mark.skipif(not STAMP.exists(), reason="needs Sphinx in an environment of its own: make .venv/stamps/docs"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    sphinx = ROOT / ".venv" / "docs" / "bin" / "sphinx-build"
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", made / "doctrees"]
    done = subprocess.run([sphinx, *options, ROOT / "docs", made / "html"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return made / "html"


@pytest.fixture
def tab(site: Path) -> Iterator[tuple[Any, list[str]]]:
    """A tab without a network, and what it asked of anything but the site's files or said as an error."""
    wrong: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        context = browser.new_context(offline=True)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda sent: wrong.append(sent.url))
        page.on(
            "request", lambda sent: None if sent.url.startswith((site.as_uri(), "data:")) else wrong.append(sent.url)
        )
        yield page, wrong
        browser.close()


def test_home_is_one_screen_with_a_picture_and_a_way_for_each_role(site: Path, tab: tuple[Any, list[str]]) -> None:
    page, wrong = tab
    page.goto((site / "index.html").as_uri())
    assert page.title().startswith("Slipway")
    for role in ("data scientist", "engineer", "business", "governance"):
        sync_api.expect(page.locator("article td", has_text=role).first).to_be_visible()
    picture = page.locator("article img")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 100
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == []


def test_a_search_finds_a_public_name_and_leads_to_its_signature(site: Path, tab: tuple[Any, list[str]]) -> None:
    page, wrong = tab
    page.goto((site / "gates.html").as_uri())
    page.fill("input.sidebar-search", "endpoint_of")
    page.press("input.sidebar-search", "Enter")
    found = page.locator("ul.search a", has_text="sw.endpoint_of")
    found.first.click()
    page.wait_for_url(f"{(site / 'reference/names/endpoints.html').as_uri()}*")
    sync_api.expect(page.locator("pre", has_text="endpoint_of(").first).to_be_visible()
    assert wrong == []


def test_no_page_names_a_script_style_font_or_picture_elsewhere(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text()
        for tag in ("<script", "<link", "<img", "<iframe", "<source"):
            for piece in text.split(tag)[1:]:
                assert "://" not in piece.partition(">")[0].replace("http://www.w3.org", ""), (path, piece[:120])
        assert "url(http" not in text
        assert "url(//" not in text
