"""The floor of each environment: what every model must show there, whatever a project declares."""

from __future__ import annotations

from slipway.errors import GateRefused
from slipway.records.gates import CheckSpec, GateSpec

__all__ = ["FLOORS", "effective"]

_ALWAYS = (CheckSpec(kind="signature"), CheckSpec(kind="parity"), CheckSpec(kind="loads"))

FLOORS: dict[str, tuple[CheckSpec, ...]] = {"dev": _ALWAYS, "test": _ALWAYS, "prod": _ALWAYS}
_DECLARED_IS_DUE = ("prod",)


def effective(gate: GateSpec | None, environment: str) -> GateSpec:
    """The checks that a model must pass in an environment: the floor's, then the declared ones.

    Args:
        gate: What the project declares, None for nothing.
        environment: Its name. One that begins with "prod" has the floor of "prod", every other the one of "dev".

    Raises:
        GateRefused: The environment asks for a declared gate, and there is none.
    """
    if gate is None and environment.startswith(_DECLARED_IS_DUE):
        raise GateRefused(
            f"No gate is declared, and {environment} asks for one.",
            why="What production accepts must be written down before a model is looked at.",
            fix="Declare it: sw.Endpoint(..., gate=sw.Gate(sw.metric('auc') >= 0.7)).",
        )
    floor = FLOORS.get(environment, FLOORS["dev"])
    declared = gate.checks if gate else ()
    return GateSpec(checks=(*floor, *(check for check in declared if check not in floor)))
