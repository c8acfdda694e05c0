"""Findings and incidents of one endpoint, without a model: what monitors would have said."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from slipway.flows.incidents import follow
from slipway.governance.outbox import CLOSED
from slipway.ids import new_id
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec
from slipway.records.monitors import Cause, Finding, Incident
from slipway.records.notifications import Delivery, Notification

ENDPOINT = "flight-delays"
DAY = timedelta(days=1)


def monitor(kind: str, name: str = "") -> MonitorSpec:
    return MonitorSpec(kind=kind, name=name or kind)  # type: ignore[arg-type]  # what others call theirs


def broken(about: str = "feature view weather", columns: Sequence[str] = ("weather_wind",), **more: Any) -> Cause:
    sentence = f"{about}: {len(columns)} inputs are missing."
    return Cause(kind="broken feed", about=about, sentence=sentence, columns=tuple(columns), **more)


def finding(
    workspace: Workspace,
    spec: MonitorSpec,
    *causes: Cause,
    state: str = "",
    days: float = 1.0,
    values: dict[str, Any] | None = None,
) -> Finding:
    now = workspace.clock.now()
    return Finding(
        id=new_id(),
        project=workspace.project,
        name=spec.name,
        created_at=now,
        parent_id=f"{workspace.project}/{ENDPOINT}",
        state=state or ("alert" if causes else "ok"),  # type: ignore[arg-type]
        window_from=now - days * DAY,
        window_until=now,
        rows=1000,
        sentence=causes[0].sentence if causes else f"{spec.name} is {state or 'ok'}.",
        values=values or {},
        causes=causes,
    )


def look(workspace: Workspace, *found: tuple[MonitorSpec, Finding]) -> list[Incident]:
    """One look of monitors; gives what is open afterwards."""
    with workspace.ledger.write() as tx:
        for _, one in found:
            entries.put(tx, one, expect=0)
        follow(tx, workspace, found)
    return incidents(workspace, "open")


def shows(workspace: Workspace, spec: MonitorSpec, *causes: Cause, **more: Any) -> list[Incident]:
    return look(workspace, (spec, finding(workspace, spec, *causes, **more)))


def incidents(workspace: Workspace, state: str | None = None) -> list[Incident]:
    with workspace.ledger.read() as tx:
        return sorted(entries.find(tx, Incident, state=state, limit=1000), key=lambda one: (one.created_at, one.id))


def notifications(workspace: Workspace) -> list[Notification]:
    with workspace.ledger.read() as tx:
        return sorted(entries.find(tx, Notification, limit=1000), key=lambda one: (one.created_at, one.name))


def tellings(workspace: Workspace) -> list[Notification]:
    """Without those of the end."""
    return [one for one in notifications(workspace) if one.name != CLOSED]


def deliveries(workspace: Workspace) -> list[Delivery]:
    with workspace.ledger.read() as tx:
        return sorted(entries.find(tx, Delivery, limit=1000), key=lambda one: (one.created_at, one.name))


def verbs(workspace: Workspace) -> list[str]:
    with workspace.ledger.read() as tx:
        return [event.verb for event in tx.events()]


def later(clock: Any, *, days: float = 0.0, hours: float = 0.0) -> datetime:
    clock.advance_to(clock.now() + timedelta(days=days, hours=hours))
    found: datetime = clock.now()
    return found
