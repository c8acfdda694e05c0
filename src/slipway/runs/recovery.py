"""Runs whose process died without saying so."""

from datetime import UTC, datetime

import msgspec

from slipway.ledger import entries, events, provenance
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, RunError, StepRun

__all__ = ["recover"]


def recover(workspace: Workspace) -> list[Run]:
    """Mark as killed every running run of the project whose process on this machine is gone.

    The steps that were running count as failed. Runs of other machines are left: whether they live cannot be told from
    here. What was logged until then stays.

    Returns:
        The runs that were marked.
    """
    with workspace.ledger.read() as tx:
        running = entries.find(tx, Run, project=workspace.project, state="running", limit=10_000)
    gone = [run for run in running if provenance.is_host_gone(run.host)]
    if not gone:
        return []
    marked: list[Run] = []
    with workspace.ledger.write() as tx:
        for run in gone:
            present = entries.get(tx, Run, run.id)
            if present.state != "running":
                continue
            killed = msgspec.structs.replace(present, state="killed", ended_at=datetime.now(UTC))
            entries.put(tx, killed)
            for step in entries.find(tx, StepRun, parent=run.id, state="running", limit=10_000):
                told = RunError(type="Killed", message="The process ended while the step ran.", step=step.name)
                entries.put(tx, msgspec.structs.replace(step, state="failed", key="", error=told))
            events.record(tx, workspace, "runs.recover", f"run:{run.id}", name=run.name, state="killed")
            marked.append(killed)
    return marked
