"""How far the needs of a scope are shown: computed from what the ledger and the tables hold, never written by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote

from slipway.errors import NotFound
from slipway.flows.callers import SEEN_WITHIN, list_callers
from slipway.flows.evidence import champion_of
from slipway.flows.health import get_health
from slipway.flows.judging import declared_endpoint
from slipway.flows.metric_contracts import state_of
from slipway.governance.people import known, somebody_is_known
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.endpoints import AskCallers
from slipway.operations.health import AskHealth
from slipway.operations.permissions import ROLES
from slipway.ports.workspace import Workspace
from slipway.records.contracts import KeptContract
from slipway.records.declarations import declared_id
from slipway.records.load import LoadReport
from slipway.records.models import ModelVersion
from slipway.records.runs import Run
from slipway.records.scopes import Requirement, ScopeTerms
from slipway.records.scorings import Scoring
from slipway.records.tables import TableVersion
from slipway.schema.directions import HIGHER
from slipway.schema.durations import in_words, microseconds
from slipway.tables import catalog

__all__ = ["Shown", "requirements", "runs_of"]

_MANY = 1000
_STUDIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one run showed, where a scope is judged by it.

    Args:
        run: The run.
        metrics: Its latest metrics, and those of the model that it made.
    """

    run: Run
    metrics: Mapping[str, float]


def requirements(workspace: Workspace, terms: ScopeTerms, shown: Shown | None = None) -> tuple[Requirement, ...]:
    """Each need of a scope beside what is known of it.

    Args:
        workspace: Where to look.
        terms: The scope.
        shown: The run by which quality and data are judged; by what serves, or the newest version, where it is None.
    """
    version = _version(workspace, terms)
    return (
        *_people(workspace, terms),
        *_sources(workspace, terms),
        *_data(workspace, terms, version, shown),
        *_quality(terms, version, shown),
        *_load(workspace, terms, version),
        *(_live_rows if terms.mode == "live" else _batch)(workspace, terms, version),
        *_availability(workspace, terms),
        *_consumers(workspace, terms),
    )


def runs_of(workspace: Workspace, terms: ScopeTerms) -> tuple[str, ...]:
    """Runs that made a version of the scope's model, the newest first."""
    model = declared_endpoint(workspace, terms.serves).model
    found = registry.all_versions(workspace, model) if model in registry.names(workspace) else []
    runs = dict.fromkeys(one.run_id for one in sorted(found, key=lambda one: -one.number) if one.run_id)
    return tuple(runs)[:_STUDIES]


def _version(workspace: Workspace, terms: ScopeTerms) -> ModelVersion | None:
    """What serves, or else the newest version that is packaged."""
    model = declared_endpoint(workspace, terms.serves).model
    if model not in registry.names(workspace):
        return None
    serving = champion_of(workspace, model, endpoint=terms.serves)
    packaged = [one for one in registry.versions(workspace, model) if one.bundle]
    return serving or max(packaged, key=lambda one: one.number, default=None)


def _people(workspace: Workspace, terms: ScopeTerms) -> Iterator[Requirement]:
    with workspace.ledger.read() as tx:
        people = [one.name for one in known(tx)] if somebody_is_known(tx) else None
        id = declared_id(workspace.project, workspace.environment, terms.kpi.replace(" ", "-"))
        contract = entries.get(tx, KeptContract, id) if terms.kpi and entries.etag(tx, KeptContract, id) else None
        state = state_of(tx, workspace, contract) if contract is not None else None
    if terms.owner in ROLES:
        found = Requirement(need="owner", asked=terms.owner, state="measured", found="a role that the project knows")
    elif people is None:
        todo = f"slipway people add {quote(terms.owner)}"
        found = Requirement(
            need="owner", asked=terms.owner, state="not yet measured", found="nobody is known here", next=todo
        )
    else:
        is_there = terms.owner in people
        found = Requirement(
            need="owner",
            asked=terms.owner,
            state="measured" if is_there else "missed",
            found="is known" if is_there else "nobody of that name is known",
            next="" if is_there else f"slipway people add {quote(terms.owner)}",
        )
    yield found
    if not terms.kpi:
        return
    asked = f"a signed contract on {terms.kpi}"
    if contract is None or state is None:
        told = "no metric contract says how it is reckoned"
        yield Requirement(need="KPI", asked=asked, state="not yet measured", found=told, next="slipway contract draft")
    else:
        is_signed = state.state == "signed"
        yield Requirement(
            need="KPI",
            asked=asked,
            state="measured" if is_signed else "missed",
            found=f"signed by {state.by}" if is_signed else state.void or "drafted, and nobody signed it",
            evidence=f"contract:{contract.id}",
            at=state.on,
            next="" if is_signed else f"slipway contract sign {contract.name}",
        )


def _sources(workspace: Workspace, terms: ScopeTerms) -> Iterator[Requirement]:
    for name in terms.sources:
        try:
            head = catalog.head(workspace, name)
        except NotFound:
            todo = f"slipway data ingest {name}"
            yield Requirement(
                need=f"source {name}", asked="a table", state="not yet measured", found="no version of it", next=todo
            )
            continue
        evidence = f"table:{head.name}@{head.version}"
        failed = [one.check for one in head.checks if not one.passed]
        told = f"version {head.number}, {head.rows:,} rows"
        if not terms.freshness:
            yield Requirement(
                need=f"source {name}",
                asked="a table whose checks pass",
                state="missed" if failed else "measured",
                found=f"{told}; failed: {', '.join(failed)}" if failed else told,
                evidence=evidence,
                at=head.created_at,
                next=f"slipway data failing {name}" if failed else "",
            )
            continue
        limit, now = microseconds(terms.freshness), workspace.clock.now()
        newest = min(head.data_until or head.created_at, head.created_at)  # rows of the future tell of no later time
        age_us = max(0, entries.microseconds(now) - entries.microseconds(newest))
        yield Requirement(
            need=f"source {name}",
            asked=f"newest row at most {in_words(limit)} old",
            state="measured" if age_us <= limit else "missed",
            found=f"{told}; the newest is {in_words(age_us)} old",
            evidence=evidence,
            at=now,
            next="" if age_us <= limit else f"slipway data ingest {name}",
        )


def _data(
    workspace: Workspace, terms: ScopeTerms, version: ModelVersion | None, shown: Shown | None
) -> Iterator[Requirement]:
    if not terms.training_rows:
        return
    asked = f"data of at least {terms.training_rows:,} rows"
    run = shown.run if shown is not None else _run(workspace, version)
    read = _read(workspace, run) if run is not None else []
    if run is None or not read:
        told = "no run has read a table for it"
        yield Requirement(
            need="data volume", asked=asked, state="not yet measured", found=told, next="slipway run PIPELINE"
        )
        return
    most = max(read, key=lambda one: one.rows)
    is_met = most.rows >= terms.training_rows
    yield Requirement(
        need="data volume",
        asked=asked,
        state="measured" if is_met else "missed",
        found=f"run {run.id[:12]} read {most.name} with {most.rows:,} rows",
        evidence=f"run:{run.id}",
        at=run.started_at,
        next="" if is_met else "slipway run PIPELINE",
    )


def _quality(terms: ScopeTerms, version: ModelVersion | None, shown: Shown | None) -> Iterator[Requirement]:
    metrics = dict(shown.metrics) if shown is not None else dict(version.metrics) if version is not None else {}
    for metric, limit in terms.metrics.items():
        side = "at least" if metric in HIGHER else "at most"
        value = metrics.get(metric, math.nan)
        if not math.isfinite(value):
            who = "this run has no figure of" if shown is not None else "no version has a figure of"
            yield Requirement(
                need=metric,
                asked=f"{side} {limit:g}",
                state="not yet measured",
                found=f"{who} {metric}",
                next="sw.evaluate(...) in the pipeline, and: slipway run PIPELINE",
            )
            continue
        is_met = value >= limit if metric in HIGHER else value <= limit
        evidence, at = "", None
        if shown is not None:
            evidence, at = f"run:{shown.run.id}", shown.run.started_at
        elif version is not None:
            evidence, at = f"model:{version.id}", version.created_at
        yield Requirement(
            need=metric,
            asked=f"{side} {limit:g}",
            state="measured" if is_met else "missed",
            found=f"{value:.4g}",
            evidence=evidence,
            at=at,
            next=""
            if is_met
            else f"slipway runs search 'metrics.{metric} {'>=' if metric in HIGHER else '<='} {limit:g}'",
        )


def _load(workspace: Workspace, terms: ScopeTerms, version: ModelVersion | None) -> Iterator[Requirement]:
    rate = terms.requests_per_second
    if not rate:
        return
    asked = f"{rate:g} requests a second, all answered"
    if terms.latency_ms:
        asked += f", 99 of 100 within {terms.latency_ms:g} ms"
    model = version.name if version is not None else "MODEL"
    todo = f"slipway check-load {model} --rate {rate:g}"
    reports = _reports(workspace, version)
    enough = [one for one in reports if one.rate >= rate]
    if not enough:
        told = "no model is packaged yet" if version is None else "nobody measured it under load"
        if reports:
            told = f"measured at {max(one.rate for one in reports):g} requests a second only"
        yield Requirement(need="load", asked=asked, state="not yet measured", found=told, next=todo)
        return
    last = max(enough, key=lambda one: (one.created_at, one.id))
    within = not terms.latency_ms or (last.p99_ms is not None and last.p99_ms <= terms.latency_ms)
    is_met = not last.failed and within
    p99 = "nothing was answered" if last.p99_ms is None else f"99 of 100 within {last.p99_ms:.3g} ms"
    lost = f"{last.failed:,} of {last.sent:,} not answered" if last.failed else "all answered"
    yield Requirement(
        need="load",
        asked=asked,
        state="measured" if is_met else "missed",
        found=f"at {last.rate:g} a second {lost}, {p99}, on {last.machine.name}",
        evidence=f"load:{last.id}",
        at=last.created_at,
        next="" if is_met else todo,
    )


def _reports(workspace: Workspace, version: ModelVersion | None) -> list[LoadReport]:
    if version is None:
        return []
    with workspace.ledger.read() as tx:
        return entries.find(tx, LoadReport, parent=version.bundle, limit=_MANY)


def _live_rows(workspace: Workspace, terms: ScopeTerms, version: ModelVersion | None) -> Iterator[Requirement]:
    if not terms.rows_per_hour:
        return
    asked = f"{terms.rows_per_hour:,.0f} rows an hour"
    reports = _reports(workspace, version)
    todo = f"slipway check-load {version.name if version is not None else 'MODEL'} --rows 100"
    if not reports:
        told = "no model is packaged yet" if version is None else "nobody measured it under load"
        yield Requirement(need="throughput", asked=asked, state="not yet measured", found=told, next=todo)
        return
    most = max(reports, key=lambda one: (one.throughput * one.rows, one.created_at, one.id))
    found = most.throughput * most.rows * 3600
    is_met = found >= terms.rows_per_hour
    yield Requirement(
        need="throughput",
        asked=asked,
        state="measured" if is_met else "missed",
        found=f"{found:,.0f} an hour in requests of {most.rows:,}, as many as {most.machine.name} could answer",
        evidence=f"load:{most.id}",
        at=most.created_at,
        next="" if is_met else todo,
    )


def _batch(workspace: Workspace, terms: ScopeTerms, _: ModelVersion | None) -> Iterator[Requirement]:
    if not terms.rows_per_hour:
        return
    asked = f"{terms.rows_per_hour:,.0f} rows an hour"
    with workspace.ledger.read() as tx:
        parent = f"{workspace.project}/{terms.serves}"
        done = entries.find(tx, Scoring, parent=parent, state="finished", limit=_MANY)
    timed = [one for one in done if one.rows and one.seconds]
    if not timed:
        yield Requirement(
            need="throughput",
            asked=asked,
            state="not yet measured",
            found="nothing was scored yet",
            next=f"slipway score {terms.serves}",
        )
        return
    last = timed[0]
    found = last.rows / last.seconds * 3600
    yield Requirement(
        need="throughput",
        asked=asked,
        state="measured" if found >= terms.rows_per_hour else "missed",
        found=f"scoring {last.number} took {last.seconds:.1f} s for {last.rows:,} rows: {found:,.0f} an hour",
        evidence=f"scoring:{last.id}",
        at=last.ended_at,
        next="" if found >= terms.rows_per_hour else f"slipway score {terms.serves}",
    )


def _availability(workspace: Workspace, terms: ScopeTerms) -> Iterator[Requirement]:
    if not terms.availability:
        return
    asked = f"{terms.availability:.3%} of the requests get a result"
    try:
        health = get_health(workspace, AskHealth(name=terms.serves))
    except NotFound:
        todo = f"slipway deploy {terms.serves}"
        yield Requirement(
            need="availability", asked=asked, state="not yet measured", found="nothing serves yet", next=todo
        )
        return
    burn = next((one for one in health.burns if one.of == "requests"), None)
    if burn is None or not burn.total:
        yield Requirement(
            need="availability",
            asked=asked,
            state="not yet measured",
            found=health.sentence,
            next=f"monitors=[sw.Service(availability={terms.availability:g})], and: slipway deploy {terms.serves}",
        )
        return
    got = 1 - burn.bad / burn.total
    is_met = got >= terms.availability
    yield Requirement(
        need="availability",
        asked=asked,
        state="measured" if is_met else "missed",
        found=f"{got:.3%} of {burn.total:,.0f} requests of 30 days",
        at=health.looked_at,
        next="" if is_met else f"slipway endpoints health {terms.serves}",
    )


def _consumers(workspace: Workspace, terms: ScopeTerms) -> Iterator[Requirement]:
    """Whether each of those who want its answers asks for them."""
    if terms.mode == "batch":  # who reads the table is not told apart
        return
    try:
        seen = {one.name: one for one in list_callers(workspace, AskCallers(name=terms.serves)).callers}
    except NotFound:
        seen = {}
    for consumer in terms.consumers:
        name = re.sub(r"[^a-z0-9]+", "-", consumer.lower()).strip("-").removeprefix("the-")
        caller = seen.get(name)
        asked = f"asks for predictions, as {name}"
        if caller is None or caller.predict is None:
            may = caller is not None and caller.may
            yield Requirement(
                need=f"consumer {consumer}",
                asked=asked,
                state="not yet measured",
                found="it may, and has not yet" if may else "no token of that name may ask it",
                next=f"slipway client {terms.serves}" if may else f"slipway people add {name} --service",
            )
            continue
        is_lately = workspace.clock.now() - caller.predict <= SEEN_WITHIN
        yield Requirement(
            need=f"consumer {consumer}",
            asked=asked,
            state="measured" if is_lately else "missed",
            found=f"asked last on {caller.predict:%Y-%m-%d}",
            at=caller.predict,
            next="" if is_lately else f"slipway endpoints callers {terms.serves}",
        )


def _run(workspace: Workspace, version: ModelVersion | None) -> Run | None:
    if version is None or not version.run_id:
        return None
    with workspace.ledger.read() as tx:
        there = entries.etag(tx, Run, version.run_id)
        return entries.get(tx, Run, version.run_id) if there else None


def _read(workspace: Workspace, run: Run) -> list[TableVersion]:
    """The versions of tables that a run read, as far as they are known here."""
    found = []
    with workspace.ledger.read() as tx:
        for node in run.inputs:
            kind, _, id = node.partition(":")
            if kind == "table" and entries.etag(tx, TableVersion, id):
                found.append(entries.get(tx, TableVersion, id))
    return found
