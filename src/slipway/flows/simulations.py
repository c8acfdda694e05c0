"""Simulations as people see them, and their beginning; what came of one is written by `simulation_report`."""

from datetime import datetime

from msgspec import structs

from slipway.errors import NotFound
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.simulations import GetSimulation, ListSimulations, SimulationDetail, Simulations
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action
from slipway.records.simulations import Simulation

__all__ = ["actions_of", "begin", "fail", "get_simulation", "list_simulations"]

_ALL = 1_000_000


def begin(workspace: Workspace, endpoint: str, *, since: datetime, until: datetime, seed: int) -> Simulation:
    """Write down that a simulation of an endpoint begins.

    Args:
        workspace: Where it is recorded.
        endpoint: The endpoint's name.
        since: First decision time.
        until: First decision time no longer asked.
        seed: From which everything random is drawn.
    """
    simulation = Simulation(
        id=new_id(),
        project=workspace.project,
        name=endpoint,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{endpoint}",
        state="running",
        since=since,
        until=until,
        seed=seed,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, simulation, expect=0)
        events.record(tx, workspace, "simulations.begin", f"simulation:{simulation.id}", endpoint=endpoint, seed=seed)
    return simulation


def fail(workspace: Workspace, simulation: Simulation, reason: str) -> Simulation:
    """Write down that a simulation did not come to its end.

    Args:
        workspace: Where it is recorded.
        simulation: As it was begun.
        reason: Why, in a sentence.
    """
    failed = structs.replace(simulation, state="failed", sentence=reason, ended_at=workspace.clock.now())
    with workspace.ledger.write() as tx:
        entries.put(tx, failed)
        events.record(tx, workspace, "simulations.fail", f"simulation:{simulation.id}", endpoint=simulation.name)
    return failed


def list_simulations(workspace: Workspace, request: ListSimulations) -> Simulations:
    """The project's simulations."""
    parent = f"{workspace.project}/{request.endpoint}" if request.endpoint else None
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Simulation, project=workspace.project, parent=parent, limit=request.limit)
    return Simulations(simulations=tuple(found))


def get_simulation(workspace: Workspace, request: GetSimulation) -> SimulationDetail:
    """One simulation.

    Raises:
        NotFound: The endpoint has none, or none with this id.
    """
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        if request.id:
            found = [entries.get(tx, Simulation, request.id)]
        else:
            found = entries.find(tx, Simulation, project=workspace.project, parent=parent, limit=1)
        if not found or found[0].parent_id != parent:
            which = f"simulation {request.id!r}" if request.id else "simulation"
            raise NotFound(
                f"The endpoint {request.endpoint!r} in {workspace.project!r} has no {which}.",
                fix=f"List those that there are: slipway api simulations.list --project {workspace.project}",
            )
        return SimulationDetail(simulation=found[0], actions=actions_of(tx, found[0]))


def actions_of(tx: ReadTransaction, simulation: Simulation) -> tuple[Action, ...]:
    """What the loop did during a simulation, oldest first.

    Args:
        tx: An open transaction.
        simulation: One that runs or has ended.
    """
    found = entries.find(tx, Action, project=simulation.project, parent=simulation.parent_id, limit=_ALL)
    inside = [
        one
        for one in found
        if one.created_at >= simulation.since and (simulation.ended_at is None or one.created_at <= simulation.ended_at)
    ]
    return tuple(sorted(inside, key=lambda action: action.number))
