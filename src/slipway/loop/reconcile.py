"""One pass of the loop: for each endpoint watch, take in, roll out, and train again what is due now; sync tables; run schedules.

Nothing is kept here but what can be read again: the endpoint's log, read once and then only what was added to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.flows import break_glass, rollout_incidents, rollouts
from slipway.flows.abtest_state import running_abtest
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.health import Probes
from slipway.flows.judging import declared_endpoint
from slipway.flows.log_retention import drop_old_days
from slipway.flows.logged_rows import HELD, MOST_HELD, layout_of
from slipway.flows.publish import converge
from slipway.flows.score import settle
from slipway.flows.turns import turn
from slipway.flows.watch import (
    fallback_monitor,
    looks_back_to,
    rows_to_watch,
    watch_fallback,
    watch_inputs,
    watch_rows,
    watch_service,
)
from slipway.governance.callers import tell_endpoints
from slipway.ledger import entries, events
from slipway.loop import CONTROLLER, evidence, failed_retrainings, guards, retrain
from slipway.loop.abtests import pass_over_abtest
from slipway.loop.actions import act, put_action
from slipway.loop.after import watch_over
from slipway.loop.alarms import alarm, close_former, crashed
from slipway.loop.batch_rollouts import log_of, not_scored
from slipway.loop.kpi_guard import kpi_of
from slipway.loop.schedules import pass_over_schedules, running_firings, settle_firings
from slipway.loop.scorings import is_scoring, pass_over_scorings, settle_scoring
from slipway.loop.syncs import pass_over_tables, running_syncs, settle_syncs
from slipway.loop.train_again import train_again
from slipway.loop.way_back import take_way_back
from slipway.models import registry
from slipway.monitoring.fallback import spans
from slipway.operations.rollouts import Reconcile, Reconciled
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.loop import Action, ActionKind
from slipway.records.models import Bundle
from slipway.records.monitors import Finding, Incident
from slipway.records.rollouts import Look, Rollout
from slipway.rollout.judge_canary import judge_canary
from slipway.rollout.judge_shadow import judge_shadow
from slipway.rollout.judge_unseen import Unseen, Vetoes, judge_unseen
from slipway.tables.log_reader import LogReader

__all__ = ["looking", "reconcile"]

_DIGITS = 16
_MANY = 100_000
_A_WEEK = timedelta(days=6)  # from the first decision of seven days to the last
_AT_ANY_TIME = ("fallback", "service")
_RECENT = timedelta(days=2)


@dataclass
class _Desk:
    """What a pass may keep of an endpoint until the next one; all of it can be read again."""

    reader: LogReader
    replays: evidence.Replays = field(default_factory=evidence.Replays)
    probes: Probes = field(default_factory=Probes)
    told_on: date | None = None
    looked_in: datetime | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_desks: dict[Path, _Desk] = {}
_desks_lock = threading.Lock()


def reconcile(workspace: Workspace, request: Reconcile) -> Reconciled:
    """Bring every endpoint, table and schedule of the workspace's environment one step nearer to what is declared, now.

    What goes wrong at one endpoint does not keep the others from their turn; it is raised afterwards.

    Raises:
        NotFound: Nothing was ever deployed to the named endpoint.
        BackendError: An endpoint's process did not take a revision.
    """
    with workspace.ledger.read() as tx:
        known = sorted(tx.refs(workspace.project, "endpoint"))
    if request.endpoint:
        revision_of(workspace, request.endpoint)
        known = [request.endpoint]
    else:  # one whose folder is another machine's is looked after there: its log says nothing here
        known = [name for name in known if folder_of(workspace, name).is_dir()]
    tell_endpoints(workspace)
    actions: list[Action] = []
    told: dict[str, list[str]] = {"scorings": [], "tables": [], "schedules": []}
    problems: list[SlipwayError] = []
    acting = replace(workspace, actor=CONTROLLER)  # whoever asks for a pass, what it does is the loop's doing
    for name in known:
        if request.settle:
            _settle(workspace, name)
        try:
            with _desk(folder_of(workspace, name)) as desk, turn(workspace, name):
                actions += _reconcile(acting, name, desk, waits=request.settle)
                told["scorings"] += _score(acting, name)
        except SlipwayError as problem:
            problems.append(problem)
    if not request.endpoint:
        try:
            if request.settle:
                settle_syncs(workspace)
            told["tables"] += pass_over_tables(acting)
        except SlipwayError as problem:
            problems.append(problem)
        try:  # after tables and incidents, so that what they brought is found in the same pass
            if request.settle:
                settle_firings(workspace)
            told["schedules"] += pass_over_schedules(acting)
        except SlipwayError as problem:
            problems.append(problem)
    more = {name: lines for name, lines in told.items() if lines}
    if actions or more:  # a pass that found nothing to do is no news, and there are thousands a day
        with workspace.ledger.write() as tx:
            done = [f"{one.parent_id} {one.number}" for one in actions]
            events.record(tx, workspace, "loop.reconcile", f"project:{workspace.project}", actions=done, **more)
    if problems:
        for other in problems[1:]:
            workspace.say(str(other))
        raise problems[0]
    return Reconciled(
        actions=tuple(actions),
        retraining=sum(retrain.running(workspace, name) is not None for name in known),
        rolling_out=sum(rollouts.under_way(workspace, name) is not None for name in known),
        syncing=len(running_syncs(workspace)),
        firing=len(running_firings(workspace)),
        scoring=sum(is_scoring(workspace, name) for name in known),
    )


def _settle(workspace: Workspace, name: str) -> None:
    retrain.settle(workspace, name)
    settle_scoring(workspace, name)


def _score(workspace: Workspace, name: str) -> list[str]:
    revision = revision_of(workspace, name)
    return pass_over_scorings(workspace, revision) if revision.environment == workspace.environment else []


class _desk:  # a context manager that reads like a function
    def __init__(self, folder: Path) -> None:
        with _desks_lock:
            if folder not in _desks:
                _desks[folder] = _Desk(LogReader(folder / "log", MOST_HELD))
            self._found = _desks[folder]

    def __enter__(self) -> _Desk:
        self._found.lock.acquire()
        return self._found

    def __exit__(self, *_: object) -> None:
        self._found.reader.release()
        self._found.lock.release()


def _reconcile(workspace: Workspace, name: str, desk: _Desk, *, waits: bool) -> list[Action]:
    revision = revision_of(workspace, name)
    if revision.environment != workspace.environment:
        return []  # its own environment's gate judges what serves there
    # Before the process is started again that may be down.
    if watch_service(workspace, revision, desk.probes, desk.reader, settle=waits):
        desk.told_on = None
    converge(workspace, revision)
    declared = declared_endpoint(workspace, name, model=revision.served.model)
    now = workspace.clock.now()
    settle(workspace, name)  # what a killed scoring has not brought into the log
    _read_log(workspace, revision, desk, now)
    break_glass.pass_over(workspace, revision, now)
    actions: list[Action] = []
    is_watched = bool(revision.monitors) and _watched_on(workspace, revision) != _day(now)
    if is_watched:
        _watch(workspace, revision, desk, now)
        desk.told_on, desk.looked_in = None, _hour(now)
    elif revision.monitors and desk.looked_in != _hour(now):
        if watch_inputs(workspace, revision, *_served(workspace, revision), now):
            desk.told_on = None
        desk.looked_in = _hour(now)
    if (behind := fallback_monitor(revision)) is not None:
        counted = desk.reader.answers_by(spans(behind, now))
        if watch_fallback(workspace, revision, counted, now):
            desk.told_on = None
    is_first = desk.told_on != _day(now)
    if is_first:
        actions += _tell_of_incidents(workspace, name)
        actions += _note_drift(workspace, revision)
        drop_old_days(workspace, revision, now)
        desk.told_on = _day(now)
    actions += pass_over_abtest(workspace, name, now)
    if running_abtest(workspace, name) is not None:
        return actions  # what answers stays as it is while it is compared
    actions += retrain.absorb(workspace, declared)
    actions += _roll_out(workspace, name, desk, now)
    if is_first and revision_of(workspace, name).served == revision.served:
        actions += take_way_back(workspace, revision, desk.reader, now)
    if revision_of(workspace, name).served == revision.served:  # what was just published is judged by its own rows

        def look() -> None:
            if revision.monitors and not is_watched:
                _watch(workspace, revision, desk, now)
                desk.told_on = None

        actions += train_again(workspace, declared, revision, desk.reader, now, look)
    return actions


def _hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _midnight(instant: datetime) -> datetime:
    return _hour(instant).replace(hour=0)


def _of_all(share: float) -> str:
    return "all" if share >= 1 else f"one of {1 / share:,.0f}"


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _watched_on(workspace: Workspace, revision: Revision) -> date | None:
    """The business day on which an endpoint's monitors looked for the last time; some look at any time."""
    parent = f"{workspace.project}/{revision.name}"
    names: list[str | None] = [monitor.name for monitor in revision.monitors if monitor.kind not in _AT_ANY_TIME]
    with workspace.ledger.read() as tx:
        found = [
            one for name in names or [None] for one in entries.find(tx, Finding, parent=parent, name=name, limit=1)
        ]
    return max((_day(one.created_at) for one in found), default=None)


def _read_log(workspace: Workspace, revision: Revision, desk: _Desk, now: datetime) -> None:
    """Read what was added to the log; of a roll-out's rows a greater share is held than of those before it."""
    present = rollouts.newest(workspace, revision.name)
    recent_from = _midnight(now - _RECENT)
    if present is not None and (present.is_under_way or now <= (present.watched_until or present.created_at)):
        recent_from = min(recent_from, present.created_at)
    before = desk.reader.share()
    desk.reader.refresh(
        layout_of(workspace, revision.name), now - HELD, recent_from if revision.batch is None else None
    )
    if (share := desk.reader.share()) != before:
        workspace.say(
            f"The log of {revision.name!r} is looked at by {_of_all(share)} of its rows, and by {_of_all(desk.reader.share(now))} of those "
            f"since {recent_from:%Y-%m-%d}."
        )
    if desk.told_on != _day(now):
        desk.reader.forget(now - HELD)


def _watch(workspace: Workspace, revision: Revision, desk: _Desk, now: datetime) -> None:
    """Let the monitors look, once a business day."""
    bundle, home = _served(workspace, revision)
    rows = rows_to_watch(desk.reader, revision, bundle, looks_back_to(workspace, revision, now))
    watch_rows(workspace, revision, bundle, home, rows, now)


def _served(workspace: Workspace, revision: Revision) -> tuple[Bundle, Path]:
    version = registry.get(workspace, revision.served.model, str(revision.served.number))
    home = folder_of(workspace, revision.name) / "bundles" / revision.served.bundle
    return registry.bundle_of(workspace, version), home


def _tell_of_incidents(workspace: Workspace, name: str) -> list[Action]:
    """Tell of incidents that nobody was told of yet: whoever let the monitors look, and whatever was killed since."""
    parent = f"{workspace.project}/{name}"
    with workspace.ledger.read() as tx:
        incidents = entries.find(tx, Incident, parent=parent, limit=1000)
        alerted, closed = (
            {
                subject
                for one in entries.find(tx, Action, parent=parent, name=kind, limit=_MANY)
                for subject in one.subjects
            }
            for kind in ("alert", "close")
        )
    actions = []
    for one in sorted(incidents, key=lambda one: (one.created_at, one.name)):  # ids say nothing to two runs of one seed
        subject = f"incident:{one.id}"
        if one.name in (rollout_incidents.ASKED, failed_retrainings.CAUSE):  # told when it was asked, or failed
            continue
        if one.state == "open" and subject not in alerted and not (one.monitors and one.told_at is None):
            subjects = (subject, *(f"finding:{finding}" for finding in one.findings))
            told = f"{one.name}: {one.sentence}"
            actions.append(act(workspace, name, "alert", told, owner=one.owner, subjects=subjects))
        elif one.state == "closed" and subject in alerted and subject not in closed:
            told = f"{one.name}: no longer so."
            actions.append(act(workspace, name, "close", told, owner=one.owner, subjects=(subject,)))
    return actions


def _note_drift(workspace: Workspace, revision: Revision) -> list[Action]:
    """Drift is noted once for each model that serves, when a week of its own traffic tells of it; nothing follows."""
    parent, model = f"{workspace.project}/{revision.name}", f"{revision.served.model} {revision.served.number}"
    actions = []
    with workspace.ledger.read() as tx:
        noted = entries.find(tx, Action, parent=parent, name="note", limit=1)
        drift = [monitor.name for monitor in revision.monitors if monitor.kind == "drift"]
        found = [one for name in drift for one in entries.find(tx, Finding, parent=parent, name=name, limit=1)]
    for one in found:
        is_new = one.values.get("model") == model and (not noted or noted[0].evidence.get("model") != model)
        if one.state == "note" and is_new and one.window_until - one.window_from >= _A_WEEK:
            figures = {"model": model, "moved": one.values.get("moved", [])}
            told, subjects = f"{model}: {one.sentence}", (f"finding:{one.id}",)
            actions.append(act(workspace, revision.name, "note", told, evidence=figures, subjects=subjects))
    return actions


def _roll_out(workspace: Workspace, name: str, desk: _Desk, now: datetime) -> list[Action]:
    """Look at the roll-out under way and take it as far as its evidence allows."""
    present = rollouts.under_way(workspace, name)
    if present is None:
        return watch_over(workspace, name, desk.reader, desk.replays, now)
    actions: list[Action] = []

    def superseded(tx: WriteTransaction, ended: Rollout) -> None:
        subjects = (f"rollout:{ended.id}",)
        actions.append(put_action(tx, workspace, name, "superseded", ended.reason, subjects=subjects))

    def objected(tx: WriteTransaction, ended: Rollout) -> None:
        told = (
            f"{ended.challenger.model} {ended.challenger.number} was taken back; the champion goes on. {ended.reason}"
        )
        subjects = (f"rollout:{ended.id}",)
        actions.append(put_action(tx, workspace, name, "stop", told, owner="data scientist", subjects=subjects))

    def moved(tx: WriteTransaction, onward: Rollout) -> None:
        actions.append(_told(tx, workspace, onward))

    close_former(workspace, present)

    if not rollouts.is_carried(workspace, present):
        rollouts.supersede(workspace, present, also=superseded)
        return actions
    against = rollouts.objection(workspace, present) or crashed(workspace, present) or not_scored(workspace, present)
    if against:
        rollouts.stop(workspace, present, against, also=objected)
        return actions
    look = _look(workspace, present, desk, now)
    if look is not None:
        if look.values.get("is_void"):
            with workspace.ledger.write() as tx:
                alarm(tx, workspace, present, f"{present.name}: {look.sentence}")
        rollouts.advance(workspace, present, look, also=moved)
    return actions


def _told(tx: WriteTransaction, workspace: Workspace, onward: Rollout) -> Action:
    """Write down how far a look has taken a roll-out."""
    look = onward.looks[-1]
    challenger = f"{onward.challenger.model} {onward.challenger.number}"
    kind: ActionKind
    if onward.is_under_way and onward.asked_at is not None:
        kind, told = "ask", f"{challenger} is at its deadline, and somebody is asked to decide. {look.sentence}"
    elif onward.state == "canary":
        spec = onward.spec.canary
        assert spec is not None  # it is in that phase
        kind, told = "canary", f"{challenger} answers {spec.steps[onward.step]} % of the rows. {look.sentence}"
    elif onward.state == "promoted":
        kind, told = "promote", f"{challenger} answers everything now. {look.sentence}"
    elif onward.state == "stopped":
        kind, told = "stop", f"{challenger} was taken back; the champion goes on. {look.sentence}"
    else:
        kind, told = "undecided", f"{challenger} was not promoted; the champion goes on. {onward.reason}"
    owner = {"stop": "data scientist", "ask": "business owner", "undecided": "business owner"}.get(kind, "")
    # What machine time says stays with the look: an action must be the same in two runs of one seed.
    figures = {key: value for key, value in look.values.items() if key not in ("took", "took_ms")}
    subjects = (f"rollout:{onward.id}",)
    return put_action(tx, workspace, onward.name, kind, told, owner=owner, evidence=figures, subjects=subjects)


@contextmanager
def looking(workspace: Workspace, name: str) -> Iterator[Callable[[Rollout], Look | None]]:
    """Hold what is kept of an endpoint's log, for looks at its roll-out by hand; its turn is taken after that, not before.

    Args:
        workspace: Whose endpoint.
        name: The endpoint's name.
    """
    with _desk(folder_of(workspace, name)) as desk:

        def look(present: Rollout) -> Look | None:
            now = workspace.clock.now()
            _read_log(workspace, revision_of(workspace, name), desk, now)
            return _look(workspace, present, desk, now, is_by_hand=True)

        yield look


def _look(
    workspace: Workspace, present: Rollout, desk: _Desk, now: datetime, *, is_by_hand: bool = False
) -> Look | None:
    """A look at the evidence of a roll-out's phase; None where nothing can have changed.

    Quality is judged by whole days, so in shadow once a day is enough, unless what needs no label has news. In canary it
    may still stop a roll-out.
    """
    if now <= present.since:  # no time has passed in this phase
        return None
    shadow, canary = present.plan.shadow, present.plan.canary
    is_new_day = is_by_hand or not present.looks or _day(present.looks[-1].at) != _day(now)
    quality = None
    revision = revision_of(workspace, present.name)
    simulated, reader = revision.simulation, log_of(workspace, revision, desk.reader)
    beside = None
    if shadow is not None and present.state == "shadow":
        beside = evidence.unseen(workspace, reader, present)
        is_new_day = is_new_day or _is_news(present, beside, judge_unseen(shadow, beside, in_simulation=simulated))
    if shadow is not None and is_new_day:
        found = evidence.pairs(workspace, desk.reader, desk.replays, present)
        delay = rollouts.label_delay(revision)
        quality = judge_shadow(
            shadow, found, since=present.since, now=now, label_delay=delay, unseen=beside, in_simulation=simulated
        )
    if present.state == "shadow":
        return quality
    if quality is not None and quality.verdict == "worse":
        return quality
    assert canary is not None  # it is in that phase
    fractions = evidence.canary_fractions(workspace, present)
    counts = evidence.canary_counts(reader, present, fractions)
    is_timed = not simulated and revision.batch is None  # nobody waits for a scoring's rows
    bundles = evidence.bundles_of(workspace, present)
    return judge_canary(
        canary,
        counts,
        step=present.step,
        since=present.since,
        now=now,
        rows_since=evidence.step_rows(reader, present, fractions),
        seen=guards.seen(
            reader,
            present,
            canary,
            fractions,
            counts,
            bundles,
            is_timed=is_timed,
            kpi=kpi_of(workspace, canary, reader, present),
        ),
        is_quality_shown=shadow is not None,
        took_ms=None if revision.batch is not None else evidence.latencies(reader, present),
        in_simulation=simulated,
    )


def _is_news(present: Rollout, unseen: Unseen, vetoes: Vetoes) -> bool:
    """Whether a shadow shows more than at its last look: a veto, or twice as many rows that were compared."""
    seen = present.looks[-1].values.get("unseen", {}).get("compared", 0) if present.looks else 0
    compared = int(unseen.rows["compared"].sum())
    return bool(vetoes.said) or (compared > seen and compared >= 2 * seen)
