"""Figures of the pages: metrics by slice, a strip with its interval for each, and the lineage of a model."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from slipway.charts.lineage import Node, lineage_graph
from slipway.operations.models import ModelDetail
from slipway.records.models import MetricValue
from slipway.records.record import Link
from slipway.server.formats import href

__all__ = ["SliceChart", "Strip", "lineage", "slice_charts"]

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


def lineage(detail: ModelDetail, project: str) -> Markup:
    """The graph of what a model was made of and what came of it.

    Artifacts are left out: what made one and what used it are joined directly, or reused steps would hide the rest.
    """
    links = _without_artifacts(detail.lineage)
    ids = dict.fromkeys(end for source, target, _ in links for end in (source, target))
    focus = f"model:{detail.version.id}"
    nodes = [_node(id, detail, project) for id in (ids or {focus: None})]
    title = f"What {detail.version.name} {detail.version.number} was made of, and what came of it"
    return Markup(lineage_graph(nodes, links, title=title, focus=focus))  # its texts are escaped there


def _without_artifacts(links: tuple[Link, ...]) -> list[tuple[str, str, str]]:
    makers: dict[str, list[Link]] = {}
    for link in links:
        if link.target.startswith("artifact:"):
            makers.setdefault(link.target, []).append(link)
    kept: dict[tuple[str, str], str] = {}
    for link in links:
        if link.target.startswith("artifact:"):
            continue
        if link.source.startswith("artifact:"):
            for maker in makers.get(link.source, ()):
                if maker.source != link.target:
                    kept.setdefault((maker.source, link.target), link.role)
        else:
            kept.setdefault((link.source, link.target), link.role)
    return [(source, target, role) for (source, target), role in kept.items()]


def _node(id: str, detail: ModelDetail, project: str) -> Node:
    kind, _, rest = id.partition(":")
    name, at, version = rest.rpartition("/")[2].partition("@")
    if kind == "table" and at:
        return Node(id, kind, f"{name}@{version[:8]}", href("projects", project, "tables", name))
    if kind == "run":
        return Node(id, kind, rest[:12], href("projects", project, "runs", rest))
    if kind == "model" and rest == detail.version.id:
        own = detail.version
        return Node(id, kind, f"{own.name} {own.number}", href("projects", project, "models", own.name, own.number))
    if kind == "revision":
        endpoint, _, number = rest.partition("/")[2].partition("/")
        return Node(id, kind, f"{endpoint} {number}", href("projects", project, "endpoints", endpoint))
    for verdict in detail.verdicts:
        if id == f"verdict:{verdict.id}":
            return Node(id, kind, f"{'passed' if verdict.passed else 'refused'} for {verdict.environment}")
    for approval in detail.approvals:
        if id == f"approval:{approval.id}":
            return Node(id, kind, f"{approval.name} {approval.decision}")
    for reproduction in detail.reproductions:
        if id == f"reproduction:{reproduction.id}":
            return Node(id, kind, reproduction.verdict)
    return Node(id, kind, rest[:12])
