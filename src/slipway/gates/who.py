"""Who can help with a refusal: the role whose work it is, where a project says nothing more."""

from __future__ import annotations

from slipway.records.gates import CheckSpec

__all__ = ["helper"]

_WHO = {
    "approval": "accountable",
    "champion": "data scientist",
    "calibrated": "data scientist",
    "data_checks": "data engineer",
    "documented": "data scientist",
    "environment": "platform engineer",
    "fair": "data scientist",
    "format": "governance",
    "invariant": "data scientist",
    "kpi": "business owner",
    "metric": "data scientist",
    "monotonic": "data scientist",
    "no_finding": "data scientist",
    "no_leakage": "data scientist",
    "robust": "data scientist",
    "target": "governance",
    "template": "governance",
}


def helper(check: CheckSpec) -> str:
    """The role that can help with a check that did not pass; what is packed and served is the ML engineer's."""
    return check.role or _WHO.get(check.kind, "ml engineer")
