"""The rate at which a gate asks for load: that of the endpoint's scope, where it wrote a greater one."""

from __future__ import annotations

import msgspec

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.gates import GateSpec
from slipway.records.scopes import KeptScope

__all__ = ["at_scoped_rate", "scoped_rate"]

_MANY = 1000


def scoped_rate(tx: ReadTransaction, project: str, endpoint: str) -> float:
    """Requests a second that an endpoint must take by its scope, 0 where nobody wrote that."""
    found = entries.find(tx, KeptScope, project=project, limit=_MANY)
    return max((one.terms.requests_per_second for one in found if one.terms.serves == endpoint), default=0.0)


def at_scoped_rate(tx: ReadTransaction, project: str, endpoint: str, gate: GateSpec) -> GateSpec:
    """A gate whose checks of load ask at the scoped rate, where that is greater than their own.

    Args:
        tx: An open transaction.
        project: Whose endpoint.
        endpoint: Its name.
        gate: As it is effective.
    """
    rate = scoped_rate(tx, project, endpoint)
    return GateSpec(
        checks=tuple(
            msgspec.structs.replace(check, rate=max(rate, check.rate))
            if check.kind == "load" and check.metric not in ("size", "throughput")
            else check
            for check in gate.checks
        )
    )
