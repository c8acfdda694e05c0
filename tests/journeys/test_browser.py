"""Pages in a real browser: every page is reached by its links, nothing leaves the machine, nothing is complained of."""

import re
import shutil
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from filled_store import BAD_RUN, GOOD_RUN, fill
from hostile_files import FILES, PAGE
from hosts_up import up
from slipway.ports.workspace import Workspace

RUN = f"projects/flights/runs/{GOOD_RUN}"
BROKEN_IN = re.compile("broken in|1")  # what scripts in hostile files make of a page's title
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
    assert tab.get_by_role("heading", name="Verdict", exact=True).is_visible()
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


def test_a_person_compares_two_runs_and_looks_at_a_picture(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(f"{address}/projects/flights/runs?all=1")
    for box in tab.get_by_role("checkbox").all():
        box.check()
    tab.get_by_role("button", name="Compare the chosen").click()
    assert tab.get_by_role("heading", name="2 runs side by side").is_visible()
    assert tab.locator("figure svg").count() == 3
    tab.get_by_role("link", name="release").click()
    assert tab.locator("figure svg").count() == 3
    picture = tab.locator(".gallery img")
    picture.scroll_into_view_if_needed()
    sync_api.expect(picture).to_have_js_property("naturalWidth", 24, timeout=60_000)
    picture.click()
    assert tab.get_by_role("heading", name="plots/roc.png").is_visible()
    assert wrong == []


def test_nothing_that_somebody_stored_runs(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.set_content(PAGE.decode())
    sync_api.expect(tab).to_have_title(BROKEN_IN, timeout=60_000)  # this browser would run it
    wrong.clear()
    for name in FILES:
        tab.goto(f"{address}/{RUN}/artifact?name={quote(name)}")
        assert tab.title() == f"{name} · Slipway"
        with tab.expect_download() as started:
            tab.get_by_role("link", name="Download").click()
        assert started.value.path().read_bytes() == FILES[name]
        assert tab.title() == f"{name} · Slipway"
    assert wrong == []


@pytest.mark.parametrize(("name", "kind"), [("page.html", "text/html"), ("drawing.svg", "image/svg+xml")])
def test_a_download_that_were_opened_as_a_page_would_run_nothing(
    page: tuple[object, str, list[str]], name: str, kind: str
) -> None:
    """The second wall alone: what makes a download one is taken off on the way."""
    tab, address, _ = page
    assert isinstance(tab, sync_api.Page)

    def opened(route: sync_api.Route) -> None:
        answer = route.fetch()
        headers = {key: value for key, value in answer.headers.items() if key != "content-disposition"}
        route.fulfill(response=answer, headers={**headers, "content-type": kind})

    answered: list[str] = []
    tab.on("response", lambda got: answered.append(got.url))
    tab.route("**/download?*", opened)
    tab.goto(f"{address}/{RUN}/download?name={name}")
    assert not BROKEN_IN.fullmatch(tab.title())
    assert [url for url in answered if "broken-in" in url] == []


@pytest.mark.parametrize("width", [400, 1600])
def test_no_page_is_wider_than_the_window(page: tuple[object, str, list[str]], width: int) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.set_viewport_size({"width": width, "height": 900})
    for path in (
        "",
        "projects/flights",
        "projects/flights/runs",
        RUN,
        f"{RUN}/curves",
        f"projects/flights/runs/compare?run={GOOD_RUN}&run={BAD_RUN}",
        *(f"{RUN}/artifact?name={quote(name)}" for name in FILES),
        "projects/flights/models",
        "projects/flights/models/flight-delays/1",
        "projects/flights/endpoints/flight-delays",
        "projects/flights/simulations/flight-delays",
    ):
        tab.goto(f"{address}/{path}")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
    assert wrong == []


def test_a_schedule_is_paused_and_resumed_by_its_buttons(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(f"{address}/projects/flights")
    tab.get_by_role("link", name="Schedules").click()
    tab.get_by_role("link", name="nightly").click()
    tab.get_by_role("button", name="Pause").click()
    assert "pressed on the page" in tab.locator("main").inner_text()
    tab.get_by_role("button", name="Resume").click()
    assert tab.get_by_role("button", name="Pause").is_visible()
    assert wrong == []
