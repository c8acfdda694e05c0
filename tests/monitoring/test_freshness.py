"""A feed that is not fresh is told, and by how much."""

from typing import Any

import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration
from slipway.monitoring.freshness import freshness
from slipway.records.feeds import FeedCounts

SPEC = sw.Freshness("weather", limit=0.05).spec()


def counted(looked_up: int, not_found: int = 0, too_old: int = 0, layout: str = "one") -> list[FeedCounts]:
    other = FeedCounts(name="recent", kind="windows", looked_up=9, layout=layout)
    weather = FeedCounts(
        name="weather", kind="view", looked_up=looked_up, not_found=not_found, too_old=too_old, layout=layout
    )
    return [other, weather]


def test_a_share_of_keys_without_a_fresh_row_alerts() -> None:
    found = freshness(SPEC, counted(1000, 40, 60), [])
    assert found.state == "alert"
    assert "10.0% of 1,000 keys had no fresh row (40 none, 60 too old), more than 5.0%" in found.sentence
    assert freshness(SPEC, counted(1000, 20, 30), []).state == "ok"
    assert freshness(SPEC, counted(110, 4, 4), []).state == "ok"  # more than the limit, and not clearly


def test_each_look_judges_what_came_since_the_last() -> None:
    before: list[dict[str, Any]] = []
    for total, state in (
        ((1000, 500), "alert"),
        ((2000, 510), "ok"),
        ((2050, 560), "cannot tell"),
        ((2200, 660), "alert"),
    ):
        found = freshness(SPEC, counted(*total), before)
        assert found.state == state, total
        before = [found.values, *before]
    assert freshness(SPEC, counted(400, 0), before).state == "ok"  # counted anew


def test_another_models_figures_are_not_compared() -> None:
    """Another model serves in between: its figures begin at 0, and those of the first go on where they stood."""
    first = freshness(SPEC, counted(1000, 400, 0), []).values
    nothing: dict[str, Any] = freshness(SPEC, [], [first]).values
    second = freshness(SPEC, counted(1500, 400, 0, layout="two"), [nothing, first])
    assert (second.rows, second.state) == (1500, "alert")  # 27 %, where a difference of the two would be none
    again = freshness(SPEC, counted(1200, 400, 0), [second.values, nothing, first])
    assert (again.rows, again.state) == (200, "ok")


def test_a_feed_that_is_not_looked_up_cannot_be_judged() -> None:
    assert "nothing was looked up yet" in freshness(SPEC, [], []).sentence
    found = freshness(sw.Freshness("wether").spec(), counted(1000), [])
    assert found.state == "cannot tell"
    assert "'weather'" in found.sentence


@pytest.mark.parametrize(
    ("feed", "limit"), [("", 0.05), ("weather", 1.0), ("weather", -0.1), ("weather", float("nan"))]
)
def test_a_declaration_that_makes_no_sense_is_refused(feed: str, limit: float) -> None:
    with pytest.raises(InvalidDeclaration):
        sw.Freshness(feed, limit=limit)
