"""Floors: what every model must show in an environment, whatever its project declares."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.gates import BreakGlass, Floor

__all__ = ["BrokenGlass", "FloorSet", "Floors", "SetFloor", "operations"]


class SetFloor(Struct, frozen=True, kw_only=True):
    """What an environment asks for from now on, in place of what it asked for.

    Args:
        environment: "dev", "test" or "prod"; an environment whose name begins with one of the latter two has its floor.
        checks: Written as in a project's gate: "sw.metric('auc') >= 0.7".
        needs_gate: Whether a project must declare a gate of its own.
        formats: The models' formats that may be, () for any.
        targets: Where bundles may go: "process" is Slipway's own; () for anywhere.
        templates: The templates from which a project may have been made, () for any.
        reason: Why.
    """

    environment: str
    checks: tuple[str, ...] = ()
    needs_gate: bool = False
    formats: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    reason: str


class FloorSet(Struct, frozen=True, kw_only=True):
    """A floor as it is kept."""

    floor: Floor


class Floors(Struct, frozen=True, kw_only=True):
    """Every floor that was ever set, newest first; the newest of an environment holds."""

    floors: tuple[Floor, ...]


class BrokenGlass(Struct, frozen=True, kw_only=True):
    """What was let through against a gate, newest first."""

    uses: tuple[BreakGlass, ...]


operations = (
    Operation(
        name="floors.list",
        summary="Show what each environment asks of every model, and what it asked before.",
        permission="floors.read",
        request=Empty,
        response=Floors,
        body="slipway.flows.floors:list_floors",
        route="/api/v1/floors",
    ),
    Operation(
        name="floors.set",
        summary="Say what an environment asks of every model from now on.",
        permission="floors.write",
        request=SetFloor,
        response=FloorSet,
        body="slipway.flows.floors:set_floor",
        changes=True,
        route="/api/v1/floors/set",
    ),
    Operation(
        name="floors.broken",
        summary="Show what was let through against a gate by break-glass.",
        permission="floors.read",
        request=Empty,
        response=BrokenGlass,
        body="slipway.flows.break_glass:list_broken",
    ),
)
