"""All that a business owner wants to know of a model, gathered from what the ledger has; the words are in `business_words`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal

from slipway.errors import NotFound, near
from slipway.flows.business_trust import trust_of
from slipway.flows.cost_rates import kept_rates, priced
from slipway.flows.costs import get_cost
from slipway.flows.endpoint_costs import endpoint_cost
from slipway.flows.incidents import BY_HAND
from slipway.flows.journey_evidence import Known, known_of
from slipway.flows.metric_contracts import list_contracts
from slipway.flows.scope_evidence import runs_of
from slipway.flows.use_cases import endpoints_of, stage_of, stopped_at
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.business import (
    Agreed,
    BusinessPage,
    Expected,
    Figure,
    GetBusiness,
    KpiLook,
    Paper,
    Spent,
    Trouble,
    Value,
)
from slipway.operations.contracts import ContractState
from slipway.operations.costs import GetCost, Used
from slipway.operations.declare import Empty
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABTest
from slipway.records.contracts import ContractTerms, KeptContract
from slipway.records.documents import DocumentAnswer
from slipway.records.monitors import Finding, Incident
from slipway.tables.catalog import simulated_tables

__all__ = ["get_business", "measured_values", "spent_of"]

_FINDINGS = 400
_LOOKS = 60
_INCIDENTS = 200
_MONEY = ("kpi", "kpi against metric", "cost")
"""Kinds of cause whose figure is a business figure."""


def get_business(workspace: Workspace, request: GetBusiness) -> BusinessPage:
    """One model as a business owner sees it.

    Raises:
        NotFound: There is no model of that name.
    """
    names = registry.names(workspace)
    if request.model not in names:
        fix = near(request.model, names, what="models") if names else "Make one: slipway run PIPELINE"
        raise NotFound(f"There is no model {request.model!r} in {workspace.project!r}.", fix=fix)
    known = known_of(workspace, request.model)
    endpoints = endpoints_of(known)
    first = min(one.created_at for one in registry.all_versions(workspace, request.model))
    contracts = [
        one for one in list_contracts(workspace, Empty()).contracts if set(one.contract.endpoints) & set(endpoints)
    ]
    with workspace.ledger.read() as tx:
        stage, since = stage_of(known, stopped_at(tx, known.live), first)
        figures = _figures(tx, workspace, known, endpoints, contracts)
        troubles = tuple(_troubles(tx, workspace, endpoints, figures))
        values = (*measured_values(tx, workspace, endpoints), *_expected_value(known))
        trust = trust_of(tx, workspace, known, endpoints)
        purpose = _answer(tx, workspace, known.model, "purpose")
    return BusinessPage(
        project=workspace.project,
        model=known.model,
        version=known.version.number if known.version is not None else 0,
        environment=workspace.environment,
        at=workspace.clock.now(),
        stage=stage,
        since=since,
        purpose=purpose,
        decision=known.scope.terms.decision if known.scope is not None else "",
        figures=figures,
        values=values,
        spent=spent_of(workspace, known, endpoints),
        troubles=troubles,
        open=sum(one.ended_at is None for one in troubles),
        trust=trust,
        papers=tuple(_papers(workspace, known, contracts)),
        simulated=known.bundle.simulated if known.bundle is not None else simulated_tables(workspace),
    )


def _answer(tx: ReadTransaction, workspace: Workspace, model: str, field: str) -> str:
    id = f"{workspace.project}/model:{model}/{field}"
    found = entries.get(tx, DocumentAnswer, id) if entries.etag(tx, DocumentAnswer, id) else None
    return found.text if found is not None and found.state != "deleted" else ""


def _figures(
    tx: ReadTransaction,
    workspace: Workspace,
    known: Known,
    endpoints: Sequence[str],
    contracts: Sequence[ContractState],
) -> tuple[Figure, ...]:
    """What is agreed on, then what is watched though nobody agreed on it: what wrong answers cost."""
    found = [_agreed_figure(tx, workspace, one, endpoints) for one in contracts]
    unit = known.bundle.decision.unit if known.bundle is not None else ""
    loose = {
        (one.name, each.name) for one in known.live for each in one.monitors if each.kind == "kpi" and not each.contract
    }
    for endpoint, name in sorted(loose):
        looks, before = _looks(tx, f"{workspace.project}/{endpoint}", name)
        is_worse = bool(looks) and looks[-1].is_worse
        found.append(
            Figure(name=name, costs=known.bundle.decision.costs if known.bundle is not None else {}, unit=unit, better="lower", before=before, looks=looks, is_worse=is_worse)
        )  # fmt: skip
    return tuple(found)


def _agreed_figure(tx: ReadTransaction, workspace: Workspace, state: ContractState, endpoints: Sequence[str]) -> Figure:
    kept, terms = state.contract, state.contract.terms
    parents = [f"{workspace.project}/{name}" for name in kept.endpoints if name in endpoints]
    every = [_looks(tx, parent, terms.kpi) for parent in parents]
    looks, before = max(every, key=lambda one: one[0][-1].at if one[0] else kept.created_at, default=((), None))
    return Figure(
        name=terms.kpi,
        formula=f"{terms.formula}, for each {terms.per}" if terms.per else terms.formula,
        costs=terms.costs,
        unit=terms.unit,
        better=terms.better,
        agreed=Agreed(
            state="signed" if state.on is not None else "void" if state.void else "drafted",
            owner=terms.owner,
            by=state.by,
            on=state.on,
            limit=terms.limit,
            guard=terms.guard,
        ),
        before=before,
        looks=looks,
        is_worse=bool(looks) and looks[-1].is_worse,
        expected=_expected(kept, terms),
    )


def _expected(kept: KeptContract, terms: ContractTerms) -> Expected | None:
    if terms.hypothesis is None:
        return None
    hoped, stands = terms.hypothesis, kept.standing
    return Expected(
        effect=hoped.effect,
        by=hoped.by,
        author=hoped.author,
        verdict=None if stands is None else stands.verdict,
        found=None if stands is None else stands.effect,
        low=None if stands is None else stands.low,
        high=None if stands is None else stands.high,
        is_cause=stands is not None and stands.source == "A/B test",
        at=None if stands is None else stands.at,
    )


def _looks(tx: ReadTransaction, parent: str, name: str) -> tuple[tuple[KpiLook, ...], float | None]:
    """What a watch of a business figure found, the last of each day, oldest first; and what the newest compares with."""
    found = entries.find(tx, Finding, parent=parent, name=name, limit=_FINDINGS)
    told = [one for one in reversed(found) if isinstance(one.values.get("value"), int | float)]
    days = [list(some)[-1] for _, some in groupby(told, key=lambda one: one.window_until.date())]
    looks = tuple(
        KpiLook(
            at=one.window_until,
            value=float(one.values["value"]),
            low=_number(one.values.get("low")),
            high=_number(one.values.get("high")),
            cases=int(one.values.get("labelled") or one.rows),
            is_worse=one.state == "alert",
        )
        for one in days[-_LOOKS:]
    )
    before = _number(days[-1].values.get("before")) if days else None
    return looks, before


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def measured_values(tx: ReadTransaction, workspace: Workspace, endpoints: Iterable[str]) -> tuple[Value, ...]:
    """Money that comparisons side by side showed, of those by which something came into use; newest first.

    Args:
        tx: An open transaction.
        workspace: The project's.
        endpoints: Where.
    """
    found = []
    for name in endpoints:
        for test in entries.every(tx, ABTest, parent=f"{workspace.project}/{name}"):
            if test.state != "promoted" or not test.looks:
                continue
            arm = next((one for one in test.looks[-1].arms[1:] if one.name == test.chosen), None)
            if arm is None or arm.month is None:
                continue
            sign = -1.0 if test.spec.better == "lower" else 1.0
            ends = sorted(sign * end for end in (arm.month_low, arm.month_high) if end is not None)
            low, high = ends if len(ends) == 2 else (None, None)
            found.append(
                Value(
                    amount=sign * arm.month, low=low, high=high, unit=test.spec.unit, per="month", is_measured=True,
                    cases=sum(one.measured for one in test.looks[-1].arms), at=test.ended_at or test.looks[-1].at,
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _expected_value(known: Known) -> tuple[Value, ...]:
    if known.scope is None or not known.scope.terms.value:
        return ()
    terms = known.scope.terms
    return (Value(amount=terms.value, unit=terms.currency, by=terms.owner, at=known.scope.updated_at),)


def spent_of(workspace: Workspace, known: Known, endpoints: Sequence[str]) -> Spent:
    """What a model took so far: its making, and all that it answers at.

    Args:
        workspace: The project's.
        known: What the ledger has of it.
        endpoints: Where it answers or answered.
    """
    rates = kept_rates(workspace)
    costs = get_cost(workspace, GetCost(name=known.model))
    made, told = costs.model, costs.endpoint  # of that name
    deployed = {one.name for one in known.revisions}
    running = [
        told if told is not None and told.endpoint == name else endpoint_cost(workspace, name, rates)
        for name in endpoints
        if name in deployed
    ]
    used = Used(
        cpu_s=sum(one.used.cpu_s for one in running),
        gpu_s=sum(one.used.gpu_s for one in running),
        size_bytes=sum(one.used.size_bytes for one in running),
    )
    return Spent(
        rates=rates,
        making=made.used if made is not None else Used(),
        running=priced(used, rates),
        runs=made.runs if made is not None else 0,
        requests=sum(one.requests for one in running),
        since=made.first_run_at if made is not None else None,
    )


def _troubles(
    tx: ReadTransaction, workspace: Workspace, endpoints: Sequence[str], figures: Sequence[Figure]
) -> list[Trouble]:
    parents = [f"{workspace.project}/{name}" for name in endpoints]
    every = [one for parent in parents for one in entries.find(tx, Incident, parent=parent, limit=_INCIDENTS)]
    every.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    return [_trouble(one, figures) for one in every if not one.silenced_by]


def _trouble(one: Incident, figures: Sequence[Figure]) -> Trouble:
    is_money = one.cause in _MONEY
    worse = abs(one.value - one.before) if is_money and one.value is not None and one.before is not None else None
    by, _, said = (
        one.why.removeprefix(f"{BY_HAND} by ").partition(": ") if one.why.startswith(BY_HAND) else ("", "", "")
    )
    since = one.since or one.created_at
    return Trouble(
        id=one.id,
        cause=one.cause or one.name,
        since=since,
        ended_at=one.closed_at if one.state == "closed" else None,
        owner=one.owner,
        seen_by=one.acknowledged_by,
        figure=one.about if is_money else "",
        worse_by=worse,
        unit=one.unit if is_money else "",
        cases=one.rows,
        meanwhile=_meanwhile(since, one.closed_at, figures),
        ended_by=by,
        said=said,
    )


def _meanwhile(since: datetime, until: datetime | None, figures: Sequence[Figure]) -> Literal["held", "worse", ""]:
    """How the business figures stood from the beginning of an incident until its end."""
    looks = [look for one in figures for look in one.looks if look.at >= since and (until is None or look.at <= until)]
    return ("worse" if any(look.is_worse for look in looks) else "held") if looks else ""


def _papers(workspace: Workspace, known: Known, contracts: Sequence[ContractState]) -> list[Paper]:
    model = known.model
    has_card = bool(known.versions)  # another tool's log has none
    found = [Paper(kind="card", name=model, place=("documents", "card", model))] if has_card else []
    if known.scope is not None:
        name = known.scope.name
        found.append(Paper(kind="scope", name=name, place=("scopes", name)))
        found += [
            Paper(kind="case study", name=name, place=("scopes", name, "study", run))
            for run in runs_of(workspace, known.scope.terms)[:1]
        ]
    found += [
        Paper(kind="agreement", name=one.contract.terms.kpi, place=("contracts", one.contract.name))
        for one in contracts
    ]
    found.append(Paper(kind="costs", name=model, place=("costs", model)))
    found.append(Paper(kind="incidents", name=model, place=("incidents",)))
    return found
