"""Incidents of roll-outs, and the crashes that stop one at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from slipway.flows.endpoints import folder_of, last_status
from slipway.flows.rollout_incidents import ALARM, close_incident, open_incident
from slipway.flows.rollouts import challenger_name
from slipway.ledger import entries
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout

__all__ = ["alarm", "close_former", "crashed"]

_CRASHES = 3
_WITHIN = timedelta(minutes=10)


def alarm(tx: WriteTransaction, workspace: Workspace, rollout: Rollout, sentence: str) -> None:
    """Open the incident that something is wrong with an endpoint's roll-out."""
    open_incident(tx, workspace, rollout, ALARM, sentence, owner="data scientist")


def close_former(workspace: Workspace, rollout: Rollout) -> None:
    """Close the incident of an earlier roll-out: another challenger is on its way."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Incident, parent=rollout.parent_id, name=ALARM, state="open", limit=1)
    if not found or found[0].created_at >= rollout.created_at:
        return
    with workspace.ledger.write() as tx:
        close_incident(tx, workspace, rollout, ALARM, why=f"{challenger_name(rollout)} is rolled out now")


def crashed(workspace: Workspace, rollout: Rollout) -> str:
    """The sentence that workers crash again and again since a challenger is in them, "" where they do not.

    Times are machine time. A champion that crashed as often by itself, as long as the endpoint remembers, clears the
    challenger.
    """
    said = last_status(folder_of(workspace, rollout.name))
    crashes = () if said is None else said.crashes
    if len(crashes) < _CRASHES:
        return ""
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=rollout.name, limit=100_000)
    beside = {one.number for one in known if one.challenger and one.challenger.rollout_id == rollout.id}
    theirs = [at for number, at in crashes if number in beside]
    alone = [at for number, at in crashes if number not in beside]
    if not _is_repeated(theirs) or _is_repeated(alone):
        return ""
    return (
        f"{len(theirs)} workers ended without being told to since it is in them, {_CRASHES} of them within"
        f" {_WITHIN.total_seconds() / 60:.0f} minutes; of the champion alone {len(alone)} did."
    )


def _is_repeated(at: list[datetime]) -> bool:
    return any(last - first <= _WITHIN for first, last in zip(at, at[_CRASHES - 1 :], strict=False))
