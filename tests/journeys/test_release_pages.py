"""A version's way into production and back, by nothing but the pages, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import kill, read_until, slipway, start, stop_all
from pushing import NAME, ROW, prepare, project_in

from browser_tab import CHROMIUM, in_a_browser, sync_api

PATIENCE_MS = 60_000
pytestmark = in_a_browser


class Hand:
    """Whoever clicks: it counts."""

    def __init__(self, tab: Any) -> None:
        self.tab, self.clicks = tab, 0

    def click(self, kind: Any, name: str) -> None:
        self.clicks += 1
        self.tab.get_by_role(kind, name=name).first.click()
        self.tab.wait_for_load_state()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """The folder of a project with one run, whose stores know each other's keys; prod asks for a person's word."""
    stores, folder = tmp_path / "stores", tmp_path / "parcels"
    prepare(stores)
    project_in(folder, stores)
    slipway("data", "ingest", cwd=folder)
    slipway("run", "release", cwd=folder)
    yield folder
    for name in ("dev", "test", "prod"):
        stop_all(stores / name)


@pytest.fixture
def hand(project: Path) -> Iterator[tuple[Hand, str]]:
    """Somebody before the server that runs in the project's folder, and its address."""
    server = start("up", "--port", "0", cwd=project)
    try:
        found = re.search(r"http://[^\s]+", read_until(server, "Slipway serves"))
        assert found
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page()
            tab.set_default_timeout(PATIENCE_MS)
            yield Hand(tab), found[0]
            browser.close()
    finally:
        kill(server)


def test_from_a_run_to_production_in_at_most_five_clicks(hand: tuple[Hand, str]) -> None:
    someone, address = hand
    tab = someone.tab
    tab.goto(f"{address}/projects/{NAME}/runs")
    tab.locator("main a[href*='/runs/']").first.click()  # here the way begins
    someone.click("link", f"Take {NAME} 1 to production")
    someone.click("button", "Deploy to test")
    someone.click("button", "Promote to prod")
    sync_api.expect(tab.locator("#live-way")).to_contain_text("nobody gave their word")
    someone.click("button", f"Approve {NAME} 1 for prod")
    someone.click("button", "Go on to prod")
    sync_api.expect(tab.locator("#live-way")).to_contain_text("These bytes went all the way: they are in prod.")
    assert someone.clicks == 5


def test_a_prediction_is_tried_and_what_serves_is_taken_back_with_a_reason(
    hand: tuple[Hand, str], project: Path
) -> None:
    someone, address = hand
    tab = someone.tab
    code = project / "pushed.py"
    code.write_text(code.read_text().replace('"num_leaves": 7', '"num_leaves": 6'))  # another model of the same sort
    slipway("run", "release", cwd=project)
    home = f"{address}/projects/{NAME}"
    for number in (1, 2):
        tab.goto(f"{home}/models/{NAME}/{number}")
        someone.click("button", "What would the gate say?")
        someone.click("button", f"Deploy {NAME} {number} to {NAME}")
    sync_api.expect(tab.get_by_label("In short").get_by_role("link", name=f"{NAME} 2")).to_be_visible()

    someone.click("link", "Try a prediction")
    for name, value in ROW.items():
        tab.get_by_label(name, exact=True).fill(str(value))
    someone.click("button", f"Ask {NAME}")
    answer = tab.get_by_label("The answer", exact=True)
    assert f"{NAME} 2, revision 2" in answer.inner_text()
    assert "ms" in answer.inner_text()
    tab.get_by_text("The answer as JSON").click()
    sync_api.expect(tab.locator("pre")).to_contain_text('"predictions"')

    tab.goto(f"{home}/endpoints/{NAME}")
    someone.click("link", "Roll back")
    sync_api.expect(tab.locator("main")).to_contain_text("It equals revision 1.")
    tab.get_by_label("Why").fill("the callers of <b>today</b> complained")
    someone.click("button", f"Roll back {NAME} to {NAME} 1")
    told = tab.locator("#did").inner_text()
    assert f"revision 3 serves {NAME} 1" in told
    assert "rollback to 1: the callers of <b>today</b> complained" in told
