"""The floor of each environment: what every model must show there, whatever a project declares.

The effective gate is the floor and the project's checks together, of two that ask the same the stricter one. A project
whose check is weaker than the floor's is refused, by that check's name: it would read as if less were asked.
"""

from __future__ import annotations

import math

from slipway.errors import GateRefused
from slipway.gates.wording import describe
from slipway.records.gates import CheckSpec, Floor, GateSpec

__all__ = ["ALWAYS", "effective", "floor_name", "is_always"]

ALWAYS = (CheckSpec(kind="signature"), CheckSpec(kind="parity"), CheckSpec(kind="loads"))
"""What is asked everywhere, and what nobody can let through without."""

_NAMES = ("prod", "test")


def floor_name(environment: str) -> str:
    """Whose floor an environment has: "prod" or "test" for one whose name begins so, "dev" for every other."""
    return next((name for name in _NAMES if environment.startswith(name)), "dev")


def is_always(check: CheckSpec) -> bool:
    """Whether a check is one that nobody can let through without."""
    return check in ALWAYS


def effective(gate: GateSpec | None, environment: str, floor: Floor | None = None) -> GateSpec:
    """The checks that a model must pass in an environment: the floor's, then the declared ones.

    Args:
        gate: What the project declares, None for nothing.
        environment: Its name; see `floor_name`.
        floor: What was set for it, None for nothing: then production asks for a declared gate.

    Raises:
        GateRefused: The environment asks for a declared gate and there is none, or one of its checks is weaker than the
            floor's.
    """
    needs_gate = floor.needs_gate if floor is not None else floor_name(environment) == "prod"
    if gate is None and needs_gate:
        raise GateRefused(
            f"No gate is declared, and {environment} asks for one.",
            why="What production accepts must be written down before a model is looked at.",
            fix="Declare it: sw.Endpoint(..., gate=sw.Gate(sw.metric('auc') >= 0.7)).",
        )
    declared = gate.checks if gate else ()
    asked = (*ALWAYS, *_of_floor(floor))
    return GateSpec(checks=(*_stricter(asked, declared, environment), *_others(asked, declared)))


def _of_floor(floor: Floor | None) -> tuple[CheckSpec, ...]:
    if floor is None:
        return ()
    lists = (
        CheckSpec(kind="format", allowed=floor.formats),
        CheckSpec(kind="target", allowed=floor.targets),
        CheckSpec(kind="template", allowed=floor.templates),
    )
    return (*(check for check in lists if check.allowed), *floor.checks)


def _stricter(asked: tuple[CheckSpec, ...], declared: tuple[CheckSpec, ...], environment: str) -> list[CheckSpec]:
    """Each of the floor's checks, or the declared one that asks the same and more."""
    found, weaker = [], []
    for check in asked:
        same = [own for own in declared if _question(own) == _question(check)]
        weaker += [(own, check) for own in same if _sternness(own) < _sternness(check)]
        found.append(max([check, *same], key=_sternness))
    if weaker:
        own, check = weaker[0]
        more = f" ({len(weaker) - 1} more of its checks are weaker, too.)" if len(weaker) > 1 else ""
        raise GateRefused(
            f"The project's gate weakens the floor of {environment}: '{describe(own)}', where it asks for "
            f"'{describe(check)}'.{more}",
            why="The floor is what every model must show; a gate can ask for more, never for less.",
            fix="Ask for as much, or leave the check out: the floor's counts anyway. Governance sets it: slipway floor show",
        )
    return found


def _others(asked: tuple[CheckSpec, ...], declared: tuple[CheckSpec, ...]) -> list[CheckSpec]:
    questions = {_question(check) for check in asked}
    return [own for own in declared if _question(own) not in questions]


def _question(check: CheckSpec) -> tuple[object, ...]:
    """What a check asks about, without how much it asks."""
    about = (check.kind, check.metric, check.op, check.slice, check.role, check.column, check.columns, check.amounts)
    # What makes two checks of these kinds neither stricter nor weaker than each other: both are judged.
    apart = check.margin if check.kind in ("invariant", "monotonic") else None
    apart = check.count if check.kind in ("fair", "load") else apart
    return (*about, check.rate, check.where, apart)


def _sternness(check: CheckSpec) -> tuple[float, float, float]:
    """How much a check asks: of two with the same question the greater one is the stricter."""
    if check.kind in ("champion", "fair", "robust"):
        asked = -check.margin
    else:
        asked = check.limit if check.kind in ("metric", "kpi", "load") and check.op == ">=" else -check.limit
    names = -float(len(check.allowed)) if check.allowed else -math.inf
    return (check.count, asked, names)
