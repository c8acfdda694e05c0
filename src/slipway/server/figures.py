"""Metrics by slice: a strip for each slice, with its interval, on one scale."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from slipway.records.models import MetricValue

__all__ = ["SliceChart", "Strip", "slice_charts"]

_WIDTH, _HEIGHT, _MARGIN = 240, 18, 6


@dataclass(frozen=True)
class Strip:
    """One slice: its value in the column, its metric, and a dot with its interval beside a tick for the whole."""

    value: str
    metric: MetricValue
    svg: Markup


@dataclass(frozen=True)
class SliceChart:
    """One metric by the values of one column, the lowest first and what cannot be told last."""

    metric: str
    column: str
    strips: list[Strip]


def slice_charts(metrics: tuple[MetricValue, ...]) -> list[SliceChart]:
    """A chart for each metric and column that it was sliced by, in the order of the metrics."""
    overall = {metric.metric: metric.value for metric in metrics if not metric.slice}
    groups: dict[tuple[str, str], list[MetricValue]] = {}
    for metric in metrics:
        if metric.slice:
            groups.setdefault((metric.metric, metric.slice.partition("=")[0]), []).append(metric)
    order = list(dict.fromkeys(metric.metric for metric in metrics))
    return [
        SliceChart(name, column, _strips(groups[name, column], overall.get(name, math.nan)))
        for name, column in sorted(groups, key=lambda group: order.index(group[0]))
    ]


def _strips(rows: list[MetricValue], overall: float) -> list[Strip]:
    ordered = sorted(rows, key=lambda row: (math.isnan(row.value), row.value))
    marks = [x for row in rows for x in (row.value, row.low, row.high) if math.isfinite(x)]
    marks += [overall] if math.isfinite(overall) else []
    low, high = (min(marks), max(marks)) if marks else (0.0, 0.0)
    return [Strip(row.slice.partition("=")[2], row, _strip(row, overall, low, high)) for row in ordered]


def _strip(row: MetricValue, overall: float, low: float, high: float) -> Markup:
    span = (high - low) or 1.0

    def at(value: float) -> str:
        return f"{_MARGIN + (value - low) / span * (_WIDTH - 2 * _MARGIN):.1f}"

    middle = _HEIGHT / 2
    parts = []
    if math.isfinite(overall):
        parts.append(Markup('<line class="whole" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(at(overall), _HEIGHT))
    if math.isfinite(row.low) and math.isfinite(row.high):
        parts.append(
            Markup('<line class="span" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                at(row.low), at(row.high), middle, middle
            )
        )
    if math.isfinite(row.value):
        parts.append(Markup('<circle class="dot" cx="{}" cy="{}" r="4"/>').format(at(row.value), middle))
    return Markup(
        '<svg class="strip" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{2}</svg>'
    ).format(_WIDTH, _HEIGHT, Markup().join(parts))
