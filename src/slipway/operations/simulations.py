"""Simulations: a past period replayed, beside what two other policies would have answered."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.loop import Action
from slipway.records.simulations import Simulation

__all__ = ["GetSimulation", "ListSimulations", "SimulationDetail", "Simulations", "operations"]


class ListSimulations(Struct, frozen=True, kw_only=True):
    """Of which endpoint, "" for all."""

    endpoint: str = ""
    limit: int = 100


class Simulations(Struct, frozen=True, kw_only=True):
    """Simulations, newest first."""

    simulations: tuple[Simulation, ...]


class GetSimulation(Struct, frozen=True, kw_only=True):
    """Which endpoint; its newest simulation unless an id is given."""

    endpoint: str
    id: str = ""


class SimulationDetail(Struct, frozen=True, kw_only=True):
    """One simulation and what the loop did meanwhile, oldest first."""

    simulation: Simulation
    actions: tuple[Action, ...]


operations = (
    Operation(
        name="simulations.list",
        summary="List simulations.",
        permission="endpoints.read",
        request=ListSimulations,
        response=Simulations,
        body="slipway.flows.simulations:list_simulations",
    ),
    Operation(
        name="simulations.get",
        summary="Show a simulation: months, worth, promotions in hindsight, faults, actions.",
        permission="endpoints.read",
        request=GetSimulation,
        response=SimulationDetail,
        body="slipway.flows.simulations:get_simulation",
    ),
)
