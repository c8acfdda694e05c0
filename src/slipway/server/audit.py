"""The page of the audit log: whether its seals hold, and what happened by whom, what, on what and when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from slipway.errors import Corrupt, InvalidInput
from slipway.server.view import Context, View

__all__ = ["audit"]

_A_PAGE = 200
_WHOLE = 100_000
_FILTERS = ("person", "act", "thing", "since", "until")


def audit(view: View) -> Context:
    """What happened, the newest first."""
    asked = {name: text for name in _FILTERS if (text := view.query.get(name, "").strip())}
    context: Context = {"asked": asked, "events": (), "next": "", "download": "", "refused": None}
    try:
        state, damage = view.ask_later("audit.verify"), None
    except Corrupt as problem:
        state, damage = None, problem
    try:
        fields = _fields(asked)
        found = view.ask("audit.list", newest=True, limit=_A_PAGE, **fields, **_place(view))
    except InvalidInput as problem:  # said under the form, to be mended there
        return context | {"state": state, "damage": damage, "refused": problem}
    base = f"/api/v1/projects/{view.workspace.project}/audit/list"
    return context | {
        "state": state,
        "damage": damage,
        "events": found.events,
        "next": f"?{urlencode({**asked, 'before': found.next})}" if found.next else "",
        "download": f"{base}?{urlencode({**fields, 'limit': _WHOLE})}",
    }


def _place(view: View) -> dict[str, Any]:
    return {"before": view.query["before"]} if view.query.get("before") else {}


def _fields(asked: dict[str, str]) -> dict[str, Any]:
    """The fields of the question; days become instants, the last one to its end.

    Raises:
        InvalidInput: A day is none.
    """
    fields: dict[str, Any] = {name: asked[name] for name in ("person", "act", "thing") if name in asked}
    for name, days in (("since", 0), ("until", 1)):
        if name not in asked:
            continue
        try:
            at = datetime.fromisoformat(asked[name])
            at = at.replace(tzinfo=at.tzinfo or UTC)
            fields[name] = (at + timedelta(days=days if len(asked[name]) <= len("2013-04-01") else 0)).isoformat()
        except (ValueError, OverflowError) as problem:
            raise InvalidInput(
                f"{asked[name][:40]!r} is no day.", fix="Give one such as 2013-04-01, in UTC.", field=name
            ) from problem
    return fields
