"""Measuring a packaged model before it is released: under load, and row by row beside its training set."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.gates import GateSpec, Outcome
from slipway.records.load import LoadReport, Replay

__all__ = ["CheckLoad", "CheckedLoad", "ReplayModel", "Replayed", "operations"]


class CheckLoad(Struct, frozen=True, kw_only=True):
    """Send a bundle's endpoint process real requests on the machine where the store is.

    Args:
        target: A run's id, or MODEL or MODEL:VERSION.
        rate: Requests a second; None for the greatest that the endpoint's gate or scope asks for, or 200.
        rows: Rows a request.
        seconds: For how long.
        endpoint: Whose gate and number of workers; an endpoint of the model's own name when empty.
        gate: A gate instead of the one that was declared, None for that one.
    """

    target: str
    rate: float | None = None
    rows: int = 1
    seconds: float = 5.0
    endpoint: str = ""
    gate: GateSpec | None = None


class CheckedLoad(Struct, frozen=True, kw_only=True):
    """What was measured, and what the needs that the gate declares say of it.

    Args:
        report: The figures.
        outcomes: One a check of the gate that is about load; () where it declares none.
        holds: Whether every request was answered and every need is met.
    """

    report: LoadReport
    outcomes: tuple[Outcome, ...]
    holds: bool


class ReplayModel(Struct, frozen=True, kw_only=True):
    """Which model and version (a number, an alias, or "latest"), and how many training rows at most."""

    model: str
    version: str = "latest"
    rows: int = 500


class Replayed(Struct, frozen=True, kw_only=True):
    """What a replay found of a model version."""

    model: str
    number: int
    bundle: str
    replay: Replay


operations = (
    Operation(
        name="models.load",
        summary="Measure latency, throughput, CPU, memory and size of a bundle's endpoint process under load.",
        permission="gates.check",
        request=CheckLoad,
        response=CheckedLoad,
        body="slipway.flows.check_load:check_load",
        changes=True,
    ),
    Operation(
        name="models.replay",
        summary="Ask stored training rows over HTTP of a bundle's endpoint process, and compare column by column.",
        permission="gates.check",
        request=ReplayModel,
        response=Replayed,
        body="slipway.flows.replay_rows:replay",
        changes=True,
    ),
)
