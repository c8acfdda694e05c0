"""Faults that a simulation injects, live: a feed in other units, labels turned round, a control plane that is killed.

A fault is what is declared beforehand; `Injected` is that fault in one simulation, with the facts that it leaves behind
for `tell_of`, which says from the ledger's records whether it was met as it must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.features.materialise import Arrival
from slipway.ledger import entries
from slipway.operations.rollouts import Reconciled, Started
from slipway.ports.workspace import Workspace
from slipway.records import simulations as records
from slipway.records.loop import Action
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout
from slipway.tables import versions
from slipway.tables.versions import Origin

__all__ = [
    "BrokenFeed",
    "ControlPlane",
    "Fault",
    "Injected",
    "InvertedLabels",
    "KilledControlPlane",
    "World",
    "tell_of",
]

_ALERT_WITHIN = timedelta(days=2)


class ControlPlane(Protocol):
    """The process that looks after endpoints, as a simulation drives it."""

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        ...

    def reconcile(self, settle: bool) -> Reconciled:
        """Watch, retrain and roll out whatever is due now; with `settle`, wait for retrainings that run first."""
        ...

    def start_retraining(self, endpoint: str, reason: str) -> Started:
        """Train an endpoint's model again, by hand."""
        ...

    def kill(self) -> None:
        """End it as `kill -9` does."""
        ...

    def start(self) -> None:
        """Start it again; returns once it answers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What faults may touch.

    Args:
        workspace: The simulation's store.
        endpoint: The endpoint's name.
    """

    workspace: Workspace
    endpoint: str


@dataclass(slots=True, kw_only=True)
class Injected:
    """One fault in one simulation, and its facts.

    Args:
        fault: What was declared.
        began_at: Business time at which it struck, None as long as it has not.
        ended_at: Business time at which it was over, None as long as it is not.
        facts: Counts and ids, plain values.
        was_said: Whether whoever watches has heard that it struck.
    """

    fault: Fault
    began_at: datetime | None = None
    ended_at: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    was_said: bool = False

    def count(self, what: str, times: int = 1) -> None:
        """Count something."""
        self.facts[what] = self.facts.get(what, 0) + times


class Fault(Protocol):
    """Something that goes wrong on purpose. What it does not care about, it leaves as it is here."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def deliver(self, arrival: Arrival, injected: Injected) -> Arrival:
        """A row on its way to the endpoint, as it arrives there."""
        return arrival

    def passed(self, at: datetime, control: ControlPlane, injected: Injected) -> str:
        """A tick is due, whether or not the control plane is up; says what was done, "" for nothing."""
        return ""

    def ticked(self, at: datetime, done: Reconciled, control: ControlPlane, world: World, injected: Injected) -> str:
        """The control plane has just looked; says what was done, "" for nothing."""
        return ""

    def asked(self, rows: int, is_answered: bool, injected: Injected) -> None:
        """A request was sent, and answered or not."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenFeed(Fault):
    """A feature view's feed switches units for a while: what is pushed is converted, what tables hold is not.

    Args:
        view: The feature view.
        since: Rows that arrive at or after this are converted.
        until: Rows that arrive before this are.
        convert: By column: what the value is multiplied by, and what is added then.
        name: What people call it.
    """

    view: str
    since: datetime
    until: datetime
    convert: Mapping[str, tuple[float, float]]
    name: str = "feed switches units"

    def deliver(self, arrival: Arrival, injected: Injected) -> Arrival:
        """See `Fault`."""
        if arrival.name != self.view or not self.since <= arrival.at < self.until:
            return arrival
        row = dict(arrival.row)
        for column, (scale, offset) in self.convert.items():
            if column not in row:
                raise InvalidInput(
                    f"The feed of {self.view!r} has no column {column!r} that could be broken.",
                    fix=near(column, row, what="columns"),
                )
            if row[column] is not None:
                row[column] = row[column] * scale + offset
        injected.began_at = injected.began_at or arrival.at
        injected.count("rows")
        return arrival._replace(row=row)

    def passed(self, at: datetime, control: ControlPlane, injected: Injected) -> str:
        """See `Fault`."""
        if injected.began_at is not None and not injected.was_said:
            injected.was_said = True
            return f"{self.name}: {', '.join(self.convert)} of {self.view} arrive in other units from now on"
        if injected.began_at is not None and injected.ended_at is None and at >= self.until:
            injected.ended_at = self.until
            return f"{self.name}: mended after {injected.facts['rows']:,} rows"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvertedLabels(Fault):
    """A new version of the label table has its label turned round, and somebody retrains on it.

    It strikes at the first tick at which no roll-out and no retraining is under way. Once the retraining has ended the
    right content is put back, so that only that one model has learnt from it.

    Args:
        table: The label table.
        label: Its label, a truth value or 0 and 1.
        at: Not before this.
        name: What people call it.
    """

    table: str
    label: str
    at: datetime
    name: str = "labels arrive inverted"

    def ticked(self, at: datetime, done: Reconciled, control: ControlPlane, world: World, injected: Injected) -> str:
        """See `Fault`."""
        if injected.began_at is None and at >= self.at and not (done.retraining or done.rolling_out):
            right = versions.head(world.workspace, self.table)
            wrong = self._write(world.workspace, self._inverted(world.workspace, right.version), right.version)
            started = control.start_retraining(world.endpoint, f"new version of {self.table}").retraining
            injected.began_at = at
            injected.facts |= {"right": right.version, "wrong": wrong, "retraining": started.id}
            return f"{self.name}: a new version of {self.table} comes in, and its model is trained on it"
        if injected.began_at is not None and injected.ended_at is None and not done.retraining:
            right_rows = versions.read(world.workspace, self.table, injected.facts["right"]).collect()
            self._write(world.workspace, right_rows, injected.facts["right"])
            injected.ended_at = at
            return f"{self.name}: the right version of {self.table} is back"
        return ""

    def _inverted(self, workspace: Workspace, version: str) -> pl.DataFrame:
        rows = versions.read(workspace, self.table, version).collect()
        if self.label not in rows.columns:
            raise InvalidInput(
                f"The table {self.table!r} has no label {self.label!r} that could be inverted.",
                fix=near(self.label, rows.columns, what="columns"),
            )
        label = pl.col(self.label)
        return rows.with_columns(~label if rows.schema[self.label] == pl.Boolean else (1 - label).alias(self.label))

    def _write(self, workspace: Workspace, rows: pl.DataFrame, like: str) -> str:
        """Make rows the table's content, with the key and time of a version; returns the new version."""
        manifest = versions.manifest_of(workspace, versions.get(workspace, self.table, like))
        origin = Origin(source=f"the simulation: {self.name}")
        key, time = manifest.key, manifest.time
        return versions.overwrite(workspace, self.table, rows, key=key, time=time, origin=origin).version


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledControlPlane(Fault):
    """The control plane is killed while a challenger answers some of the traffic, and is away for a while.

    It strikes right after the first tick at which a roll-out is in one of its first two canary steps.

    Args:
        at: Not before this.
        down_for: How long it is away, business time.
        name: What people call it.
    """

    at: datetime
    down_for: timedelta = timedelta(hours=18)
    name: str = "control plane killed in a canary"

    def ticked(self, at: datetime, done: Reconciled, control: ControlPlane, world: World, injected: Injected) -> str:
        """See `Fault`."""
        if injected.began_at is not None or at < self.at or not done.rolling_out:
            return ""
        rollout = _under_way(world)
        if rollout is None or rollout.state != "canary" or rollout.step > 1:
            return ""
        control.kill()
        injected.began_at = at
        injected.facts |= {"rollout": rollout.id, "step": rollout.step, "answered": 0, "failed": 0, "rows": 0}
        percent = rollout.spec.canary.steps[rollout.step] if rollout.spec.canary else 0
        return f"{self.name}: kill -9 while version {rollout.challenger.number} answers {percent} % of the rows"

    def asked(self, rows: int, is_answered: bool, injected: Injected) -> None:
        """See `Fault`."""
        if injected.began_at is not None and injected.ended_at is None:
            injected.count("answered" if is_answered else "failed")
            injected.count("rows", rows if is_answered else 0)

    def passed(self, at: datetime, control: ControlPlane, injected: Injected) -> str:
        """See `Fault`."""
        if injected.began_at is None or injected.ended_at is not None or at < injected.began_at + self.down_for:
            return ""
        control.start()
        injected.ended_at = at
        facts = injected.facts
        return f"{self.name}: started again; {facts['answered']:,} requests were answered meanwhile, {facts['failed']} failed"


def _under_way(world: World) -> Rollout | None:
    parent = f"{world.workspace.project}/{world.endpoint}"
    with world.workspace.ledger.read() as tx:
        found = entries.find(tx, Rollout, parent=parent, limit=1)
    return found[0] if found and found[0].is_under_way else None


def tell_of(
    injected: Injected,
    actions: Sequence[Action],
    rollouts: Sequence[Rollout],
    incidents: Sequence[Incident],
    answered: Mapping[int, int],
) -> records.Fault:
    """Whether a fault was met as it must be, judged from what the ledger holds.

    Args:
        injected: The fault and its facts.
        actions: Everything that the loop did at the endpoint.
        rollouts: The endpoint's roll-outs.
        incidents: The endpoint's incidents.
        answered: How many rows each model version answered, by number.
    """
    fault, began_at = injected.fault, injected.began_at
    if began_at is None:
        at = fault.since if isinstance(fault, BrokenFeed) else getattr(fault, "at", None)
        assert isinstance(at, datetime)
        return records.Fault(name=fault.name, at=at, was_handled=False, sentence="It never struck: no occasion came.")
    told: tuple[bool, str] = (False, "Nothing is known of how it must be met.")
    if isinstance(fault, BrokenFeed):
        told = _tell_of_feed(injected, began_at, actions, incidents)
    elif isinstance(fault, InvertedLabels):
        told = _tell_of_labels(injected, actions, rollouts, answered)
    elif isinstance(fault, KilledControlPlane):
        told = _tell_of_kill(injected, rollouts)
    return records.Fault(
        name=fault.name,
        at=began_at,
        ended_at=injected.ended_at,
        was_handled=told[0],
        sentence=told[1],
        values=dict(injected.facts),
    )


def _tell_of_feed(
    injected: Injected, began_at: datetime, actions: Sequence[Action], incidents: Sequence[Incident]
) -> tuple[bool, str]:
    """An alert for the data engineer in time, no retraining while it is open, closed after mending.

    An incident of before that was closed and came back with the fault counts from then on.
    """
    of_feeds = [(one.reopened_at or one.created_at, one) for one in incidents if one.cause == "broken feed"]
    found = [(at, one) for at, one in of_feeds if at >= began_at]
    if not found:
        return False, f"{injected.facts['rows']:,} rows came in other units, and nobody was told."
    seen_at, incident = min(found, key=lambda one: one[0])
    took, closed_at = seen_at - began_at, incident.closed_at
    retrained = [
        action
        for action in actions
        if action.name == "retrain"
        and seen_at <= action.created_at
        and (closed_at is None or action.created_at < closed_at)
    ]
    closed, is_mended = "not closed", False
    if closed_at is not None and injected.ended_at is not None:
        is_mended = closed_at >= injected.ended_at
        length = _hours(abs(closed_at - injected.ended_at))
        closed = f"closed {length} {'after' if is_mended else 'before'} its mending"
    held = f"{len(retrained)} retrainings began" if retrained else "no retraining began"
    sentence = f"The {incident.owner} was told after {_hours(took)}; {held} meanwhile; the incident was {closed}."
    return incident.owner == "data engineer" and took <= _ALERT_WITHIN and not retrained and is_mended, sentence


def _tell_of_labels(
    injected: Injected, actions: Sequence[Action], rollouts: Sequence[Rollout], answered: Mapping[int, int]
) -> tuple[bool, str]:
    """What learnt from them was stopped in shadow, or refused by its gate, and answered nothing."""
    retraining = injected.facts["retraining"]
    found = [one for one in rollouts if one.retraining_id == retraining]
    if not found:
        refused = any(a.name == "refuse" and f"retraining:{retraining}" in a.subjects for a in actions)
        return (
            refused,
            "Its gate refused the model that learnt from them." if refused else "Nothing is known of its model.",
        )
    rollout = found[0]
    number = rollout.challenger.number
    rows = answered.get(number, 0)
    was_shadow = all(look.phase == "shadow" for look in rollout.looks)
    took = timedelta() if rollout.ended_at is None else rollout.ended_at - rollout.created_at
    days = f" after {_hours(took)}" if took else " at the first look" if rollout.ended_at is not None else ""
    where = "in shadow" if was_shadow else "in canary"
    sentence = (
        f"Version {number} learnt from them; its roll-out: {rollout.state} {where}{days}; it answered {rows:,} rows."
    )
    return rollout.state == "stopped" and was_shadow and not rows, sentence


def _tell_of_kill(injected: Injected, rollouts: Sequence[Rollout]) -> tuple[bool, str]:
    """Traffic went on without a failure, and the same roll-out came to an end afterwards."""
    facts, back_at = injected.facts, injected.ended_at
    rollout = next((one for one in rollouts if one.id == facts["rollout"]), None)
    ended_at = None if rollout is None else rollout.ended_at
    went_on = back_at is not None and ended_at is not None and ended_at >= back_at
    state = rollout.state if rollout is not None else "gone"
    end = f"the same roll-out went on: {state}" if went_on else f"its roll-out did not go on: {state}"
    sentence = f"{facts['answered']:,} requests were answered while it was down, {facts['failed']} failed; {end}."
    has_end = state in ("promoted", "stopped", "undecided")
    return bool(went_on and has_end and facts["answered"] and not facts["failed"]), sentence


def _hours(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.1f} days"
