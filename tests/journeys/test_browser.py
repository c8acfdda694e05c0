"""Pages in a real browser: every page is reached by its links, nothing leaves the machine, nothing is complained of."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from answering import people_in
from browser_tab import browsed, in_a_browser, sync_api
from filled_store import GOOD_RUN, fill
from hostile_files import FILES, PAGE
from slipway.backends.clocks import SystemClock
from slipway.flows.metric_contracts import keep
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.contracts import KeptContract, Standing
from slipway.schema.metric_contract import Hypothesis, MetricContract
from watched_store import watch_over

RUN = f"projects/flights/runs/{GOOD_RUN}"
BROKEN_IN = re.compile("broken in|1")  # what scripts in hostile files make of a page's title
pytestmark = in_a_browser


@pytest.fixture
def page(workspace: Workspace) -> Iterator[tuple[object, str, list[str]]]:
    fill(workspace)
    with browsed(workspace.root) as found:
        yield found


def test_a_person_walks_from_home_to_the_lineage_of_what_serves(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(address)
    tab.get_by_role("link", name="flights", exact=True).first.click()
    sync_api.expect(tab.get_by_role("heading", name="Endpoints")).to_be_visible()
    tab.get_by_role("link", name="Models").first.click()
    tab.locator("main a[href$='/models/flight-delays/1']").first.click()
    sync_api.expect(tab.get_by_role("heading", name="Verdict", exact=True)).to_be_visible()
    picture = tab.locator("svg.lineage").first
    sync_api.expect(picture).to_be_visible()
    assert "bundle" in picture.inner_html()
    tab.get_by_role("link", name="Runs").first.click()
    tab.locator("main a[href*='/runs/']").first.click()
    sync_api.expect(tab.locator("h1")).to_be_visible()
    tab.get_by_role("link", name="Tables").first.click()
    tab.get_by_role("link", name="Audit").first.click()
    assert tab.locator("main").inner_text()
    assert wrong == []


def test_a_business_person_finds_what_retraining_was_worth_and_why(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(address)
    tab.locator("main a[href*='/simulations/']").first.click()
    sync_api.expect(tab.locator(".lead")).to_contain_text("69,380 USD")
    sync_api.expect(tab.locator(".months tbody tr")).to_have_count(9)
    sync_api.expect(tab.locator("figure svg")).to_have_count(6)
    tab.get_by_role("link", name="promote 1").click()
    sync_api.expect(tab.locator(".story li")).to_have_count(1)
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
    sync_api.expect(tab.get_by_role("heading", name="2 runs beside each other")).to_be_visible()
    sync_api.expect(tab.locator("svg.parallel, svg.scatter")).to_have_count(2)
    tab.locator(f"main a[href$='/runs/{GOOD_RUN}']").first.click()
    sync_api.expect(tab.locator(".curves figure svg")).to_have_count(3)
    picture = tab.locator(".gallery img")
    picture.scroll_into_view_if_needed()
    sync_api.expect(picture).to_have_js_property("naturalWidth", 24)
    picture.click()
    sync_api.expect(tab.get_by_role("heading", name="plots/roc.png")).to_be_visible()
    assert wrong == []


def test_nothing_that_somebody_stored_runs(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.set_content(PAGE.decode())
    sync_api.expect(tab).to_have_title(BROKEN_IN)  # this browser would run it
    wrong.clear()
    for name in FILES:
        tab.goto(f"{address}/{RUN}/artifact?name={quote(name)}")
        assert tab.title() == f"{name} · Slipway"
        with tab.expect_download() as started:
            tab.get_by_role("link", name="Download").click()
        assert started.value.path().read_bytes() == FILES[name]
        assert tab.title() == f"{name} · Slipway"
    # What is shown in a frame tries, and the browser says that it may not.
    assert any("frame is sandboxed" in one for one in wrong)
    assert [one for one in wrong if "frame is sandboxed" not in one and "The action has been blocked" not in one] == []


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


def test_below_a_path_of_a_proxy_all_is_reached_and_forms_come_back(workspace: Workspace) -> None:
    fill(workspace)
    with browsed(workspace.root, prefix="/team/ml") as (tab, address, wrong):
        assert address.endswith("/team/ml")
        tab.goto(f"{address}/")
        tab.get_by_role("link", name="flights", exact=True).first.click()
        tab.get_by_role("link", name="Schedules", exact=True).click()
        tab.get_by_role("link", name="nightly").first.click()
        tab.get_by_role("button", name="Pause").click()
        assert tab.url == f"{address}/projects/flights/schedules/nightly"
        sync_api.expect(tab.get_by_text("paused").first).to_be_visible()
        for title in ("Tables", "Runs", "Models", "Incidents", "Audit"):
            tab.get_by_role("link", name=title, exact=True).click()
            sync_api.expect(tab.locator("h1")).to_be_visible()
        assert wrong == []


def test_a_schedule_is_paused_and_resumed_by_its_buttons(page: tuple[object, str, list[str]]) -> None:
    tab, address, wrong = page
    assert isinstance(tab, sync_api.Page)
    tab.goto(f"{address}/projects/flights")
    tab.get_by_role("link", name="Schedules").click()
    tab.get_by_role("link", name="nightly").click()
    tab.get_by_role("button", name="Pause").click()
    sync_api.expect(tab.locator("main")).to_contain_text("pressed on the page")
    tab.get_by_role("button", name="Resume").click()
    sync_api.expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    assert wrong == []


COSTS = MetricContract(
    "cost of delays", costs={"false_positive": 1, "false_negative": 5}, unit="USD", guard=0.05, metric="log_loss",
    hypothesis=Hypothesis(effect=0.1, by="2013-06-30", author="dan"),
)  # fmt: skip


def test_an_owner_reads_and_signs_a_contract_and_signs_again_what_changed(workspace: Workspace) -> None:
    """Drafted, read, signed, changed and void, signed again; and what came of the hypothesis, wherever somebody looks."""
    people = people_in(dataclasses.replace(workspace, clock=SystemClock()))  # the server knows no other, and tokens end
    token = people.do("ada", "tokens.add", name="grace").text

    def drafted(contract: MetricContract) -> None:
        with people.writing() as tx:
            keep(tx, people.as_("dan"), contract.terms(), endpoint="flight-delays")

    drafted(COSTS)
    with browsed(workspace.root) as (tab, address, wrong):
        tab.goto(f"{address}/login")
        tab.get_by_label("Token").fill(token)
        tab.get_by_role("button", name="Log in").click()
        tab.get_by_role("link", name="Inbox").click()
        tab.get_by_role("link", name=re.compile("cost of delays")).click()
        main = tab.locator("main")
        sync_api.expect(main).to_contain_text("nobody signed it")
        sync_api.expect(main).to_contain_text("a false negative costs 5")
        tab.get_by_label("A comment").fill("as agreed on Monday")
        tab.get_by_role("button", name="Sign it as it stands").click()
        sync_api.expect(main).to_contain_text("signed by grace")
        drafted(dataclasses.replace(COSTS, guard=0.1))
        tab.reload()
        sync_api.expect(main).to_contain_text("void")
        sync_api.expect(main).to_contain_text("It may get worse than before by up to 0.05 USD")
        tab.get_by_role("button", name="Sign it as it stands").click()
        sync_api.expect(main).to_contain_text("signed by grace")
        _stands(workspace, people, "refuted")
        for path in (
            "contracts/cost-of-delays",
            "contracts",
            "models/flight-delays/1",
            f"runs/{GOOD_RUN}",
            "endpoints/flight-delays",
            "",
        ):
            tab.goto(f"{address}/projects/flights/{path}")
            said = main.inner_text()
            assert "refuted" in said, path
        tab.set_viewport_size({"width": 400, "height": 900})
        for path in ("contracts/cost-of-delays", "contracts"):
            tab.goto(f"{address}/projects/flights/{path}")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400, path
        assert wrong == []


def _stands(workspace: Workspace, people: Any, verdict: Any) -> None:
    sentence = (
        "cost of delays got better by +0.02 (-0.01 to +0.05) USD by before and after (1.21 since 2013-04-01, 1.23 in the "
        "28 days before); at least 0.1 was expected. Before and after is not causal: whatever else changed is in it."
    )
    with people.writing() as tx:
        kept = entries.get(tx, KeptContract, "flights/dev/cost-of-delays")
        standing = Standing(
            verdict=verdict,
            sentence=sentence,
            source="before and after",
            effect=0.02,
            low=-0.01,
            high=0.05,
            at=workspace.clock.now(),
            is_final=True,
        )
        entries.put(tx, msgspec.structs.replace(kept, standing=standing))


def test_a_data_scientist_goes_from_the_heat_map_to_what_served(workspace: Workspace) -> None:
    now = SystemClock().now().replace(minute=0, second=0, microsecond=0)
    watch_over(workspace, now)
    with browsed(workspace.root) as (tab, address, wrong):
        tab.goto(f"{address}/projects/flights")
        tab.get_by_role("link", name="Monitoring").first.click()
        tab.locator("main").get_by_role("link", name="flight-delays", exact=True).click()
        sync_api.expect(tab.get_by_role("heading", name="Do the inputs look as they used to?")).to_be_visible()
        tab.get_by_role("link", name="7 days").click()
        tab.wait_for_url(re.compile("period=7d"))
        cell = tab.get_by_role("row", name=re.compile("^distance")).get_by_role("link", name="D", exact=True).last
        assert "missing" in str(cell.get_attribute("title"))
        cell.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_url(re.compile("monitoring/column"))
        sync_api.expect(tab.get_by_role("heading", name="Five questions")).to_be_visible()
        sync_api.expect(tab.locator("figure svg.shares")).to_be_visible()
        tab.get_by_role("link", name=re.compile("broken feed")).click()
        sync_api.expect(tab.get_by_role("heading", name="From alarm to outcome")).to_be_visible()
        sync_api.expect(tab.locator(".timeline li.alarm")).to_have_count(1)
        tab.get_by_role("link", name="what served when").click()
        tab.wait_for_url(re.compile("/served$"))
        assert wrong == []


def test_pages_of_monitoring_keep_nobody_out(workspace: Workspace) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: make test-all installs it")
    watch_over(workspace, SystemClock().now().replace(minute=0, second=0, microsecond=0))
    home = "projects/flights/endpoints/flight-delays/monitoring"
    with browsed(workspace.root) as (tab, address, _):
        for path in (home, f"{home}/column?column=distance", "projects/flights/incidents/d1"):
            for width in (400, 1600):
                tab.set_viewport_size({"width": width, "height": 900})
                tab.goto(f"{address}/{path}")
                tab.locator("[aria-busy]").first.wait_for(state="detached")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)
                found = axe.Axe().run(tab).response["violations"]
                serious = [one for one in found if one["impact"] in ("serious", "critical")]
                assert not serious, [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]
