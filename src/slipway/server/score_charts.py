"""Pictures of how good answers are: scores by day of decision beside their estimates, and business figures over time."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from markupsafe import Markup
from msgspec import structs

from slipway.charts.bands import band_chart
from slipway.charts.cohorts import Cohort, cohort_chart
from slipway.operations.findings import FoundOverTime, MonitorFindings
from slipway.operations.quality import CohortTable, QualityReport
from slipway.records.monitors import Finding

__all__ = ["by_day", "first_metric", "kpi"]

_Point = tuple[str, float | None, float | None, float | None]


def by_day(quality: QualityReport, told: FoundOverTime, since: date) -> list[dict[str, Any]]:
    """A picture for each metric: what labels say, and what was estimated before they came.

    Args:
        quality: The cohorts.
        told: What monitors found over the time.
        since: The first day.
    """
    found, before = [], _before(told)
    for whole in quality.tables:
        table = structs.replace(whole, cohorts=tuple(one for one in whole.cohorts if one.day >= since))
        guesses = next((one for one in told.monitors if one.kind == "estimated" and one.metric == table.metric), None)
        realised, arms = _realised(table)
        guessed = _estimates(guesses) if guesses else []
        name = table.metric.replace("_", " ")
        levels = {"limit": before[table.metric]} if table.metric in before else {}
        svg = cohort_chart(realised, guessed, title=f"{name} by day of decision", y_label=name, levels=levels)
        found.append(
            {"table": table, "svg": Markup(svg), "arms": arms, "has_estimates": bool(guessed)}
        )  # escaped there
    covered = {table.metric for table in quality.tables}
    for each in told.monitors:
        if each.kind == "estimated" and each.metric not in covered:
            name = each.metric.replace("_", " ")
            svg = cohort_chart((), _estimates(each), title=f"{name}, estimated before labels", y_label=name)
            found.append({"table": None, "svg": Markup(svg), "arms": [], "has_estimates": True})
    return found


def _realised(table: CohortTable) -> tuple[list[Cohort], list[str]]:
    """The cohorts of the arm that answers most, and the names of the others."""
    rows: dict[str, int] = {}
    for one in table.cohorts:
        rows[one.arm] = rows.get(one.arm, 0) + one.predictions
    main = max(rows, key=lambda arm: rows[arm], default="")
    shown = [
        Cohort(
            one.day,
            one.value,
            one.low,
            one.high,
            one.state == "mature",
            f"{one.state}, {one.labels:,} of {one.predictions:,} labelled",
        )
        for one in table.cohorts
        if one.arm == main
    ]
    return shown, sorted(set(rows) - {main})


def _estimates(each: MonitorFindings) -> list[Cohort]:
    last: dict[date, Finding] = {one.window_until.date(): one for one in each.findings}
    return [Cohort(day, _figure(one, "value"), _figure(one, "low"), _figure(one, "high")) for day, one in last.items()]


def _figure(finding: Finding, name: str) -> float | None:
    value = finding.values.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _before(told: FoundOverTime) -> dict[str, float]:
    """What each metric was to be, by the last finding of its monitor that could tell."""
    found = {}
    for each in told.monitors:
        limits = [limit for one in each.findings if (limit := _figure(one, "limit")) is not None]
        if each.kind == "quality" and limits:
            found[each.metric] = limits[-1]
    return found


def kpi(each: MonitorFindings, contracts: Iterable[Any]) -> dict[str, Any]:
    """A business figure over time, with what it may not fall below, and beside it the metric that stands for it."""
    contract = next((one.contract for one in contracts if one.contract.terms.kpi == each.monitor), None)
    terms = contract.terms if contract else None
    levels: dict[str, float] = {}
    last = each.findings[-1] if each.findings else None
    limit, before = (_figure(last, "limit"), _figure(last, "before")) if last else (None, None)
    if terms is not None and terms.limit is not None:
        levels["limit"] = terms.limit
    elif limit is not None:
        levels["limit"] = limit
    if terms is not None and before is not None:
        levels["before"] = before
        if terms.guard:
            levels["guard band"] = before - terms.guard if terms.better == "higher" else before + terms.guard
    points = _points(each)
    unit = terms.unit if terms else str(last.values.get("unit", "")) if last else ""
    title = each.monitor
    beside = [
        (name, value, value, value)
        for (name, *_), value in zip(points, (_figure(one, "metric_value") for one in each.findings), strict=True)
    ]
    has_beside = any(value is not None for _, value, *_ in beside)
    metric = (terms.metric if terms else each.metric).replace("_", " ")
    return {
        "name": each.monitor,
        "contract": contract,
        "last": last,
        "svg": Markup(band_chart(points, title=title, y_label=unit or each.metric, levels=levels)),  # escaped there
        "beside": Markup(band_chart(beside, title=f"{metric}, which stands for it", y_label=metric))
        if has_beside
        else "",
    }


def first_metric(told: FoundOverTime) -> Markup | str:
    """The model's first metric over time, to stand beside business figures that have none of their own."""
    each = next((one for one in told.monitors if one.kind == "quality" and one.findings), None)
    if each is None:
        return ""
    name = each.metric.replace("_", " ")
    points = _points(each)
    limits = [limit for one in each.findings if (limit := _figure(one, "limit")) is not None]
    levels = {"limit": limits[-1]} if limits else {}
    return Markup(band_chart(points, title=f"{name}, the model's own figure", y_label=name, levels=levels))


def _points(each: MonitorFindings) -> list[_Point]:
    """What a band is drawn of: the last day of each window, the figure, and its interval."""
    return [
        (
            f"{one.window_until.day} {one.window_until:%b}",
            _figure(one, "value"),
            _figure(one, "low"),
            _figure(one, "high"),
        )
        for one in each.findings
    ]
