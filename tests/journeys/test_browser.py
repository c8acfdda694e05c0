"""Pages in a real browser: every page is reached by its links, nothing leaves the machine, nothing is complained of."""

import shutil
from collections.abc import Iterator

import pytest

from filled_store import fill
from hosts_up import up
from slipway.ports.workspace import Workspace

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-all installs it")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture
def page(workspace: Workspace) -> Iterator[tuple[object, str, list[str]]]:
    fill(workspace)
    wrong: list[str] = []
    with up(workspace.root) as (address, _), sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else wrong.append(sent.url))
        page.on("response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None)
        yield page, address, wrong
        browser.close()


def test_a_person_walks_from_home_to_the_lineage_of_what_serves(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(address)
    tab.get_by_role("link", name="flights", exact=True).first.click()
    assert tab.get_by_role("heading", name="Endpoints").is_visible()
    tab.get_by_role("link", name="Models").first.click()
    tab.locator("main a[href$='/models/flight-delays/1']").first.click()
    assert tab.get_by_role("heading", name="Verdict").is_visible()
    picture = tab.locator("figure svg").first
    assert picture.is_visible()
    assert "bundle" in picture.inner_html()
    tab.get_by_role("link", name="Runs").first.click()
    tab.locator("main a[href*='/runs/']").first.click()
    assert tab.locator("h1").is_visible()
    tab.get_by_role("link", name="Tables").first.click()
    tab.get_by_role("link", name="Audit").first.click()
    assert tab.locator("main").inner_text()
    assert wrong == []


def test_a_business_person_finds_what_retraining_was_worth_and_why(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(address)
    tab.locator("main a[href*='/simulations/']").first.click()
    assert "69,380 USD" in tab.locator(".lead").inner_text()
    assert tab.locator(".months tbody tr").count() == 9
    assert tab.locator("figure svg").count() == 6
    tab.get_by_role("link", name="promote 1").click()
    assert tab.locator(".story li").count() == 1
    tab.get_by_role("link", name="roll-out", exact=True).first.click()
    assert "/endpoints/flight-delays#rollout-ro1" in tab.url
    assert wrong == []


@pytest.mark.parametrize("width", [400, 1600])
def test_no_page_is_wider_than_the_window(page: tuple[object, str, list[str]], width: int) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.set_viewport_size({"width": width, "height": 900})
    for path in (
        "",
        "projects/flights",
        "projects/flights/models",
        "projects/flights/models/flight-delays/1",
        "projects/flights/endpoints/flight-delays",
        "projects/flights/simulations/flight-delays",
    ):
        tab.goto(f"{address}/{path}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
    assert wrong == []
