"""Everything that executes in one project, in one list, whatever kind of record tells of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from slipway.errors import InvalidInput, near
from slipway.flows.cost_rates import kept_rates, priced
from slipway.flows.costs import held_s
from slipway.flows.execution_times import GRACE, RULE, due, missed, silent_for
from slipway.ledger import entries
from slipway.operations.costs import Used
from slipway.operations.executions import KINDS, STATES, AskExecutions, Execution, Executions, ExecutionState
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.ci_runs import CiRun
from slipway.records.costs import Rates
from slipway.records.loop import Action, Retraining
from slipway.records.people import Actor
from slipway.records.promotions import Promotion
from slipway.records.record import Record
from slipway.records.runs import Run, StepRun
from slipway.records.schedules import Firing, Schedule
from slipway.records.scorings import Scoring
from slipway.records.simulations import Simulation
from slipway.records.tables import TableVersion
from slipway.tables.personal import may_read

__all__ = ["list_executions"]

_MOST = 500
_LOOKED_AT = 500
_LIVE = 200
_VIEW = "view."
_CONTROLLER = "controller"
_FIRST: dict[ExecutionState, int] = {"stuck": 0, "late": 1, "running": 2, "waiting": 3, "done": 4, "failed": 4}
_OF_RUN: dict[str, ExecutionState] = {"running": "running", "scheduled": "waiting", "finished": "done"}
_OF_FIRING: dict[str, ExecutionState] = {
    "due": "waiting",
    "started": "running",
    "skipped": "done",
    "finished": "done",
    "failed": "failed",
}
_OF_STAGE: dict[str, ExecutionState] = {
    "under way": "running",
    "waiting": "waiting",
    "to do": "waiting",
    "done": "done",
}

R = TypeVar("R", bound=Record)


def list_executions(workspace: Workspace, request: AskExecutions) -> Executions:
    """What executes, of the kinds that whoever asks may read.

    Raises:
        InvalidInput: There is no such kind or state, or the limit is none.
    """
    _check("kind", request.kind, KINDS)
    _check("state", request.state, STATES)
    if not 1 <= request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST}.", field="limit")
    rates = kept_rates(workspace)
    with workspace.ledger.read() as tx:
        found = list(_Listed(tx, workspace, rates).all())
        following = due(tx, workspace)
    kinds = Counter[str](one.kind for one in found if request.state in ("", one.state))
    states = Counter[str](one.state for one in found if request.kind in ("", one.kind))
    chosen = [one for one in found if request.kind in ("", one.kind) and request.state in ("", one.state)]
    chosen.sort(key=lambda one: (_FIRST[one.state], -one.started_at.timestamp(), one.id))
    return Executions(
        executions=tuple(chosen[: request.limit]),
        more=max(0, len(chosen) - request.limit),
        kinds=dict(kinds),
        states=dict(states),
        due=tuple(one for one in following if request.kind in ("", one.kind)),
        rates=rates,
        rule=RULE,
    )


def _check(field: str, value: str, known: Iterable[str]) -> None:
    if value and value not in known:
        raise InvalidInput(
            f"There is no {field} {value[:40]!r} of executions.",
            fix=near(value, list(known), what=f"{field}s"),
            field=field,
        )


class _Listed:
    """All kinds as executions.

    Args:
        tx: An open transaction.
        workspace: Whose actor asks.
        rates: By what money is reckoned.
    """

    def __init__(self, tx: ReadTransaction, workspace: Workspace, rates: Rates) -> None:
        self._tx, self._workspace, self._rates = tx, workspace, rates
        self._now = workspace.clock.now()
        self._shows_costs = allowed(workspace.actor, "models.read")

    def all(self) -> Iterator[Execution]:
        """Each of them once: a run that a retraining or a firing began is told as that."""
        may = {right for right in ("runs", "endpoints", "schedules", "models") if self._may(f"{right}.read")}
        runs = {one.id: one for one in self._some(Run, ("running", "scheduled"))} if "runs" in may else {}
        inside: set[str] = set()
        if "endpoints" in may:
            yield from self._of_endpoints(runs, inside)
        if "schedules" in may:
            firings = self._some(Firing, ("due", "started"))
            inside |= {one.run_id for one in firings}
            yield from self._firings(firings, runs)
            yield from self._missed()
        if "runs" in may:
            yield from self._runs([one for one in runs.values() if one.id not in inside and not one.parent_id])
            yield from (self._ci_run(one) for one in self._some(CiRun, ("under way", "waiting")))
        if "models" in may:
            yield from (self._promotion(one) for one in self._some(Promotion, ("under way", "waiting")))
        if self._may("tables.read"):
            yield from self._materialisations()

    def _may(self, right: str) -> bool:
        return allowed(self._workspace.actor, right)

    def _some(self, kind: type[R], live: tuple[str, ...]) -> list[R]:
        """The newest records of a kind, and those under way however old; those in the trash not."""
        project = self._workspace.project
        stored = self._tx.find(entries.kind_of(kind), project=project, limit=_LOOKED_AT)
        for state in live:
            stored += self._tx.find(entries.kind_of(kind), project=project, state=state, limit=_LIVE)
        found = {one.id: one for one in (entries.decoded(entry, kind) for entry in stored)}
        return [one for one in found.values() if getattr(one, "deleted_at", None) is None]

    def _priced(self, one: Execution, cpu_s: float | None) -> Execution:
        if cpu_s is None or not self._shows_costs:
            return one
        money = priced(Used(cpu_s=cpu_s), self._rates).compute
        return msgspec.structs.replace(one, cpu_s=cpu_s, money=money)

    def _runs(self, runs: list[Run]) -> Iterator[Execution]:
        like = defaultdict[str, list[float]](list)
        for one in runs:
            if one.state == "finished" and one.ended_at is not None:
                like[one.pipeline or one.name].append((one.ended_at - one.started_at).total_seconds())
        for one in runs:
            state, why = _OF_RUN.get(one.state, "failed"), "" if one.error is None else one.error.type
            now = datetime.now(UTC)
            if state == "running":
                silent = silent_for(now, self._sign(one), like[one.pipeline or one.name])
                state, why = ("stuck", silent) if silent else (state, why)
            until = one.ended_at or (now if one.state == "running" else None)
            seconds = None if until is None else max(0.0, (until - one.started_at).total_seconds())
            shown = Execution(
                kind="run",
                id=one.id,
                name=one.name or one.pipeline or one.id[:12],
                state=state,
                why=one.ended_early or why or ("its process is gone" if one.state == "killed" else ""),
                started_at=one.created_at,
                seconds=seconds,
                by=one.actor.name,
                is_simulated=_is_played(one.actor),
                place=("runs", one.id),
            )
            yield self._priced(shown, held_s(one))

    def _sign(self, run: Run) -> datetime:
        """When a run last showed that it goes on: a step that began, or a figure that it logged."""
        steps = entries.find(self._tx, StepRun, parent=run.id, limit=1)
        points = self._tx.latest_points([run.id]).get(run.id, [])
        logged = [datetime.fromtimestamp(point.at_us / 1e6, UTC) for point in points if point.at_us]
        begun = [one.started_at for one in steps if one.started_at is not None]
        return max([run.started_at, *begun, *logged])

    def _of_endpoints(self, runs: dict[str, Run], inside: set[str]) -> Iterator[Execution]:
        retrainings = self._some(Retraining, ("running",))
        inside |= {one.run_id for one in retrainings}
        for one in retrainings:
            yield self._of_run(
                Execution(
                    kind="retraining",
                    id=one.id,
                    name=one.name,
                    state="running" if one.state == "running" else "failed" if one.state == "failed" else "done",
                    why=one.sentence,
                    started_at=one.created_at,
                    by=one.trigger,
                    place=("endpoints", one.name),
                ),
                runs.get(one.run_id),
            )
        yield from self._scorings()
        for played in self._some(Simulation, ("running",)):
            yield Execution(
                kind="simulation",
                id=played.id,
                name=played.name,
                state={"running": "running", "finished": "done"}.get(played.state, "failed"),  # type: ignore[arg-type]
                why=played.sentence,
                started_at=played.created_at,
                place=("simulations", played.name),
            )
        for done in self._some(Action, ()):
            yield Execution(
                kind="action",
                id=done.id,
                name=f"{done.name} {done.parent_id.rpartition('/')[2]}",
                state="done",
                why=done.sentence,
                started_at=done.created_at,
                by=_CONTROLLER,
                place=("endpoints", done.parent_id.rpartition("/")[2]),
            )

    def _of_run(self, one: Execution, run: Run | None) -> Execution:
        """The same with what its run took, and stuck where its run gives no sign of life."""
        if run is None:
            silent = silent_for(self._now, one.started_at, ()) if one.state == "running" else ""
            return msgspec.structs.replace(one, state="stuck", why=silent) if silent else one
        (seen,) = self._runs([run])
        state, why = (
            (seen.state, seen.why) if seen.state == "stuck" and one.state == "running" else (one.state, one.why)
        )
        return msgspec.structs.replace(
            one, state=state, why=why, seconds=seen.seconds, cpu_s=seen.cpu_s, money=seen.money
        )

    def _scorings(self) -> Iterator[Execution]:
        found, like = self._some(Scoring, ("running",)), defaultdict[str, list[float]](list)
        for one in found:
            if one.state == "finished":
                like[one.name].append(one.seconds)
        for one in found:
            silent = silent_for(self._now, one.created_at, like[one.name]) if one.state == "running" else ""
            state: ExecutionState = (
                "stuck"
                if silent
                else "running"
                if one.state == "running"
                else "failed"
                if one.state == "failed"
                else "done"
            )
            shown = Execution(
                kind="scoring",
                id=one.id,
                name=f"{one.name} {one.number}",
                state=state,
                why=silent or one.sentence,
                started_at=one.created_at,
                seconds=one.seconds or None,
                by=one.trigger if one.actor.kind == "service" else one.actor.name,
                is_simulated=_is_played(one.actor),
                place=("endpoints", one.name),
            )
            yield self._priced(shown, one.seconds or None)

    def _firings(self, firings: list[Firing], runs: dict[str, Run]) -> Iterator[Execution]:
        active = {one.id for one in entries.every(self._tx, Schedule, project=self._workspace.project, state="active")}
        busy = {one.parent_id for one in firings if one.state == "started"}
        for one in firings:
            state, why = _OF_FIRING[one.state], one.sentence
            until = one.not_before or one.due_at
            if one.state == "skipped":
                why = f"skipped: {why}"
            elif one.state == "due" and one.parent_id in busy:
                why = "It waits until the firing before it has ended."
            elif one.state == "due" and one.parent_id not in active:
                why = "Its schedule is paused or withdrawn."
            elif one.state == "due" and until + GRACE < self._now:
                state, why = "late", f"It was to begin at {until:%Y-%m-%d %H:%M} UTC. {one.sentence}".strip()
            shown = Execution(
                kind="firing",
                id=one.id,
                name=one.name,
                state=state,
                why=why,
                started_at=one.started_at or one.due_at,
                seconds=None if one.ended_at is None or one.started_at is None else _s(one.started_at, one.ended_at),
                by=one.asked_by.name if one.asked_by is not None else one.trigger,
                is_simulated=one.asked_by is not None and _is_played(one.asked_by),
                place=("schedules", one.name),
            )
            yield self._of_run(shown, runs.get(one.run_id)) if one.state != "due" else shown

    def _missed(self) -> Iterator[Execution]:
        for one in missed(self._tx, self._workspace):
            yield Execution(
                kind=one.kind,
                id=f"{one.kind}/{one.name}/{one.at.isoformat()}",
                name=one.name,
                state="late",
                why=f"It was to begin at {one.at:%Y-%m-%d %H:%M} UTC ({one.trigger}), and nothing has looked at its clock "
                "since: is `slipway up` running?",
                started_at=one.at,
                by=one.trigger,
                place=one.place,
            )

    def _ci_run(self, one: CiRun) -> Execution:
        return self._staged("CI run", one, f"{one.name} {one.commit[:10]}", ("runs",))

    def _promotion(self, one: Promotion) -> Execution:
        place = ("models", one.name, str(one.arrived or one.version))
        return self._staged("promotion", one, f"{one.name} {one.version} into {one.target}", place)

    def _staged(self, kind: str, one: CiRun | Promotion, name: str, place: tuple[str, ...]) -> Execution:
        stage = next((stage for stage in one.stages if stage.state == one.state != "done"), None)
        state = _OF_STAGE.get(one.state, "failed")
        why = "" if stage is None else f"{stage.name}: {stage.sentence}" if stage.sentence else stage.name
        if state == "running" and (silent := silent_for(self._now, one.updated_at, ())):
            state, why = "stuck", silent
        return Execution(
            kind=kind,  # type: ignore[arg-type]
            id=one.id,
            name=name,
            state=state,
            why=why,
            started_at=one.created_at,
            seconds=_s(one.created_at, one.updated_at),
            by=one.actor.name,
            is_simulated=_is_played(one.actor),
            place=place,
        )

    def _materialisations(self) -> Iterator[Execution]:
        """Versions of the tables that feature views are kept in."""
        for one in self._some(TableVersion, ()):
            if one.name.startswith(_VIEW) and may_read(self._workspace.actor, one.about):
                yield Execution(
                    kind="materialisation",
                    id=one.id,
                    name=f"{one.name.removeprefix(_VIEW).partition('.')[0]} {one.number}",
                    state="done",
                    why=f"{one.rows:,} rows, {one.change}.",
                    started_at=one.created_at,
                    by=one.source,
                    place=("tables", one.name),
                )


def _s(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())


def _is_played(actor: Actor) -> bool:
    return actor.kind == "simulated"
