"""Somebody starts a pipeline from its form, watches it to its end, reads a log, and retries one that failed."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from browser_tab import browsed, in_a_browser, sync_api
from slipway.cli import main

CODE = """
import datetime, pathlib, time
from typing import Literal
import slipway as sw

HERE = pathlib.Path({here!r})

@sw.step(cache=False)
def load(until: datetime.date, rows: int) -> list[int]:
    print("loading until", until, flush=True)
    while not (HERE / "go").exists():
        time.sleep(0.02)
    return list(range(rows))

@sw.step
def clean(rows: list[int]) -> list[int]:
    return [row for row in rows if row > 1]

@sw.step(cache=False)
def fit(rows: list[int], rate: float) -> float:
    print("fitting", len(rows), "rows")
    if (HERE / "broken").exists():
        raise ValueError("the shop is closed")
    return sum(rows) * rate

@sw.pipeline
def train(until: datetime.date, rows: int = 20, rate: float = 0.1, loss: Literal["squared", "absolute"] = "squared") -> float:
    "Train on the shop's rows."
    return fit(clean(load(until, rows)), rate)
"""
pytestmark = in_a_browser
SOON_MS = 30_000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slipway.toml").write_text('[project]\nname = "shop"\nmodule = "shop_started"\n')
    (tmp_path / "shop_started.py").write_text(CODE.format(here=str(tmp_path)))
    (tmp_path / "go").touch()
    monkeypatch.chdir(tmp_path)
    try:
        done = CliRunner().invoke(main, ["run", "train", "--set", "until=2013-04-01"])
        assert done.exit_code == 0, done.output
    finally:
        sys.modules.pop("shop_started", None)
        sys.path[:] = [path for path in sys.path if path != str(tmp_path)]
    return tmp_path


def expect(what: Any) -> Any:
    return sync_api.expect(what)


def test_a_pipeline_is_started_watched_and_retried_from_its_pages(shop: Path) -> None:
    (shop / "go").unlink()
    with browsed(shop / ".slipway") as (tab, address, wrong):
        tab.goto(f"{address}/projects/shop/runs")
        tab.get_by_role("link", name="Start a run").click()
        tab.get_by_label("rate").fill("0.5")
        tab.get_by_label("until").fill("2013-05-01")
        tab.get_by_label("Why (optional)").fill("new month")
        tab.get_by_role("button", name="Start it").click()
        tab.wait_for_url("**/runs/*", timeout=SOON_MS)
        tab.evaluate("window.notReloaded = true")
        expect(tab.get_by_role("progressbar")).to_be_visible(timeout=SOON_MS)
        expect(tab.locator("#live-head")).to_contain_text("of about 3 steps done")
        expect(tab.locator("#live-tail")).to_contain_text("loading until 2013-05-01", timeout=SOON_MS)
        assert tab.locator(".run-graph .node").count() == 3, "what is to come stands there, as the run before had it"
        (shop / "go").touch()
        expect(tab.locator("h1")).to_contain_text("finished", timeout=SOON_MS)
        expect(tab.locator("#live-tail")).to_contain_text("fitting 18 rows", timeout=SOON_MS)
        expect(tab.get_by_role("progressbar")).to_have_count(0)
        assert tab.evaluate("window.notReloaded"), "nobody had to read the page anew"
        tab.locator(".run-graph a", has_text="load").click()
        expect(tab.locator("#L1")).to_contain_text("loading until 2013-05-01")
        assert wrong == []

        (shop / "broken").touch()
        tab.go_back()
        tab.get_by_role("link", name="Run again with other parameters").click()
        assert tab.get_by_label("rate").input_value() == "0.5"
        tab.get_by_label("rows").fill("30")
        tab.get_by_role("button", name="Run it again").click()
        tab.wait_for_url("**/runs/*", timeout=SOON_MS)
        expect(tab.locator("h1")).to_contain_text("failed", timeout=SOON_MS)
        expect(tab.locator("#live-head")).to_contain_text("the shop is closed")
        failed = tab.url

        (shop / "broken").unlink()
        tab.reload()
        tab.get_by_role("button", name="Retry this run").click()
        tab.wait_for_url(lambda url: url != failed and "/runs/" in url, timeout=SOON_MS)
        expect(tab.locator("h1")).to_contain_text("finished", timeout=SOON_MS)
        expect(tab.locator("dl.facts")).to_contain_text("goes on from")
        assert tab.locator(".run-graph .node").count() == 3

        (shop / "go").unlink()
        tab.goto(f"{address}/projects/shop/start?pipeline=train")
        tab.get_by_label("until").fill("2013-06-01")
        tab.get_by_role("button", name="Start it").click()
        tab.wait_for_url("**/runs/*", timeout=SOON_MS)
        tab.get_by_text("Cancel this run").click()
        tab.get_by_label("Why", exact=True).fill("wrong month")
        tab.get_by_role("button", name="Yes, cancel it").click()
        expect(tab.locator("#live-head")).to_contain_text("cancelled it: wrong month", timeout=SOON_MS)
        assert [line for line in wrong if "favicon" not in line] == []
