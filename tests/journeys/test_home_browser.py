"""The first page in a real browser: what each role sees first, and the one click that answers what needs them."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from answering import People, people_in
from browser_tab import CHROMIUM, in_a_browser, sync_api
from hosts_up import up
from slipway.backends.clocks import SystemClock
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident

pytestmark = in_a_browser

ROLES = {
    "dan": ("Latest runs", "runs"),
    "mia": ("Endpoints", "incidents"),
    "grace": ("Metric contracts", "contracts"),
    "sam": ("Endpoints", ""),
    "ada": ("Endpoints", "models"),
}


@contextmanager
def logged_in(root: Path, token: str) -> Iterator[tuple[Any, str, list[str]]]:
    wrong: list[str] = []
    with up(root) as (address, _), sync_api.sync_playwright() as playwright:
        address = address.rstrip("/")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 400, "height": 900})
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else wrong.append(sent.url))
        tab.goto(f"{address}/login")
        tab.get_by_label("Token").fill(token)
        tab.get_by_role("button", name="Log in").click()
        yield tab, address, wrong
        browser.close()


@pytest.fixture
def people(workspace: Workspace) -> People:
    found = people_in(dataclasses.replace(workspace, clock=SystemClock()))  # the server knows no other, and tokens end
    with found.writing() as tx:
        for one in list(entries.every(tx, Incident, project="flights", state="open")):
            entries.put(tx, msgspec.structs.replace(one, people=("mia",)))
    return found


@pytest.mark.parametrize("name", ROLES)
def test_each_role_begins_with_its_own_work(people: People, name: str) -> None:
    first, act = ROLES[name]
    token = people.do("ada", "tokens.add", name=name).text
    with logged_in(people.workspace.root, token) as (tab, address, wrong):
        tab.locator(".summary").wait_for()
        headings = [
            text for text in tab.locator("main h2").all_inner_texts() if not text.startswith(("What needs", "Open"))
        ]
        assert headings[0] == first
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
        if act in ("contracts", "incidents"):
            tab.locator(f".needs a.act[href*='/{act}/']").first.click()
            assert f"/{act}/" in tab.url
            sync_api.expect(tab.locator("h1")).to_be_visible()
        tab.set_viewport_size({"width": 1600, "height": 900})
        for path in ("executions", "people", "settings", "projects/flights/executions"):
            tab.goto(f"{address}/{path}")
            sync_api.expect(tab.locator("h1")).to_be_visible()
        assert wrong == []


def test_an_admin_lets_somebody_in_by_the_page(people: People) -> None:
    token = people.do("ada", "tokens.add", name="ada").text
    with logged_in(people.workspace.root, token) as (tab, address, wrong):
        tab.goto(f"{address}/people")
        tab.get_by_text("Let somebody in").click()
        tab.get_by_label("Name, lower-case, as they log in").fill("ben")
        form = tab.locator("form.say")
        form.get_by_label("Role").select_option("data engineer")
        form.get_by_role("button", name="Let them in").click()
        row = tab.locator("tr", has=tab.get_by_role("cell", name="ben", exact=True))
        sync_api.expect(row).to_contain_text("data engineer")
        tab.set_viewport_size({"width": 400, "height": 900})
        for path in ("people", "settings", "executions", "projects/flights/audit"):
            tab.goto(f"{address}/{path}")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400, path
        assert wrong == []
