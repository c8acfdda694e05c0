"""Who can help with a refusal: whose work it is, by the stage of a model's life and, where no RACI is declared, by role."""

from __future__ import annotations

from slipway.records.gates import CheckKind, CheckSpec
from slipway.records.responsibility import Letter, Stage

__all__ = ["helper", "stage_of"]

_WHO: dict[CheckKind, tuple[str, Stage]] = {
    "approval": ("accountable", "approve"),
    "champion": ("data scientist", "train"),
    "calibrated": ("data scientist", "train"),
    "consistent": ("ml engineer", "feature"),
    "contract": ("data scientist", "train"),
    "contract_signed": ("business owner", "scope"),
    "data_checks": ("data engineer", "data"),
    "documented": ("data scientist", "scope"),
    "environment": ("platform engineer", "deploy"),
    "fair": ("data scientist", "train"),
    "format": ("governance", "train"),
    "invariant": ("data scientist", "train"),
    "kpi": ("business owner", "scope"),
    "metric": ("data scientist", "train"),
    "monotonic": ("data scientist", "train"),
    "no_finding": ("data scientist", "train"),
    "no_leakage": ("data scientist", "feature"),
    "no_skew": ("ml engineer", "feature"),
    "real_data": ("data engineer", "data"),
    "replayed": ("ml engineer", "feature"),
    "reproduced": ("ml engineer", "train"),
    "robust": ("data scientist", "train"),
    "target": ("governance", "deploy"),
    "template": ("governance", "scope"),
}

_DOCUMENTED: dict[str, Stage] = {"data scientist": "train", "ml engineer": "deploy"}
"""The stage of what a document lacks, where that is not the scope."""


def helper(check: CheckSpec) -> str:
    """The role that can help with a check that did not pass; what is packed and served is the ML engineer's."""
    return check.role or _WHO.get(check.kind, ("ml engineer", "deploy"))[0]


def stage_of(check: CheckSpec, role: str) -> tuple[Stage, tuple[Letter, ...]]:
    """The stage of a model's life in which a check is mended, and whose it is there, the first one first.

    What is missing in the documents for the business to say, and what an error may cost, is for who is accountable.

    Args:
        check: The check that did not pass.
        role: The role that can help with it.
    """
    stage = _WHO.get(check.kind, ("ml engineer", "deploy"))[1]
    if check.kind == "documented" and role in _DOCUMENTED:
        stage = _DOCUMENTED[role]
    is_said = stage in ("approve", "scope")
    return stage, ("accountable", "responsible") if is_said else ("responsible", "accountable")
