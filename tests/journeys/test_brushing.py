"""Runs beside each other in a real browser: what is dragged over in one picture is marked in all, and in the table."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from browser_tab import browsed, in_a_browser
from slipway.ledger import entries, projects
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import MetricPoint, Run

pytestmark = in_a_browser
RUNS = 12


@pytest.fixture
def tab(workspace: Workspace) -> Iterator[tuple[Any, list[str]]]:
    """Twelve runs beside each other: depth 0 to 11, and an auc that grows with it."""
    projects.register(workspace)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with workspace.ledger.write() as tx:
        for number in range(RUNS):
            at = began + timedelta(minutes=number)
            made = Run(
                id=f"{number:032x}",
                project=workspace.project,
                name=f"run-{number}",
                created_at=at,
                started_at=at,
                state="finished",
                actor=Actor("ada"),
                params={"depth": number, "kind": "ab"[number % 2]},
            )
            entries.put(tx, made)
            tx.add_points(made.id, [MetricPoint("auc", number / 20 + step / 100, step) for step in range(4)])
    with browsed(workspace.root) as (page, address, wrong):
        page.goto(
            f"{address}/projects/{workspace.project}/runs/compare?" + "&".join(f"run={n:032x}" for n in range(RUNS))
        )
        yield page, wrong


def drag(page: Any, place: Any, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Press the mouse in a place, at shares of its width and height, and let go at others."""
    box = place.bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (begin, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=5)
    page.mouse.up()


def test_a_part_of_a_curve_is_dragged_over_and_comes_larger(tab: tuple[Any, list[str]]) -> None:
    page, wrong = tab
    page.goto(page.url.partition("/compare")[0] + f"/{1:032x}/curves")
    assert page.locator(".zoom-hint").is_visible()
    drag(page, page.locator("svg.curves .plot").first, (0.3, 0.5), (0.7, 0.5))
    page.wait_for_url("**/curves?*")
    assert "from=1&to=2" in page.url
    assert page.locator("svg.curves .plot").first.get_attribute("data-high") == "2.0"
    page.get_by_role("link", name="All steps").click()
    page.wait_for_url("**/curves?")
    assert page.locator("svg.curves .plot").first.get_attribute("data-high") == "3.0"
    assert wrong == []


def marked(page: Any) -> list[int]:
    """Which runs are marked: the same in each picture and in the table."""
    boxes = page.locator("tr[data-run] input:checked")
    found = sorted(int(one.evaluate("box => box.closest('tr').dataset.run")) for one in boxes.all())
    for picture in ("svg.parallel", "svg.scatter", "svg.courses", "tbody"):
        drawn = page.locator(f"{picture} .marked[data-run]")
        assert sorted(int(one.get_attribute("data-run")) for one in drawn.all()) == found, picture
    return found


def test_what_is_dragged_over_is_marked_everywhere(tab: tuple[Any, list[str]]) -> None:
    page, wrong = tab
    assert marked(page) == []
    depth = page.locator("svg.parallel .hit").first
    page.locator("svg.parallel").scroll_into_view_if_needed()
    drag(page, depth, (0.5, 0.0), (0.5, 0.35))
    upper = marked(page)
    assert upper == list(range(min(upper), RUNS)), "the deepest ones"
    assert 3 <= len(upper) <= 6
    assert page.get_by_role("status").inner_text() == f"{len(upper)} of {RUNS} runs marked"
    kind = page.locator("svg.parallel .hit").nth(1)
    drag(page, kind, (0.5, 0.0), (0.5, 0.3))
    assert marked(page) == [run for run in upper if run % 2], "those within both"
    page.keyboard.press("Escape")
    assert marked(page) == []
    page.locator("svg.scatter").scroll_into_view_if_needed()
    drag(page, page.locator("svg.scatter .hit"), (0.01, 0.99), (0.5, 0.4))
    lower = marked(page)
    assert lower == list(range(len(lower)))
    assert lower
    page.locator("svg.scatter circle[data-run='11']").click()
    assert marked(page) == [*lower, 11]
    page.get_by_label("Mark run-11").uncheck()
    assert marked(page) == lower
    page.get_by_role("button", name="Compare the marked only").click()
    assert page.get_by_role("heading", level=1).inner_text() == f"{len(lower)} runs beside each other"
    assert wrong == []
