"""Collect what the checks of behaviour read: groups, dirty input, single inputs, leaks, tables' checks, documents, costs.

One part may fail without hiding the others: what could not be collected is told by its check, and that is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slipway.errors import InvalidInput, NotFound, SlipwayError, near
from slipway.flows.leaks import leaks
from slipway.flows.perturbed import changed, dirty, moved
from slipway.flows.stored_rows import StoredRows, stored_rows
from slipway.gates import evidence as make
from slipway.ledger import entries, origins
from slipway.models import registered
from slipway.models.bundle import LoadedModel
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.documents import MODEL_QUESTIONS
from slipway.records.gates import CheckSpec, Evidence, GateSpec
from slipway.records.models import DOCUMENTS, Bundle, ModelVersion
from slipway.records.tables import TableVersion
from slipway.stats.groups import by_group
from slipway.stats.intervals import mean_interval
from slipway.stats.metrics import MIN_SLICE_ROWS, CostMatrix, costs
from slipway.tables.personal import MASK

__all__ = ["KINDS", "collect_behaviour"]

_ON_ROWS: dict[str, Callable[[StoredRows, CheckSpec], dict[str, Any]]] = {
    "robust": dirty,
    "invariant": changed,
    "monotonic": moved,
    "no_leakage": leaks,
}
KINDS = frozenset({*_ON_ROWS, "fair", "kpi", "data_checks", "documented", "real_data"})
"""The checks of behaviour."""

_STORED = "features.training_batches("


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """What is judged, and its stored rows once somebody asks for them."""

    workspace: Workspace
    version: ModelVersion
    bundle: Bundle
    model: LoadedModel | None
    endpoint: str

    @cached_property
    def rows(self) -> StoredRows:
        if self.model is None:
            raise NotFound("The bundle does not load.", fix="Mend what the check of loading says.")
        return stored_rows(self.workspace, self.model)


def collect_behaviour(
    workspace: Workspace,
    version: ModelVersion,
    bundle: Bundle,
    model: LoadedModel | None,
    gate: GateSpec,
    *,
    endpoint: str,
) -> list[Evidence]:
    """What the gate's checks of behaviour read; one record a check.

    Args:
        workspace: Where rows, tables and documents are.
        version: The version to be judged.
        bundle: Its manifest.
        model: It, loaded; None where it does not load.
        gate: The effective gate.
        endpoint: Where it would serve.
    """
    asked = _Candidate(workspace=workspace, version=version, bundle=bundle, model=model, endpoint=endpoint)
    return [_collected(asked, check) for check in gate.checks if check.kind in KINDS]


def _collected(asked: _Candidate, check: CheckSpec) -> Evidence:
    subject, now = asked.version.bundle, asked.workspace.clock.now()
    try:
        values = (
            _ON_ROWS[check.kind](asked.rows, check) if check.kind in _ON_ROWS else _OTHERS[check.kind](asked, check)
        )
    except (NotFound, InvalidInput) as problem:
        why = (
            problem.what
            if isinstance(problem, NotFound) or not problem.field
            else f"the {problem.field!r} does not fit"
        )
        return make.untold(check.kind, subject, now, why=why.rstrip("."), fix=problem.fix or problem.why, check=check)
    except SlipwayError as problem:
        return make.untold(check.kind, subject, now, why=problem.what.rstrip("."), fix=problem.fix, check=check)
    except Exception as problem:  # a framework's own, in whose words the values of a row may be
        why = f"asking it raised {type(problem).__name__}"
        return make.untold(
            check.kind, subject, now, why=why, fix="Ask it for such rows in a notebook, and mend it.", check=check
        )
    return make.behaviour(check, subject, now, **values)


def _fair(asked: _Candidate, check: CheckSpec) -> dict[str, Any]:
    rows, decision = asked.rows, asked.bundle.decision
    if check.slice not in rows.frame.columns:
        raise InvalidInput(
            f"The evaluated rows have no column {check.slice!r}.",
            fix=near(check.slice, rows.frame.columns, what="columns"),
        )
    matrix = CostMatrix(**decision.costs) if decision.costs else None
    members = rows.frame[check.slice].to_list()
    found = by_group(check.metric, rows.truth, rows.scores, members, threshold=decision.threshold, matrix=matrix)
    is_personal = check.slice in rows.personal
    return {
        "groups": [
            {
                # A value that few rows have may name a person.
                "group": MASK if is_personal and group.rows < MIN_SLICE_ROWS else group.name or "missing",
                "n": group.rows, "value": group.figure.value, "low": group.figure.low, "high": group.figure.high,
                "note": group.figure.note,
            }
            for group in found
        ]
    }  # fmt: skip


def _kpi(asked: _Candidate, check: CheckSpec) -> dict[str, Any]:
    names = _kpis(asked)
    if check.metric not in names:
        raise NotFound(
            f"The endpoint {asked.endpoint!r} watches no KPI {check.metric!r}.",
            fix=near(check.metric, names, what="KPIs")
            if names
            else f"Declare it: monitors=[sw.KPI({check.metric!r})].",
        )
    decision = asked.bundle.decision
    if decision.threshold is None or not decision.costs:
        raise NotFound(
            "The model's decision says no costs.",
            fix="Say what each outcome costs: sw.Model(..., decision=sw.threshold(costs={...})).",
        )
    rows = asked.rows
    found = mean_interval(costs(rows.truth, rows.scores, decision.threshold, CostMatrix(**decision.costs)))
    return {
        "value": found.value, "low": found.low, "high": found.high, "n": found.n, "note": found.note,
        "unit": decision.unit,
    }  # fmt: skip


def _kpis(asked: _Candidate) -> list[str]:
    """The KPIs that the endpoint declares."""
    workspace = asked.workspace
    with workspace.ledger.read() as tx:
        id = declared_id(workspace.project, workspace.environment, asked.endpoint)
        try:
            declared = entries.get(tx, DeclaredEndpoint, id)
        except NotFound:  # it was never declared: then it watches nothing
            return []
    return [monitor.name for monitor in declared.monitors if monitor.kind == "kpi"]


def _data_checks(asked: _Candidate, check: CheckSpec) -> dict[str, Any]:
    with asked.workspace.ledger.read() as tx:
        versions = {one.id: one for node in asked.bundle.data for one in _versions(tx, node)}
    return {"tables": [_checked(one) for one in versions.values()]}


def _real_data(asked: _Candidate, check: CheckSpec) -> dict[str, Any]:
    """By what is known now as well as by what the bundle says: a table may have been declared simulated since."""
    with asked.workspace.ledger.read() as tx:
        now = origins.simulated(tx, asked.bundle.data)
    return {"tables": list(asked.bundle.data), "simulated": sorted({*now, *asked.bundle.simulated})}


def _versions(tx: ReadTransaction, node: str) -> list[TableVersion]:
    """A table's version; of a training set that was stored, the versions that it was made of, too."""
    id = node.partition(":")[2]
    if tx.get(entries.kind_of(TableVersion), id) is None:
        raise NotFound(f"Nobody knows the version {node!r} any more.", fix="Train it again on a version that is there.")
    found = entries.get(tx, TableVersion, id)
    if not found.source.startswith(_STORED):
        return [found]
    sources = [
        link.source for link in tx.links(node, towards=True) if (link.role, link.source[:6]) == ("source", "table:")
    ]
    made_of = [one for source in sources for one in _versions(tx, source)]
    return [*made_of, found] if found.checks or not made_of else made_of


def _checked(version: TableVersion) -> dict[str, Any]:
    failed = [one for one in version.checks if not one.passed]
    return {
        "table": f"{version.name} {version.number}",
        "name": version.name,
        "checks": len(version.checks),
        "failed": [f"{one.check} in all but {one.failed_rows:,} of {one.rows:,} rows" for one in failed],
        "undecided": [f"{one.check} cannot be told" for one in version.checks if one.undecided],
    }


def _documented(asked: _Candidate, check: CheckSpec) -> dict[str, Any]:
    with asked.workspace.ledger.read() as tx:
        said = registered.documents(tx, asked.workspace, asked.version.name)
    bundle = asked.bundle
    there = {
        **{field: field in said for field in MODEL_QUESTIONS},
        "evaluation": any(np.isfinite(metric.value) for metric in bundle.metrics),
        "data": bool(bundle.data),
        "code": bool(bundle.code.commit) and not bundle.code.dirty,
        "environment": bundle.environment is not None and bool(bundle.environment.lock),
        "decision": bundle.decision.threshold is not None or bundle.task == "regression",
    }
    missing = [
        {"field": field, "role": DOCUMENTS[field], "fix": _document_fix(asked.version.name, field)}
        for field in check.columns
        if not there.get(field, False)
    ]
    return {"missing": missing, "there": [field for field in check.columns if there.get(field, False)]}


def _document_fix(model: str, field: str) -> str:
    if field in MODEL_QUESTIONS:
        return f'Answer it: slipway documents answer card {model} {field} "..."'
    return {
        "evaluation": "Evaluate it in the pipeline: sw.evaluate(model, rows, ...).",
        "data": "Read the rows from declared tables.",
        "code": "Commit the code, and release it again.",
        "environment": "Release it again from an environment whose packages are known.",
        "decision": "Say what is done with a score: sw.Model(..., decision=sw.threshold(...)).",
    }[field]


_OTHERS: dict[str, Callable[[_Candidate, CheckSpec], dict[str, Any]]] = {
    "fair": _fair,
    "kpi": _kpi,
    "data_checks": _data_checks,
    "documented": _documented,
    "real_data": _real_data,
}
