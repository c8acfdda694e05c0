"""What a simulation's page shows: the best of the three marked fairly, charts that need no colours, a story by months."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from filled_loop import loop_records
from slipway.records.loop import Action
from slipway.records.simulations import Figures, Month, Promotion, Simulation
from slipway.server.simulations import (
    chapters,
    charts,
    columns,
    flattened,
    kinds,
    month_rows,
    promotion_chart,
    tally,
    worth_chart,
)

SIMULATION = next(one for one in loop_records("d" * 64) if isinstance(one, Simulation) and one.state == "finished")
METRICS = ("cost", "log_loss", "calibration", "auc")


def cells(metric: str, *values: float) -> list[tuple[str, bool]]:
    plain = {"log_loss": 0.5, "calibration": 0.0, "auc": 0.7, "cost": 10.0}
    figures = {
        policy: Figures(**(plain | {metric: value}))
        for policy, value in zip(("never", "blind", "slipway"), values, strict=True)
    }
    month = Month(name="2013-04", asked=9, labelled=9, rate=0.2, figures=figures)
    (row,) = month_rows([month], columns("USD"))
    assert row.name == "Apr 2013"
    return [(cell.text, cell.is_best) for cell in row.groups[METRICS.index(metric)]]


@pytest.mark.parametrize(
    ("metric", "values", "shown"),
    [
        ("log_loss", (0.5, 0.4, 0.45), [("0.5000", False), ("0.4000", True), ("0.4500", False)]),
        ("auc", (0.7, 0.8, 0.75), [("0.7000", False), ("0.8000", True), ("0.7500", False)]),
        ("calibration", (-0.02, 0.03, 0.01), [("−0.0200", False), ("+0.0300", False), ("+0.0100", True)]),  # noqa: RUF001
        ("cost", (2000, 1000, 3000), [("2,000", False), ("1,000", True), ("3,000", False)]),
        ("log_loss", (0.5, 0.40001, 0.40002), [("0.5000", False), ("0.4000", True), ("0.4000", True)]),
        ("log_loss", (0.4, 0.4, 0.4), [("0.4000", False)] * 3),
        ("auc", (math.nan, 0.8, 0.75), [("–", False), ("0.8000", True), ("0.7500", False)]),  # noqa: RUF001
        ("auc", (math.nan, math.nan, math.nan), [("–", False)] * 3),  # noqa: RUF001
    ],
)
def test_the_best_of_the_three_is_marked_as_it_is_shown(
    metric: str, values: tuple[float, ...], shown: list[tuple[str, bool]]
) -> None:
    assert cells(metric, *values) == shown


def test_a_policy_that_was_not_scored_is_a_dash() -> None:
    month = Month(name="all", asked=0, labelled=0, rate=math.nan, figures={})
    (row,) = month_rows([month], columns(""))
    assert row.name == "whole period"
    assert {cell.text for group in row.groups for cell in group} == {"–"}  # noqa: RUF001


def test_lines_are_told_apart_without_their_colours() -> None:
    for svg in charts(SIMULATION):
        lines = re.findall(r'<path [^>]*stroke-width="([\d.]+)"(?: stroke-dasharray="([^"]*)")?', svg)
        assert len(set(lines)) == (2 if "Saved so far" in svg else 3), svg


def test_charts_need_two_months_and_the_savings_add_up() -> None:
    assert charts(msgspec.structs.replace(SIMULATION, months=SIMULATION.months[:1])) == []
    saved = charts(SIMULATION)[0]
    total = SIMULATION.total
    assert total is not None
    expected = total.figures["never"].cost - sum(month.figures["slipway"].cost for month in SIMULATION.months)
    assert f"against never, Dec: {expected:,.0f}" in saved


def test_two_years_are_told_apart() -> None:
    months = [*SIMULATION.months, msgspec.structs.replace(SIMULATION.months[0], name="2014-04")]
    assert "Apr 2014" in charts(msgspec.structs.replace(SIMULATION, months=tuple(months)))[1]


def test_without_costs_and_promotions_there_is_nothing_to_draw() -> None:
    worth = tuple(
        msgspec.structs.replace(one, cost=math.nan, cost_low=math.nan, cost_high=math.nan) for one in SIMULATION.worth
    )
    assert worth_chart(msgspec.structs.replace(SIMULATION, worth=worth)) == ""
    assert promotion_chart(()) == ""
    assert "against never: 69,380, 50,660 to 88,100" in worth_chart(SIMULATION)
    assert "3 for 2: 0.0049, 0.0011 to 0.0087" in promotion_chart(SIMULATION.promotions)


def promotion(verdict: Any) -> Promotion:
    return msgspec.structs.replace(SIMULATION.promotions[0], verdict=verdict)


def test_promotions_are_counted_by_how_they_turned_out() -> None:
    assert tally([promotion("worse"), promotion("better"), promotion("worse")]) == "1 better, 2 worse"
    assert tally([promotion("cannot tell")]) == "1 cannot be told"
    assert tally([]) == ""


def test_the_story_goes_by_months_and_kinds() -> None:
    actions = [
        Action(
            id=str(number), project="p", name=name, created_at=datetime(2013, 4, 25, tzinfo=UTC) + timedelta(days=days),
            parent_id="p/e", number=number, sentence="",
        )
        for number, (name, days) in enumerate([("retrain", 0), ("shadow", 1), ("retrain", 10), ("stop", 40)], 1)
    ]  # fmt: skip
    assert [(one.title, len(one.actions)) for one in chapters(actions)] == [
        ("April 2013", 2),
        ("May 2013", 1),
        ("June 2013", 1),
    ]
    assert kinds(actions) == [("retrain", 2), ("shadow", 1), ("stop", 1)]


def test_figures_within_figures_are_told_with_all_their_names() -> None:
    values = {"n": 2000, "ok": True, "share": 0.25, "by day": {"1": 2.5, "deep": {"x": None}}, "names": ["a", "b"]}
    assert flattened(values) == [
        ("n", "2,000"),
        ("ok", "True"),
        ("share", "0.25"),
        ("by day: 1", "2.5"),
        ("by day: deep: x", "None"),
        ("names", "a, b"),
    ]
