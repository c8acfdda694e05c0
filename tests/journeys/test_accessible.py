"""Every page as people need it who cannot see, point or wait: axe-core finds nothing serious, light or dark, wide or narrow."""

import re
from pathlib import Path

import pytest
from test_pages import PAGES

from browser_tab import browsed, in_a_browser, photograph
from filled_store import fill
from slipway.ports.workspace import Workspace

axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs axe: make test-all installs it"
)
pytestmark = in_a_browser
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""Where each page is kept as it looked, for people."""

ONLY_CONTRAST = {"runOnly": ["color-contrast"]}


def faults(tab: object, options: dict[str, object] | None = None) -> list[str]:
    """What axe-core calls serious or critical, each with the first elements that have it."""
    found = axe_playwright.Axe().run(tab, options=options).response["violations"]
    return [
        f"{one['id']}: {one['help']}: " + "; ".join(node["html"][:160] for node in one["nodes"][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def named(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:80] or "home"


@pytest.mark.parametrize("width", [pytest.param(400, marks=pytest.mark.long), 1600])
def test_no_page_keeps_anybody_out_or_is_wider_than_the_window(workspace: Workspace, width: int) -> None:
    fill(workspace)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    wrong: dict[str, list[str]] = {}
    with browsed(workspace.root) as (tab, address, _):
        tab.set_viewport_size({"width": width, "height": 900})
        for path in [*PAGES, "/login", "/nothing"]:
            tab.goto(f"{address}{path}")
            tab.emulate_media(color_scheme="light")
            photograph(tab, SCREENSHOTS / f"{named(path)}-{width}.png")
            found = faults(tab)
            wide = tab.evaluate("document.documentElement.scrollWidth")
            found += [f"it is {wide} pixels wide"] if wide > width else []
            tab.emulate_media(color_scheme="dark")
            found += [f"dark, {one}" for one in faults(tab, ONLY_CONTRAST)]
            if found:
                wrong[path] = found
    assert not wrong, "\n".join(f"{path}: {one}" for path, found in wrong.items() for one in found)


def test_a_page_is_walked_by_keyboard(workspace: Workspace) -> None:
    """The first Tab leads past the menu; the search box, the menu of narrow windows and links are reached without a mouse."""
    fill(workspace)
    with browsed(workspace.root) as (tab, address, wrong):
        tab.goto(f"{address}/projects/flights/runs")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
        tab.keyboard.press("Enter")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.closest('main') !== null")
        tab.keyboard.press("/")
        assert tab.evaluate("document.activeElement.name") == "where"
        tab.keyboard.type("state = 'failed'")
        tab.keyboard.press("Enter")
        tab.wait_for_url(re.compile("where="))
        tab.set_viewport_size({"width": 400, "height": 900})
        tab.get_by_role("button", name="Menu").focus()
        tab.keyboard.press("Enter")
        tab.get_by_role("link", name="Models").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_url(re.compile("/models$"))
        assert wrong == []
