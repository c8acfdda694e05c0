"""Slow pages in a real browser: the rest arrives by itself, with a script or without one, and what cannot be read is said."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from browser_tab import browsed, in_a_browser
from slipway.backends.clocks import SystemClock
from slipway.flows.endpoints import folder_of
from slipway.ports.workspace import Workspace
from slipway.records.predictions import FailureRow
from slipway.tables.segments import SegmentWriter
from watched_store import NAME, watch_over

HOME = f"projects/flights/endpoints/{NAME}"
PAGES = {
    HOME: "Nothing was answered in the last 28 days",
    f"{HOME}/monitoring": "as flight-delays 1 saw it",
    "portfolio": "What these figures rest on",
    "projects/flights/audit": "every seal holds",
}
pytestmark = in_a_browser


@pytest.fixture
def browser(workspace: Workspace) -> Iterator[tuple[Any, str, list[str]]]:
    watch_over(workspace, SystemClock().now().replace(minute=0, second=0, microsecond=0))
    with browsed(workspace.root) as found:
        yield found


def test_what_is_slow_arrives_by_itself(browser: tuple[Any, str, list[str]]) -> None:
    tab, address, wrong = browser
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: make test-all installs it")
    for path, said in PAGES.items():
        tab.route("**/*live=*", lambda route: None)  # the stream is held back
        tab.goto(f"{address}/{path}")
        status = tab.locator('[aria-busy="true"] p[role="status"]').first
        assert status.is_visible()
        assert said not in tab.locator("main").inner_text()
        serious = [one for one in axe.Axe().run(tab).response["violations"] if one["impact"] in ("serious", "critical")]
        assert not serious, [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]
        tab.unroute_all()
        tab.goto(f"{address}/{path}")
        tab.get_by_text("All of the page is there.").wait_for(state="attached")
        assert said in tab.locator("main").inner_text()
        assert tab.locator("[aria-busy]").count() == 0
        assert "whole" not in tab.url
    assert wrong == []


def test_without_a_script_the_whole_page_is_loaded(browser: tuple[Any, str, list[str]]) -> None:
    tab, address, _ = browser
    plain = tab.context.browser.new_context(java_script_enabled=False).new_page()
    for path, said in PAGES.items():
        plain.goto(f"{address}/{path}?days=28")
        plain.wait_for_url(re.compile(r"\?days=28&whole=1$"))
        assert said in plain.locator("main").inner_text()


def test_what_cannot_be_read_is_said_instead(workspace: Workspace, browser: tuple[Any, str, list[str]]) -> None:
    tab, address, _ = browser
    log = folder_of(workspace, NAME) / "log"
    writer = SegmentWriter(log, "failures")
    for count in (1, 2):
        writer.append([FailureRow(0, 0, 1, "champion", "ab" * 8, count, "predict")])
    writer.close()
    (segment,) = log.glob("failures-*.seg")
    segment.write_bytes(segment.read_bytes().replace(b"predict", b"guessed", 1))
    tab.goto(f"{address}/{HOME}")
    tab.wait_for_url(re.compile("whole=1"))
    assert "its check sum does not hold" in tab.locator("main").inner_text()
