"""Floors in the ledger: set by governance, told in the audit log, read whenever a version is judged."""

from __future__ import annotations

from slipway.errors import InvalidInput, near
from slipway.gates.floors import ALWAYS, floor_name
from slipway.gates.written import read_check
from slipway.ledger import entries, events
from slipway.ledger.sealed_records import kept
from slipway.operations.declare import Empty
from slipway.operations.floors import Floors, FloorSet, SetFloor
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.gates import Floor

__all__ = ["floor_in", "floor_of", "list_floors", "set_floor"]

_ENVIRONMENTS = ("dev", "test", "prod")
_TARGETS = ("process",)
_MOST = 1000


def floor_of(tx: ReadTransaction, environment: str) -> Floor | None:
    """What was set for an environment last; None while nothing was."""
    return max(
        entries.find(tx, Floor, name=floor_name(environment), limit=_MOST), key=lambda one: one.number, default=None
    )


def floor_in(workspace: Workspace) -> Floor | None:
    """What was set for a workspace's environment last; None while nothing was."""
    with workspace.ledger.read() as tx:
        return floor_of(tx, workspace.environment)


def list_floors(workspace: Workspace, request: Empty) -> Floors:
    """Every floor that was ever set, newest first."""
    with workspace.ledger.read() as tx:
        return Floors(floors=tuple(entries.find(tx, Floor, limit=_MOST)))


def set_floor(workspace: Workspace, request: SetFloor) -> FloorSet:
    """Say what an environment asks of every model from now on.

    Raises:
        InvalidInput: There is no such environment or target, a check cannot be read, or no reason is given.
    """
    if request.environment not in _ENVIRONMENTS:
        raise InvalidInput(
            f"{request.environment!r} has no floor of its own.",
            why="An environment whose name begins with prod or test has that floor, every other the one of dev.",
            fix=near(request.environment, _ENVIRONMENTS, what="floors"),
            field="environment",
        )
    if not request.reason.strip():
        raise InvalidInput(
            "A floor is changed without a reason.",
            why="Every project has to keep it, and asks why.",
            fix='Say it: --reason "..."',
            field="reason",
        )
    for target in request.targets:
        if target not in _TARGETS:
            raise InvalidInput(
                f"There is no target {target!r}.", fix=near(target, _TARGETS, what="targets"), field="targets"
            )
    checks = tuple(read_check(text) for text in request.checks)
    with workspace.ledger.write() as tx:
        former = floor_of(tx, request.environment)
        number = former.number + 1 if former else 1
        floor = Floor(
            id=f"{request.environment}/{number}",
            project="",
            name=request.environment,
            created_at=workspace.clock.now(),
            number=number,
            checks=tuple(check for check in checks if check not in ALWAYS),
            written=request.checks,
            needs_gate=request.needs_gate,
            formats=request.formats,
            targets=request.targets,
            templates=request.templates,
            actor=workspace.actor,
            reason=request.reason,
        )
        entries.put(tx, floor, expect=0)
        told = {"checks": list(floor.written), "reason": floor.reason, "kept": kept(floor)}
        events.record(tx, workspace, "floors.set", f"floor:{floor.id}", **told)
    return FloorSet(floor=floor)
