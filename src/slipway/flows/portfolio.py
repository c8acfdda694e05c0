"""The portfolio: every use case of the projects that whoever asks may see, from idea to retired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from slipway.flows.business import measured_values
from slipway.flows.costs import list_costs
from slipway.flows.journey_evidence import Known, known_of
from slipway.flows.metric_contracts import list_contracts
from slipway.flows.scope_evidence import requirements
from slipway.flows.use_cases import endpoints_of, reached_at, stage_of, stopped_at, waits_of
from slipway.ledger import entries
from slipway.ledger.projects import list_projects
from slipway.models import registry
from slipway.operations.contracts import ContractState
from slipway.operations.costs import Costs, GetCosts
from slipway.operations.declare import Empty
from slipway.operations.permissions import allowed
from slipway.operations.portfolio import STAGES, Money, Portfolio, UseCase, Wait
from slipway.ports.workspace import Workspace, in_project
from slipway.records.scopes import KeptScope
from slipway.tables.catalog import simulated_tables

__all__ = ["get_portfolio"]

_MANY = 10_000
_READ = "business.read"


def get_portfolio(workspace: Workspace, request: Empty) -> Portfolio:
    """All use cases of the projects in which whoever asks may see business pages."""
    cases: list[UseCase] = []
    rates, made_up = {}, []
    for project in list_projects(workspace, Empty()).projects:
        inside = in_project(workspace, project.name)
        if not allowed(inside.actor, _READ):
            continue
        inside = replace(inside, identity=None)
        costs = list_costs(inside, GetCosts())
        rates[project.name] = costs.rates
        made_up += [f"{project.name}/{table}" for table in simulated_tables(inside)]
        cases += _cases(inside, costs)
    cases.sort(key=lambda one: (STAGES.index(one.stage), one.since, one.project, one.name))
    took = sorted(days for one in cases if (days := one.days_to_production) is not None)
    return Portfolio(
        at=workspace.clock.now(),
        cases=tuple(cases),
        reached=sum(one.reached is not None for one in cases),
        days=tuple(took),
        money=tuple(_money(cases)),
        rates=rates,
        simulated=tuple(made_up),
    )


def _cases(workspace: Workspace, costs: Costs) -> Iterator[UseCase]:
    """One a model, and one a scope of which there is no model yet."""
    taken: set[str] = set()
    contracts = list_contracts(workspace, Empty()).contracts
    for name in registry.names(workspace):
        known = known_of(workspace, name)
        taken |= {known.scope.name} if known.scope is not None else set()
        yield _case(workspace, known, costs, contracts)
    with workspace.ledger.read() as tx:
        scopes = entries.find(tx, KeptScope, project=workspace.project, limit=_MANY)
    for scope in scopes:
        if scope.name not in taken:
            known = Known(model="", environment=workspace.environment, scope=scope)
            yield _case(workspace, known, costs)


def _case(workspace: Workspace, known: Known, costs: Costs, contracts: Sequence[ContractState] = ()) -> UseCase:
    terms = known.scope.terms if known.scope is not None else None
    first = min((one.created_at for one in registry.all_versions(workspace, known.model)), default=None)
    needs = requirements(workspace, terms) if terms is not None and known.model else ()
    names = endpoints_of(known)
    with workspace.ledger.read() as tx:
        stage, since = stage_of(known, stopped_at(tx, known.live), first)
        waits = waits_of(tx, workspace, known, stage, needs)
        value = next(iter(measured_values(tx, workspace, names)), None)
    if stage in ("pilot", "in production"):
        waits += tuple(_unsigned(contracts, names))
    cost, hours = _cost(known, names, costs)
    return UseCase(
        project=workspace.project,
        name=known.scope.name if known.scope is not None else known.model,
        model=known.model,
        scope=known.scope.name if known.scope is not None else "",
        owner=terms.owner if terms is not None else "",
        decision=terms.decision if terms is not None else "",
        stage=stage,
        since=since,
        reached=reached_at(known),
        began=_began(known, since),
        waits=waits,
        expected=terms.value if terms is not None else 0.0,
        currency=terms.currency if terms is not None else "",
        realised=None if value is None else value.amount,
        realised_low=None if value is None else value.low,
        realised_high=None if value is None else value.high,
        realised_unit="" if value is None else value.unit,
        hours=hours,
        cost=cost,
        cost_unit=costs.rates.currency,
    )


def _unsigned(contracts: Iterable[ContractState], endpoints: Sequence[str]) -> Iterator[Wait]:
    """Agreements on a figure that wait for their owner's name."""
    for one in contracts:
        if one.on is None and set(one.contract.endpoints) & set(endpoints):
            yield Wait(kind="signature", on=(one.contract.terms.owner,), since=one.contract.created_at)


def _began(known: Known, since: datetime) -> datetime:
    """The first record of a use case."""
    first = [one.created_at for one in (*known.runs, *known.versions, *known.revisions)]
    return min([*first, since, *([known.scope.created_at] if known.scope is not None else [])])


def _cost(known: Known, endpoints: Iterable[str], costs: Costs) -> tuple[float | None, float]:
    """Money, None without a rate, and hours of computing."""
    deployed = set(endpoints)
    used = [one.used for one in costs.models if one.model == known.model]
    used += [one.used for one in costs.endpoints if one.endpoint in deployed]
    paid = [one.compute for one in used if one.compute is not None]
    return sum(paid) if paid else None, sum(one.cpu_s + one.gpu_s for one in used) / 3600


def _money(cases: Iterable[UseCase]) -> Iterator[Money]:
    """Sums by currency: amounts of different ones are never added."""
    sums: dict[str, Money] = defaultdict(lambda: Money(currency=""))

    def add(currency: str, **more: float) -> None:
        now = sums[currency]
        fields = {name: getattr(now, name) + amount for name, amount in more.items()}
        sums[currency] = msgspec.structs.replace(now, currency=currency, **fields)

    for one in cases:
        if one.expected:
            add(one.currency, expected=one.expected, expecting=1)
        if one.realised is not None:
            add(one.realised_unit, realised=one.realised, realising=1)
        if one.cost is not None:
            add(one.cost_unit, cost=one.cost, costing=1)
    yield from (sums[currency] for currency in sorted(sums))
