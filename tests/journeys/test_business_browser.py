"""A business owner opens a link in a browser that nobody knows, reads the page, and gets nowhere else."""

from dataclasses import replace
from pathlib import Path

from answering import People, people_in
from browser_tab import browsed, in_a_browser, sync_api
from business_desk import FORBIDDEN, enrich, words_of
from slipway.backends.clocks import SystemClock
from slipway.ports.workspace import Workspace

pytestmark = in_a_browser
ELSEWHERE = (
    "/",
    "/portfolio",
    "/inbox",
    "/projects/flights",
    "/projects/flights/business/flight-delays",
    "/projects/flights/runs",
)


def test_who_has_a_link_reads_one_page_and_gets_nowhere_else(workspace: Workspace, tmp_path: Path) -> None:
    people = People(replace(people_in(workspace).workspace, clock=SystemClock()))  # as the server's is
    enrich(workspace)
    token = people.do("ada", "tokens.add", name="grace").text
    with browsed(workspace.root) as (owner, address, _):
        assert isinstance(owner, sync_api.Page)
        owner.goto(f"{address}/login")
        owner.get_by_label("Token").fill(token)
        owner.get_by_role("button", name="Log in").click()
        owner.goto(f"{address}/projects/flights/business/flight-delays")
        owner.get_by_label("Whom it is for").fill("the board")
        owner.get_by_role("button", name="Make a link").click()
        link = owner.get_by_label("The link").input_value()
        assert owner.context.browser is not None
        fresh = owner.context.browser.new_context(viewport={"width": 400, "height": 900})  # no log-in, no cookie
        tab, wrong = fresh.new_page(), list[str]()
        tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else wrong.append(sent.url))
        tab.goto(link)
        sync_api.expect(tab.get_by_role("heading", name="flight-delays", exact=True)).to_be_visible()
        sync_api.expect(tab.get_by_role("heading", name="Why it may be trusted")).to_be_visible()
        sync_api.expect(tab.locator("figure svg")).to_have_count(1)
        assert FORBIDDEN.findall(words_of(tab.content())) == []
        assert tab.evaluate("document.documentElement.scrollWidth") == 400
        assert [one.get_attribute("href") for one in tab.get_by_role("link").all()] == [f"{link[len(address) :]}/pdf"]
        sync_api.expect(tab.locator("form, button, input, script")).to_have_count(0)
        with tab.expect_download() as started:
            tab.get_by_role("link", name="As a PDF").click()
        assert Path(started.value.path()).read_bytes().startswith(b"%PDF")
        for path in ELSEWHERE:
            tab.goto(address + path)
            assert tab.url.startswith(f"{address}/login"), path
        assert tab.context.cookies() == []
        assert wrong == []
        owner.goto(f"{address}/projects/flights/business/flight-delays")
        owner.get_by_text("End the link for the board").click()
        owner.get_by_role("button", name="End it").click()
        tab.goto(link)
        sync_api.expect(tab.get_by_role("heading", name="This link shows nothing")).to_be_visible()
        sync_api.expect(tab.get_by_role("link")).to_have_count(0)
