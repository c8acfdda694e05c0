"""The first page, and that of a project: what serves, whether it is well, what needs whoever asks, what happened.

Each role sees its own work first; nobody is kept from the rest of what they may read.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from markupsafe import Markup

from slipway.charts.sparks import spark_bars
from slipway.operations.home import Home, HomeEndpoint
from slipway.ports.workspace import in_project
from slipway.records.record import Record
from slipway.server.endpoint_pages import newest_of_each
from slipway.server.view import Context, View
from slipway.tables.catalog import simulated_tables

__all__ = ["endpoints", "first", "one_project"]

_OUTERMOST = "parent is null"
_RUNS = 6
_CARDS = 6
"""So many endpoints that are well have a card each; more are a table."""
_TROUBLES = 12

R = TypeVar("R", bound=Record)

_SECTIONS: dict[str, tuple[str, ...]] = {
    "data scientist": ("runs", "models", "drift"),
    "data engineer": ("tables", "executions", "runs"),
    "ml engineer": ("endpoints", "executions"),
    "platform engineer": ("endpoints", "executions"),
    "governance": ("models", "contracts", "endpoints"),
    "business owner": ("contracts", "endpoints", "simulations"),
    "executive viewer": ("endpoints", "contracts", "simulations"),
    "software engineer": ("endpoints",),
}
"""What a role sees before what happened; who holds several sees them in this order."""
_REST = ("endpoints", "drift", "contracts", "simulations", "executions", "models", "runs", "tables")
_TONES = {"well": "good", "alert": "bad", "down": "bad", "starting": "calm"}


def first(view: View) -> Context:
    """All projects of the store: of one everything, of several what matters now."""
    names = [project.name for project in view.ask("projects.list").projects]
    found = [_overview(view, name, is_short=len(names) > 1) for name in names]
    made_up = tuple(dict.fromkeys(table for overview in found for table in overview["made_up"]))
    return {
        "overviews": found,
        "root": str(view.workspace.root),
        "made_up": made_up,
        "live": any(one["home"].endpoints for one in found),
    }


def one_project(view: View) -> Context:
    """One project."""
    view.ask("projects.list")  # whoever may not, does not learn that there is such a project
    view.sources.pop()
    overview = _overview(view, view.workspace.project)
    return {
        "overviews": [overview],
        "root": str(view.workspace.root),
        "made_up": overview["made_up"],
        "live": bool(overview["home"].endpoints),
    }


def endpoints(view: View) -> Context:
    """All endpoints of a project, those in trouble first."""
    home: Home = view.ask("projects.home")
    rows = [_shown(one) for one in home.endpoints]
    rows.sort(key=lambda row: row["tone"] == "good")
    return {"overview": {"name": view.workspace.project, "rows": rows}, "live": bool(rows)}


def _overview(view: View, project: str, *, is_short: bool = False) -> Context:
    inside = View(in_project(view.workspace, project), view.path, view.query, view.address, view.sources)
    home: Home = inside.ask("projects.home")
    own = [section for role in _SECTIONS if role in home.roles for section in _SECTIONS[role]]
    is_all = home.is_open or "admin" in home.roles or not own
    own = list(dict.fromkeys(("endpoints",) if is_all else own))
    return {
        "name": project,
        "made_up": simulated_tables(inside.workspace),
        "home": home,
        "summary": _summary(home),
        "own": own,
        "rest": [] if is_short else [section for section in _REST if section not in own],
        "is_short": is_short,
        **_endpoints(home),
        **_details(inside, is_short=is_short, own=own),
    }


def _endpoints(home: Home) -> Context:
    shown = [_shown(one) for one in home.endpoints]
    troubled = [one for one in shown if one["tone"] != "good"]
    well = [one for one in shown if one["tone"] == "good"]
    as_cards = len(well) <= _CARDS
    return {
        "cards": troubled[:_TROUBLES] + (well if as_cards else []),
        "rows": troubled[_TROUBLES:] + ([] if as_cards else well),
        "drift": [one for one in home.endpoints if one.drift],
    }


def _shown(one: HomeEndpoint) -> Context:
    told = f"{sum(one.traffic):,} requests to {one.name} in the last {len(one.traffic)} hours, by hour"
    bars = spark_bars(one.traffic, title=told) if one.traffic else ""
    return {"of": one, "tone": _TONES.get(one.word, "warn"), "bars": Markup(bars)}  # its title is escaped there


def _details(inside: View, *, is_short: bool, own: Sequence[str]) -> dict[str, Any]:
    def asked(section: str, name: str, **fields: Any) -> Any:
        return None if is_short and section not in own else inside.ask_if_allowed(name, **fields)

    runs = asked("runs", "runs.search", where=_OUTERMOST, limit=_RUNS)
    models = asked("models", "models.list")
    tables = asked("tables", "tables.list")
    simulated = asked("simulations", "simulations.list", limit=50)
    agreed = asked("contracts", "contracts.list")
    executed = asked("executions", "executions.list", limit=_RUNS)
    return {
        "runs": runs.runs if runs else None,
        "models": models.models[:_RUNS] if models else None,
        "tables": tables.tables if tables else None,
        "simulations": newest_of_each(simulated.simulations) if simulated else [],
        "contracts": agreed.contracts if agreed else (),
        "executions": [one for one in executed.executions if one.place] if executed else [],
        "raci": None if is_short else inside.ask_if_allowed("raci.get"),
    }


def _summary(home: Home) -> dict[str, Any]:
    """One sentence, and whether it is a good one."""
    ill = [one for one in home.endpoints if one.word not in ("well", "starting")]
    parts = []
    if ill:
        verb = "needs" if len(ill) == 1 else "need"
        of = f" of {len(home.endpoints):,} endpoints" if len(home.endpoints) > 1 else " endpoint"
        parts.append(f"{len(ill):,}{of} {verb} a look")
    if home.incidents:
        many = "1 incident is" if len(home.incidents) == 1 else f"{len(home.incidents):,} incidents are"
        parts.append(f"{many} open of schedules or tables")
    if home.needs:
        parts.append("1 thing waits for you" if len(home.needs) == 1 else f"{len(home.needs):,} things wait for you")
    if parts:
        return {"is_well": False, "sentence": f"{'; '.join(parts)}."}
    if not home.endpoints:
        return {"is_well": True, "sentence": "Nothing serves yet, and nothing waits for you."}
    many = "The endpoint is well" if len(home.endpoints) == 1 else f"All {len(home.endpoints):,} endpoints are well"
    return {"is_well": True, "sentence": f"{many}, and nothing waits for you."}
