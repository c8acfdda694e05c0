"""One project at a glance: what serves and whether it is well, what needs whoever asks, what happened lately.

However many endpoints there are, each table of the ledger is asked once for all of them; of each endpoint only what its
processes wrote into its folder is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of, last_status, next_scoring
from slipway.flows.happened import happened
from slipway.flows.health import read_state, service_monitor
from slipway.flows.home_needs import needs
from slipway.governance.people import somebody_is_known
from slipway.governance.telling import place_of
from slipway.ledger import entries
from slipway.operations.home import AskHome, Home, HomeEndpoint, Need, Wellness
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.health import HealthState
from slipway.records.monitors import Finding, Incident
from slipway.records.people import MEMBER
from slipway.records.rollouts import Rollout
from slipway.records.scorings import Scoring

__all__ = ["get_home"]

_LONGEST_H = 744
_FINDINGS = 400
_HOURS = 24
_LOUD: dict[str, int] = {"page": 0, "": 1, "alert": 1, "ticket": 2}
_ORDER: dict[Wellness, int] = {
    "down": 0, "alert": 1, "ticket": 2, "stopped": 3, "starting": 4, "not watched": 5, "well": 6,
}  # fmt: skip


class _Known(NamedTuple):
    """What the ledger says of all endpoints at once, by `<project>/<endpoint>`."""

    incidents: Mapping[str, Sequence[Incident]]
    rollouts: Mapping[str, Rollout]
    drift: Mapping[str, Finding]
    scorings: Mapping[str, Scoring]


def get_home(workspace: Workspace, request: AskHome) -> Home:
    """One project as whoever asks may see it: what their roles do not let them read is left out.

    Raises:
        InvalidInput: The hours are none.
    """
    if not 1 <= request.hours <= _LONGEST_H:
        fix = f"Give 1 to {_LONGEST_H}: hours=24."
        raise InvalidInput(f"{request.hours} hours back is no time.", fix=fix, field="hours")
    actor = workspace.actor
    reads = {noun for noun in ("endpoints", "incidents") if allowed(actor, f"{noun}.read")}
    with workspace.ledger.read() as tx:
        is_open = not somebody_is_known(tx)
        revisions, known = _ledger(tx, workspace) if "endpoints" in reads else ([], _Known({}, {}, {}, {}))
        around = _around(tx, workspace) if "incidents" in reads else ()
    rows = [_row(workspace, one, known) for one in revisions]
    lately, more = happened(workspace, request.hours)
    return Home(
        endpoints=tuple(sorted(rows, key=lambda one: (_ORDER[one.word], one.name))),
        incidents=around,
        needs=needs(workspace, is_open=is_open),
        happened=lately,
        more=more,
        roles=tuple(role for role in actor.roles if role != MEMBER),
        is_open=is_open,
        now=workspace.clock.now(),
    )


def _ledger(tx: ReadTransaction, workspace: Workspace) -> tuple[list[Revision], _Known]:
    project = workspace.project
    revisions = [entries.get(tx, Revision, id) for id in tx.refs(project, "endpoint").values()]
    incidents = defaultdict[str, list[Incident]](list)
    for one in entries.every(tx, Incident, project=project, state="open"):
        incidents[one.parent_id].append(one)
    rolling: dict[str, Rollout] = {}
    for state in ("shadow", "canary"):
        rolling |= {one.parent_id: one for one in entries.every(tx, Rollout, project=project, state=state)}
    drift = {f"{project}/{one.name}": names for one in revisions if (names := _drift_monitors(one))}
    newest: dict[str, Finding] = {}
    for found in entries.find(tx, Finding, project=project, limit=_FINDINGS) if drift else ():
        if found.name in drift.get(found.parent_id, ()):
            newest.setdefault(found.parent_id, found)
    last = tx.refs(project, "scoring") if any(one.batch for one in revisions) else {}
    scorings = {f"{project}/{name}": entries.get(tx, Scoring, id) for name, id in last.items()}
    return revisions, _Known(incidents, rolling, newest, scorings)


def _drift_monitors(revision: Revision) -> frozenset[str]:
    return frozenset(one.name for one in revision.monitors if one.kind == "drift")


def _around(tx: ReadTransaction, workspace: Workspace) -> tuple[Need, ...]:
    """Open incidents of what is no endpoint: schedules and tables."""
    found = entries.every(tx, Incident, project=workspace.project, state="open")
    return tuple(
        Need(kind="incident", sentence=one.sentence, act="look", place=place_of(one), since=one.created_at)
        for one in found
        if ":" in one.parent_id.partition("/")[2]
    )


def _row(workspace: Workspace, revision: Revision, known: _Known) -> HomeEndpoint:
    where = f"{workspace.project}/{revision.name}"
    incidents = sorted(
        known.incidents.get(where, ()), key=lambda one: (_LOUD.get(one.level, 1), -one.created_at.timestamp())
    )
    is_counted = service_monitor(revision) is not None and revision.batch is None
    state = read_state(folder_of(workspace, revision.name)) if is_counted else HealthState()
    now = workspace.clock.now() if revision.simulation else datetime.now(UTC)
    traffic = _traffic(state, now) if is_counted else ()
    if revision.batch is not None:
        word, sentence = _batch(workspace, revision, known.scorings.get(where))
    else:
        word, sentence = _process(workspace, revision, state, traffic)
    if incidents:
        more = f" {len(incidents) - 1} more are open." if len(incidents) > 1 else ""
        if word not in ("down", "stopped"):
            word = "ticket" if incidents[0].level == "ticket" else "alert"
        sentence = f"{incidents[0].sentence}{more}"
    rollout, drift = known.rollouts.get(where), known.drift.get(where)
    return HomeEndpoint(
        name=revision.name,
        environment=revision.environment,
        model=revision.served.model,
        version=revision.served.number,
        since=revision.created_at,
        is_batch=revision.batch is not None,
        word=word,
        sentence=sentence,
        incident=incidents[0].id if incidents else "",
        incidents=len(incidents),
        rollout="" if rollout is None else _rolling(rollout),
        traffic=traffic,
        drift="" if drift is None else drift.sentence,
        drift_state="" if drift is None else drift.state,
    )


def _rolling(rollout: Rollout) -> str:
    challenger = f"{rollout.challenger.model} {rollout.challenger.number}"
    how = "is tried in its shadow" if rollout.state == "shadow" else f"answers step {rollout.step + 1} of its canary"
    return f"{challenger} {how}{', paused' if rollout.paused_at is not None else ''}"


def _traffic(state: HealthState, now: datetime) -> tuple[int, ...]:
    """Requests of the last hours, the present one last."""
    hour = int(now.timestamp() // 3600)
    counted = [state.hours.get(hour - back) for back in reversed(range(_HOURS))]
    return tuple(0 if one is None else max(0, one.requests) for one in counted)


def _process(
    workspace: Workspace, revision: Revision, state: HealthState, traffic: Sequence[int]
) -> tuple[Wellness, str]:
    folder = folder_of(workspace, revision.name)
    status, said = workspace.launcher.status(folder), last_status(folder)
    if status is None:
        if said is None or said.state == "draining":
            return "stopped", "It is stopped: nothing answers there."
        return "down", "Its process ended without being told to: nothing answers there."
    if status.state == "failed":
        return "down", "It cannot start: nothing answers there."
    if status.state == "draining":
        return "stopped", "It is being stopped."
    if status.state != "ready":
        return "starting", "It is starting."
    if not revision.monitors:
        return "not watched", "It answers; no monitor looks at how."
    asleep = " It sleeps until somebody asks." if status.workers == 0 else ""
    if not traffic:
        return "well", f"It answers, and no monitor raises an alarm.{asleep}"
    return "well", f"{sum(traffic):,} requests in 24 hours, and no monitor raises an alarm.{asleep}"


def _batch(workspace: Workspace, revision: Revision, scoring: Scoring | None) -> tuple[Wellness, str]:
    due = next_scoring(revision, workspace.clock.now())
    later = f" The next scoring is due {due:%Y-%m-%d %H:%M} UTC." if due is not None else ""
    if scoring is None:
        return "starting", f"It has not scored anything yet.{later}"
    if scoring.state == "failed":
        return "alert", f"Its last scoring failed: {scoring.sentence or 'see its page'}{later}"
    if scoring.state == "running":
        return "well", f"It is scoring {scoring.table}."
    return (
        "well",
        f"It scored {scoring.rows:,} rows of {scoring.table} into {scoring.into} on {scoring.created_at:%Y-%m-%d %H:%M} UTC."
        + later,
    )
