"""Everything that executes, of one project or of all: what needs a look and what is under way first, and what is due."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from slipway.operations.executions import KINDS, STATES, Due, Execution, Executions
from slipway.ports.workspace import in_project
from slipway.server.choices import choices
from slipway.server.view import Context, View
from slipway.tables.catalog import simulated_in

__all__ = ["everywhere", "of_project"]

_DUE = 20
_ASKED = ("kind", "state", "limit")
_LIMIT = 100


@dataclass(frozen=True, slots=True)
class _Row:
    """An execution, or what is due, with its project."""

    project: str
    one: Any


def of_project(view: View) -> Context:
    """Those of one project."""
    return _shown(view, [view.workspace.project])


def everywhere(view: View) -> Context:
    """Those of every project that whoever asks may see."""
    names = [project.name for project in view.ask("projects.list").projects]
    return {**_shown(view, names), "made_up": simulated_in(view.workspace, names)}


def _shown(view: View, names: list[str]) -> Context:
    asked = {name: view.query[name] for name in _ASKED if view.query.get(name)}
    found: list[tuple[str, Executions]] = []
    for name in names:
        inside = View(in_project(view.workspace, name), view.path, view.query, view.address, view.sources)
        found.append((name, inside.ask("executions.list", **asked)))
    limit = int(asked["limit"]) if found and "limit" in asked else _LIMIT  # what is no number was refused there
    rows = sorted((_Row(name, one) for name, listed in found for one in listed.executions), key=_rank)
    due = sorted((_Row(name, one) for name, listed in found for one in listed.due), key=_when)
    more = sum(listed.more for _, listed in found) + max(0, len(rows) - limit)
    return {
        "rows": rows[:limit],
        "due": due[:_DUE],
        "more": more,
        "is_all": not view.workspace.project,
        "asked": asked,
        "kinds": choices(asked, "kind", KINDS, [listed.kinds for _, listed in found]),
        "states": choices(asked, "state", STATES, [listed.states for _, listed in found]),
        "wider": f"?{urlencode({**asked, 'limit': '500'})}" if more and limit < 500 else "",
        "rule": next((listed.rule for _, listed in found), ""),
        "rates": next((listed.rates for _, listed in found), None),
        "live": any(row.one.state in ("running", "waiting", "stuck", "late") for row in rows),
    }


def _rank(row: _Row) -> tuple[int, float, str]:
    one: Execution = row.one
    order = {"stuck": 0, "late": 1, "running": 2, "waiting": 3}
    return order.get(one.state, 4), -one.started_at.timestamp(), one.id


def _when(row: _Row) -> tuple[float, str]:
    due: Due = row.one
    return due.at.timestamp(), due.name
