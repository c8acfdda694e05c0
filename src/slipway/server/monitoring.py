"""The pages on which an endpoint is watched: drift as a map, quality by cohort, business figures, service; one column."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from markupsafe import Markup

from slipway.charts.beside import share_chart
from slipway.errors import InvalidInput
from slipway.operations.drift import DriftMap, MapCell, MapColumn
from slipway.operations.findings import FoundOverTime
from slipway.operations.health import ServiceHours
from slipway.operations.quality import QualityReport
from slipway.records.monitors import Finding, Incident
from slipway.server import score_charts
from slipway.server.formats import href
from slipway.server.view import Context, View

__all__ = ["PERIODS", "column", "monitoring", "watched"]

PERIODS = (("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"), ("all", "all that is kept"))
_DAYS = {"24h": 2, "7d": 7, "30d": 30, "all": 70}
_LEAST_DAYS = 30
"""So many days of quality are asked for at least: a server that is asked for fewer and for more in turn reads the log anew."""
_MARKS = {"drifted": "D", "moved": "M", "steady": "·", "cannot tell": "?"}
_SERVICE = {
    "answered": ("✓", "good"),
    "some failed": ("!", "warn"),
    "no results": ("✕", "bad"),
    "asleep": ("z", "calm"),
    "not watched": ("", "calm"),
}
_GOOD = {"ok": ("✓", "good"), "note": ("n", "warn"), "alert": ("✕", "bad"), "cannot tell": ("?", "calm")}
_WORST_SERVICE = ("not watched", "asleep", "answered", "some failed", "no results")
_WORST_GOOD = ("cannot tell", "ok", "note", "alert")
_JUDGE_ANSWERS = ("quality", "estimated", "kpi")


@dataclass(frozen=True)
class Mark:
    """One cell of a map: a letter and a tone, what it says when pointed at, and where it leads."""

    letter: str
    tone: str
    told: str
    href: str = ""
    is_alarmed: bool = False


@dataclass(frozen=True)
class Row:
    """One row of a map."""

    name: str
    href: str
    note: str
    marks: list[Mark]


@dataclass(frozen=True)
class Strip:
    """A span of time by its parts, and two questions about each: whether callers got results, and whether these were good."""

    heads: list[str]
    service: list[Mark]
    good: list[Mark]


def watched(view: View) -> Context:
    """Every endpoint of a project with how it is watched."""
    listed = view.ask("endpoints.list").endpoints
    rows = []
    for row in listed:
        detail = view.ask("endpoints.get", name=row.revision.name)
        newest: dict[str, Finding] = {}
        for finding in detail.findings:
            newest.setdefault(finding.name, finding)
        open_ones = [one for one in detail.incidents if one.state == "open"]
        declared = {one.name for one in row.revision.monitors}
        shown = [one for one in newest.values() if one.name in declared or not declared]
        rows.append({"row": row, "findings": shown, "open": open_ones})
    return {"rows": rows}


def monitoring(view: View) -> Context:
    """How one endpoint does over a period."""
    name, period = view.path["name"], view.query.get("period") or "30d"
    if period not in _DAYS:
        raise InvalidInput(f"{period!r} is no period.", fix=f"Choose {', '.join(_DAYS)}.", field="period")
    found: DriftMap | None = view.ask_later("endpoints.drift_map", name=name, period=period)
    detail = view.ask("endpoints.get", name=name)
    days = _DAYS[period]
    quality: QualityReport | None = view.ask_later("endpoints.quality", name=name, days=str(max(_LEAST_DAYS, days)))
    until = view.workspace.clock.now()
    since = until - timedelta(days=1 if period == "24h" else days)
    told: FoundOverTime = view.ask("endpoints.findings", name=name, since=since.isoformat())
    incidents = view.ask_if_allowed("incidents.list", endpoint=name, state="", limit="500")
    relevant = _within(incidents.incidents if incidents else (), since, until)
    batch = detail.revisions[0].batch
    hours: ServiceHours = view.ask("endpoints.health_hours", name=name, hours=str(min(720, 24 * days)))
    contracts = view.ask_if_allowed("contracts.list")
    return {
        "name": name,
        "period": period,
        "periods": PERIODS,
        "map": found,
        "heads": heads(found) if found else (),
        "rows": [_row(found, each, relevant) for each in found.columns] if found else (),
        "alarms": _alarms(view, found, relevant) if found else (),
        "health": None if batch else view.ask("endpoints.health", name=name),
        "strip": _strip(period, since, until, hours, told),
        "incidents": relevant,
        "quality": quality,
        "charts": score_charts.by_day(quality, told, since.date()) if quality else (),
        "kpis": [
            score_charts.kpi(each, contracts.contracts if contracts else ())
            for each in told.monitors
            if each.kind == "kpi"
        ],
        "metric": score_charts.first_metric(told),
        "findings": [(each, each.findings[-1]) for each in told.monitors if each.findings and each.kind],
        "made_up": detail.simulated,
    }


def column(view: View) -> Context:
    """One column in one window: its questions, and its values beside what is usual."""
    name, wanted = view.path["name"], view.query.get("column", "")
    found = view.ask("endpoints.drift_column", name=name, column=wanted, **_asked(view))
    incidents = view.ask_if_allowed("incidents.list", endpoint=name, state="", limit="500")
    about: list[Incident] = []
    if incidents and found.window_from:
        near = _within(incidents.incidents, found.window_from, found.window_until)
        about = [one for one in near if wanted in one.columns or one.cause in ("quality", "kpi", "estimated quality")]
    bars = [(bar.label, bar.now, bar.usual, bar.training) for bar in found.bars]
    place = found.windows.index(found.window_from) if found.window_from in found.windows else -1
    return {
        "name": name,
        "found": found,
        "incidents": about,
        "picture": Markup(
            share_chart(bars, title=f"Values of {wanted}", names=(f"this {found.unit}", "usual", "training"))
        )
        if bars
        else "",  # its texts are escaped there
        "earlier": f"?{_query(wanted, found.windows[place - 1], found.unit)}" if place > 0 else "",
        "later": f"?{_query(wanted, found.windows[place + 1], found.unit)}"
        if 0 <= place < len(found.windows) - 1
        else "",
    }


def heads(found: DriftMap) -> list[str]:
    """What stands above each window: the hour, or the day, with the month where it begins anew."""
    if found.unit == "hour":
        return [f"{at:%H}" for at in found.windows]
    shown, month = [], 0
    for at in found.windows:
        shown.append(f"{at.day} {at:%b}" if at.month != month else str(at.day))
        month = at.month
    return shown


def _query(name: str, window: datetime, unit: str) -> str:
    """What the page of a column is asked with: the day, or the hour."""
    return urlencode({"column": name, "window": window.strftime("%Y-%m-%dT%H" if unit == "hour" else "%Y-%m-%d")})


def _leads(name: str, window: datetime, unit: str) -> str:
    """The page of a column from that of its endpoint: as short as it goes, for a map has a thousand of them."""
    return f"monitoring/column?{_query(name, window, unit)}"


def _asked(view: View) -> dict[str, str]:
    """The window that the address names: a day, or an hour."""
    window = view.query.get("window", "")
    return {"window": window, "unit": "hour" if "T" in window else "day"} if window else {}


def _row(found: DriftMap, each: MapColumn, incidents: Sequence[Incident]) -> Row:
    marks = []
    for window, cell in zip(found.windows, each.cells, strict=True):
        end = window + (timedelta(hours=1) if found.unit == "hour" else timedelta(days=1))
        about = [one for one in _within(incidents, window, end) if each.column in one.columns]
        marks.append(_mark(cell, window, found.unit, _leads(each.column, window, found.unit), bool(about)))
    last = found.windows[-1] if found.windows else None
    note = "" if each.is_used else "not used"
    if each.importance is not None:
        note = f"{each.importance:.0%}" if each.is_used else f"not used, {each.importance:.0%}"
    return Row(each.column, _leads(each.column, last, found.unit) if last else "", note, marks)


def _mark(cell: MapCell, window: datetime, unit: str, address: str, is_alarmed: bool) -> Mark:
    when = f"{window.day} {window:%b}" + (f" {window:%H:%M}" if unit == "hour" else "")
    shown = ".2f" if cell.question == "dependence" else ".1%"
    figure = "" if cell.verdict == "cannot tell" else f" {cell.effect:{shown}} (floor {cell.floor:{shown}})"
    by_training = cell.season == "training"
    beside = ", beside training" if by_training else ""
    letter = _MARKS[cell.verdict]
    told = f"{when}: {cell.verdict}{beside}; {cell.question}{figure}"
    tone = {"drifted": "bad", "moved": "warn", "steady": "steady", "cannot tell": "unknown"}[cell.verdict]
    letter = letter.lower() if by_training else letter
    return Mark(letter, tone, f"{told}; an incident is about it" if is_alarmed else told, address, is_alarmed)


def _within(incidents: Iterable[Incident], since: datetime, until: datetime) -> list[Incident]:
    """Those that were open at any time in between."""
    return [
        one
        for one in incidents
        if (one.since or one.created_at) < until and (one.closed_at is None or one.closed_at > since)
    ]


def _alarms(view: View, found: DriftMap, incidents: Sequence[Incident]) -> list[Mark]:
    """A cell a window with how many incidents were open in it; it leads to the newest."""
    marks = []
    for window in found.windows:
        end = window + (timedelta(hours=1) if found.unit == "hour" else timedelta(days=1))
        about = [one for one in incidents if one.created_at < end and (one.closed_at is None or one.closed_at > window)]
        if not about:
            marks.append(Mark("", "", ""))
            continue
        told = "; ".join(f"{one.cause or one.name}: {one.sentence}" for one in about[:3])
        address = href("projects", view.workspace.project, "incidents", about[0].id)
        marks.append(Mark(str(len(about)), "bad", told[:400], address))
    return marks


def _strip(period: str, since: datetime, until: datetime, hours: ServiceHours, told: FoundOverTime) -> Strip:
    """Hours of a day, or days, with the worst of each."""
    step = timedelta(hours=1) if period == "24h" else timedelta(days=1)
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = first if period == "24h" else first.replace(hour=0)
    begins = []
    while first <= until:
        begins.append(first)
        first += step
    names, service, good, month = [], [], [], 0
    for begin in begins:
        end = begin + step
        names.append(
            f"{begin:%H}" if period == "24h" else f"{begin.day} {begin:%b}" if begin.month != month else str(begin.day)
        )
        month = begin.month
        within = [one for one in hours.hours if begin <= one.at < end]
        state = max((one.state for one in within), key=_WORST_SERVICE.index, default="not watched")
        bad, asked = sum(one.counted.bad for one in within), sum(one.counted.requests for one in within)
        service.append(Mark(*_SERVICE[state], f"{state}: {bad:,} of {asked:,} requests without a result"))
        found = [
            (each.monitor, one)
            for each in told.monitors
            if each.kind in _JUDGE_ANSWERS
            for one in each.findings
            if begin <= one.created_at < end
        ]
        if not found:
            good.append(Mark("", "calm", "nobody looked"))
            continue
        name, worst = max(found, key=lambda pair: _WORST_GOOD.index(pair[1].state))
        good.append(Mark(*_GOOD[worst.state], f"{worst.state}, {name}: {worst.sentence}"[:300]))
    return Strip(names, service if hours.hours else [], good)
