"""What the page of a simulation shows: the table that convinces, its charts, and the loop's story."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from slipway.charts.intervals import interval_chart
from slipway.charts.lines import line_chart
from slipway.records.loop import Action
from slipway.records.simulations import BLIND, NEVER, SLIPWAY, Figures, Month, Promotion, Simulation
from slipway.server.formats import figure, signed, whole

__all__ = [
    "POLICIES", "Cell", "Chapter", "Column", "MonthRow", "chapters", "charts", "columns", "flattened", "kinds",
    "month_rows", "promotion_chart", "tally", "worth_chart",
]  # fmt: skip

POLICIES = {NEVER: "never", BLIND: "blind", SLIPWAY: "Slipway"}
"""The policies as they are called on the page, in order."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Column:
    """A metric of the table.

    Args:
        name: The field of `Figures`.
        title: What it is called.
        hint: What a reader without statistics must know.
        decimals: To how many it is shown, and compared.
        distance: How far a value is from the best that there can be.
        show: A value in words.
    """

    name: str
    title: str
    hint: str
    decimals: int
    distance: Callable[[float], float]
    show: Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """One policy's value of one metric: as it is shown, and whether none of the others is better."""

    text: str
    is_best: bool


@dataclass(frozen=True)
class MonthRow:
    """One month: its name in words, and the cells of each metric in the order of `POLICIES`."""

    name: str
    month: Month
    groups: list[list[Cell]]


@dataclass(frozen=True)
class Chapter:
    """What the loop did in one month."""

    title: str
    actions: list[Action]


def columns(unit: str) -> list[Column]:
    """The table's metrics.

    Args:
        unit: Of the costs, "" where there is none.
    """
    return [
        Column(
            "cost",
            f"Cost in {unit}" if unit else "Cost",
            "assumed costs: lower is better",
            0,
            lambda value: value,
            figure,
        ),
        Column("log_loss", "Log loss", "lower is better", 4, lambda value: value, lambda value: f"{value:.4f}"),
        Column("calibration", "Calibration", "mean score minus rate: nearest to 0 is best", 4, abs, signed),
        Column("auc", "AUC", "higher is better", 4, lambda value: -value, lambda value: f"{value:.4f}"),
    ]


def month_rows(months: Sequence[Month], shown: Sequence[Column]) -> list[MonthRow]:
    """The table's rows: each metric of each policy, the best of each marked unless all are alike."""
    return [MonthRow(_month_name(one.name), one, [_cells(one, column) for column in shown]) for one in months]


def _cells(month: Month, column: Column) -> list[Cell]:
    values = [_value(month.figures.get(policy), column) for policy in POLICIES]
    away = [math.nan if math.isnan(value) else column.distance(value) for value in values]
    known = [one for one in away if not math.isnan(one)]
    least = min(known, default=math.nan)
    differ = len(set(known)) > 1
    return [
        Cell(figure(math.nan) if math.isnan(value) else column.show(value), differ and one == least)
        for value, one in zip(values, away, strict=True)
    ]


def _value(figures: Figures | None, column: Column) -> float:
    """As it is shown: what looks alike is alike."""
    value = math.nan if figures is None else float(getattr(figures, column.name))
    return value if math.isnan(value) else round(value, column.decimals)


def _month_name(name: str) -> str:
    if len(name) != 7:
        return "whole period"
    return f"{_MONTHS[int(name[5:]) - 1]} {name[:4]}"


def charts(simulation: Simulation) -> list[Markup]:
    """Money saved, log loss, calibration and ranking, month by month; [] where there are fewer than two months."""
    months = simulation.months
    if len(months) < 2:
        return []
    years = {month.name[:4] for month in months}
    names = [_month_name(month.name) for month in months]
    names = [name[:3] for name in names] if len(years) == 1 else names
    unit = f", {simulation.unit}" if simulation.unit else ""

    def lines(metric: str) -> dict[str, list[tuple[float | str, float | None]]]:
        return {
            title: [
                (name, getattr(month.figures[policy], metric) if policy in month.figures else None)
                for name, month in zip(names, months, strict=True)
            ]
            for policy, title in POLICIES.items()
        }

    drawn = [
        line_chart(
            _savings(months, names), title=f"Saved so far{unit}", y_label="above 0: Slipway was cheaper",
            emphasis="against never", reference=0,
        ),
        line_chart(lines("log_loss"), title="Log loss", y_label="lower is better", emphasis="Slipway"),
        line_chart(
            lines("calibration"), title="Calibration", y_label="mean score minus rate; 0 is best",
            emphasis="Slipway", reference=0,
        ),
        line_chart(lines("auc"), title="Ranking (AUC)", y_label="higher is better", emphasis="Slipway"),
    ]  # fmt: skip
    return [Markup(svg) for svg in drawn]  # their texts are escaped there


def _savings(months: Sequence[Month], names: Sequence[str]) -> dict[str, list[tuple[float | str, float | None]]]:
    """What Slipway has saved by the end of each month against each other policy."""
    found: dict[str, list[tuple[float | str, float | None]]] = {}
    for policy, title in ((NEVER, "against never"), (BLIND, "against blind")):
        total = 0.0
        line: list[tuple[float | str, float | None]] = []
        for name, month in zip(names, months, strict=True):
            if policy in month.figures and SLIPWAY in month.figures:
                saved = month.figures[policy].cost - month.figures[SLIPWAY].cost
                total += 0.0 if math.isnan(saved) and not month.labelled else saved
            line.append((name, total))
        found[title] = line
    return found


def worth_chart(simulation: Simulation) -> Markup:
    """What was saved against each other policy, with its interval; "" without costs."""
    rows = [
        (f"against {POLICIES[one.other]}", -one.cost, -one.cost_high, -one.cost_low)
        for one in simulation.worth
        if not math.isnan(one.cost)
    ]
    unit = f", {simulation.unit}" if simulation.unit else ""
    if not rows:
        return Markup()
    title = f"Saved{unit}"
    return Markup(interval_chart(rows, title=title, value_label="right of 0: cheaper", reference=0))


def promotion_chart(promotions: Sequence[Promotion]) -> Markup:
    """Each promoted model's log loss minus that of the one it replaced, with its interval; "" for none."""
    rows = [(f"{one.version} for {one.replaced}", one.log_loss, one.low, one.high) for one in promotions]
    if not rows:
        return Markup()
    title = "Log loss: promoted minus replaced"
    return Markup(interval_chart(rows, title=title, value_label="left of 0: better", reference=0))


def tally(promotions: Sequence[Promotion]) -> str:
    """How the promotions turned out, in words."""
    counts = Counter[str](one.verdict for one in promotions)
    parts = [f"{counts[verdict]} {words}" for verdict, words in _VERDICTS.items() if counts[verdict]]
    return ", ".join(parts)


_VERDICTS = {"better": "better", "worse": "worse", "cannot tell": "cannot be told"}


def kinds(actions: Sequence[Action]) -> list[tuple[str, int]]:
    """The kinds of action that there are, in the order of their first, with how many of each."""
    return list(Counter(action.name for action in actions).items())


def chapters(actions: Sequence[Action]) -> list[Chapter]:
    """Actions by month, in the order given."""
    found: list[Chapter] = []
    for action in actions:
        title = _long_month(action.created_at)
        if not found or found[-1].title != title:
            found.append(Chapter(title, []))
        found[-1].actions.append(action)
    return found


def _long_month(at: datetime) -> str:
    return at.strftime("%B %Y")


def flattened(values: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested figures as names and values in words."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        full = f"{above}: {name}" if above else str(name)
        if isinstance(value, dict):
            found += flattened(value, full)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            found.append((full, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
        else:
            found.append((full, whole(value) if isinstance(value, int) else figure(value)))
    return found
