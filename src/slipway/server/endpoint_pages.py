"""The pages of an endpoint: what serves and is it well, what was decided, a prediction to try, and the acts on it."""

from collections.abc import Iterable
from typing import TypeVar

from slipway.charts import consistency
from slipway.client import endpoint_openapi
from slipway.operations.asking import Traffic
from slipway.operations.endpoints import EndpointDetail
from slipway.operations.permissions import allowed
from slipway.operations.rollouts import Rollouts
from slipway.records.loop import Action
from slipway.records.record import Record
from slipway.records.rollouts import Rollout
from slipway.server import abtests, comments, contracts, rollouts, traffic_charts
from slipway.server.view import Context, View

__all__ = ["endpoint", "newest_of_each"]

_ACTIONS_A_QUESTION = 1000
_LATEST_ACTIONS, _MOST_ACTIONS = 20, 120
_STORIES = 10
_DAYS = ("3", "28", "92")

R = TypeVar("R", bound=Record)


def newest_of_each(records: Iterable[R]) -> list[R]:
    """The newest of each name; they come newest first."""
    first: dict[str, R] = {}
    for record in records:
        first.setdefault(record.name, record)
    return list(first.values())


def endpoint(view: View) -> Context:
    """An endpoint."""
    name = view.path["name"]
    detail: EndpointDetail = view.ask("endpoints.get", name=name)
    newest = detail.revisions[0]
    where = detail.status.url if detail.status else f"http://{newest.host}:{newest.port or 'PORT'}"
    rolled: Rollouts = view.ask("rollouts.list", endpoint=name, limit=100)
    standing = view.ask_if_allowed("approvals.standing", endpoint=name)
    health = None if newest.batch else view.ask("endpoints.health", name=name)
    findings = newest_of_each(detail.findings)
    under_way = next((one for one in rolled.rollouts if one.is_under_way), None)
    actions = list(reversed(_actions(view, name)))
    shown = view.query.get("days", "28")
    days = shown if shown in _DAYS else "28"
    ran: Traffic | None = None if newest.batch else view.ask_later("endpoints.traffic", name=name, days=days)
    return {
        "detail": detail,
        "made_up": detail.simulated,
        "newest": newest,
        "health": health,
        "callers": view.ask("endpoints.callers", name=name).callers,
        "findings": findings,
        "contracts": contracts.contracts_at(view, name),
        "agreement": view.ask_later("endpoints.agreement", endpoint=name) if newest.old_system else None,
        "asks_quality": "quality" in view.query,
        "quality": view.ask_later("endpoints.quality", name=name) if "quality" in view.query else None,
        "consistency": detail.consistency
        and {"report": detail.consistency, "sentence": consistency.sentence(detail.consistency)},
        "curl": endpoint_openapi.curl(newest, where),
        "rollouts": [
            (one, rollouts.stages(one), rollouts.plan(one), rollouts.evidence_charts(one)) for one in rolled.rollouts
        ],
        "abtests": [(one, abtests.effect_charts(one)) for one in view.ask("abtests.list", endpoint=name).tests],
        "retrainings": view.ask("retrainings.list", endpoint=name, limit=100).retrainings,
        "actions": actions[:_MOST_ACTIONS],
        "actions_left": len(actions[_MOST_ACTIONS:]),
        "latest": _LATEST_ACTIONS,
        "told": view.ask("loop.stories", endpoint=name, limit=_STORIES),
        "standing": standing.approvals if standing else (),
        "retrains": standing is not None and standing.retrains,
        "threads": {
            one.id: comments.thread(view, f"incident:{one.id}") for one in detail.incidents if one.state == "open"
        },
        "simulations": view.ask("simulations.list", endpoint=name, limit=20).simulations,
        "traffic": ran,
        "days": days,
        "all_days": _DAYS,
        "traffic_charts": traffic_charts.charts(ran) if ran else [],
        "wanted": _wanted(detail, under_way),
        "under_way": under_way,
        "may": _may(view),
        "did": view.query.get("did", ""),
        "back": view.address,
        "live": any(one.state == "running" for one in detail.scorings),  # what else is here changes from look to look
    }


def _may(view: View) -> dict[str, bool]:
    """Which acts whoever asks may do."""
    rights = {
        "deploy": "endpoints.deploy",
        "decide": "rollouts.decide",
        "ask": "endpoints.predict",
        "score": "endpoints.score",
        "approve": "approvals.grant",
    }
    return {word: allowed(view.workspace.actor, right) for word, right in rights.items()}


def _wanted(detail: EndpointDetail, rollout: Rollout | None) -> list[tuple[str, str]]:
    """What the endpoint asks of people now: a section of the page, and a sentence."""
    found = [
        ("incidents", f"{one.cause or one.name}: {one.sentence}") for one in detail.incidents if one.state == "open"
    ]
    if rollout is not None and rollout.asked_at is not None:
        found.append(("rollout", "The roll-out has come to its deadline and somebody is to decide."))
    elif rollout is not None and rollout.paused_at is not None:
        found.append(("rollout", "The roll-out is paused: somebody has to let it go on, or end it."))
    return found


def _actions(view: View, endpoint: str) -> list[Action]:
    """All that the loop did at an endpoint, oldest first."""
    found: list[Action] = []
    while True:
        after = found[-1].number if found else 0
        page = view.ask("loop.actions", endpoint=endpoint, after=after, limit=_ACTIONS_A_QUESTION).actions
        found += page
        if len(page) < _ACTIONS_A_QUESTION:
            return found
