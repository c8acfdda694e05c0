"""Check load: the endpoint process of a bundle under load, measured on this machine, and kept as evidence of its digest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from slipway.errors import InvalidInput, NotFound
from slipway.flows.floors import floor_of
from slipway.flows.judging import declared_endpoint
from slipway.flows.load_evidence import REPORT_TYPE, evidence_of
from slipway.flows.passing import Passing, passing
from slipway.flows.repeatable import run_meant
from slipway.flows.replay_rows import requests_of
from slipway.flows.scoped_rate import at_scoped_rate, scoped_rate
from slipway.flows.trained_rows import choose, trained_rows
from slipway.gates import evidence as make
from slipway.gates.floors import effective
from slipway.gates.load import judge_load
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.evaluation import evaluated_rows
from slipway.operations.load import CheckedLoad, CheckLoad
from slipway.ports.workspace import Workspace
from slipway.records.gates import CheckSpec, GateSpec
from slipway.records.load import LoadReport
from slipway.records.models import Bundle, ModelVersion
from slipway.serving.footprint import cpu_seconds, family, load_average, memory_bytes, this_machine
from slipway.serving.open_loop import Answer, at_rate, one_after_another, saturated
from slipway.tables.catalog import heads
from slipway.tables.personal import MASK

__all__ = ["check_load"]

_RATE = 200.0
_DISTINCT = 500
"""How many different requests are sent in turn."""

_CONNECTIONS = 8
_MOST_SECONDS = 600.0
_MOST_ROWS = 1000
_encode = msgspec.json.Encoder().encode


def check_load(workspace: Workspace, request: CheckLoad) -> CheckedLoad:
    """Start the endpoint process of a bundle, send it requests over HTTP at a rate, and keep the figures.

    Raises:
        NotFound: No such run or model, or no row is left that it could be asked.
        InvalidInput: The run made no registered model, or rate, rows or seconds are none.
        BackendError: The endpoint process does not start.
    """
    version = _version(workspace, request.target)
    bundle = registry.bundle_of(workspace, version)
    name = request.endpoint or version.name
    declared = declared_endpoint(workspace, name, model=version.name)
    with workspace.ledger.read() as tx:
        floor = floor_of(tx, workspace.environment)
        scoped = scoped_rate(tx, workspace.project, name)
        gate = effective(request.gate or declared.gate or GateSpec(checks=()), workspace.environment, floor)
        gate = at_scoped_rate(tx, workspace.project, name, gate)
    needs = [check for check in gate.checks if check.kind == "load"]
    asked = max([scoped, *(check.rate for check in needs)]) or _RATE
    rate = asked if request.rate is None else request.rate
    _check(request, rate)
    bodies = _bodies(workspace, version, bundle, request.rows)
    workspace.say(f"Starting the endpoint process of {version.name} {version.number}; nothing is deployed.")
    with passing(workspace, version, bundle, workers=declared.workers) as endpoint:
        report = _measured(workspace, version, bundle, endpoint, bodies, request, rate, declared.workers)
    report = _signed(workspace, report)
    with workspace.ledger.write() as tx:
        entries.put(tx, report, expect=0)
        lineage.link(tx, f"bundle:{version.bundle}", f"load:{report.id}", "measured")
        events.record(tx, workspace, "models.load", f"bundle:{version.bundle}", rate=rate, p95_ms=report.p95_ms)
    outcomes = _outcomes(workspace, needs, version, report)
    holds = not report.failed and all(outcome.result == "passed" for outcome in outcomes)
    return CheckedLoad(report=report, outcomes=outcomes, holds=holds)


def _outcomes(workspace: Workspace, needs: Sequence[CheckSpec], version: ModelVersion, report: LoadReport) -> Any:
    found = [
        evidence_of(report, report.machine.id),
        make.size(version.bundle, report.created_at, report.bundle_bytes),
    ]
    at = workspace.clock.now()
    return tuple(judge_load(check, found, at, model=version.name, number=version.number) for check in needs)


def _version(workspace: Workspace, target: str) -> ModelVersion:
    name, _, number = target.partition(":")
    if name in registry.names(workspace):
        return registry.get(workspace, name, number or registry.LATEST)
    run, bundle = run_meant(workspace, target)
    for known in registry.names(workspace):
        for version in registry.versions(workspace, known):
            if bundle and version.bundle == bundle:
                return version
    raise InvalidInput(
        f"The run {run.id} made no model that is packaged.",
        why="What is measured is the process that would serve, with the bundle's own files.",
        fix="Run the pipeline of an endpoint, which packages its model: slipway run PIPELINE",
        field="target",
    )


def _check(request: CheckLoad, rate: float) -> None:
    for value, what, most, given in (
        (rate, "rate", 1e6, "--rate 200"),
        (request.seconds, "seconds", _MOST_SECONDS, "--seconds 5"),
        (request.rows, "rows", _MOST_ROWS, "--rows 1"),
    ):
        if not (math.isfinite(value) and 0 < value <= most):
            raise InvalidInput(
                f"A load of {what} {value:g} cannot be sent.",
                why=f"It is above 0 and at most {most:,.0f}.",
                fix=f"For example {given}",
                field=what,
            )


def _bodies(workspace: Workspace, version: ModelVersion, bundle: Bundle, rows: int) -> list[bytes]:
    """Requests out of stored rows: training rows, else rows of the evaluation, else the bundle's own sample."""
    if bundle.features is not None:
        stored = trained_rows(workspace, version)
        some = choose(stored, [field.name for field in bundle.features.request], _DISTINCT * min(rows, 10))
        while 0 < some.height < rows:
            some = pl.concat([some, some])
        return requests_of(bundle.features.request, some, stored.training.at, rows)
    names = [field.name for field in bundle.signature.inputs]
    asked: list[dict[str, Any]] = []
    if bundle.evaluated and workspace.blobs.has(bundle.evaluated):
        frame = evaluated_rows(workspace.blobs.get(bundle.evaluated))
        asked = frame.select(names).head(_DISTINCT).to_dicts() if set(names) <= set(frame.columns) else []
    if not asked:
        kept = [
            file.digest for file in bundle.files if file.path == bundles.SAMPLE and workspace.blobs.has(file.digest)
        ]
        cases = [case for digest in kept for case in bundles.decode_cases(workspace.blobs.get(digest))]
        asked = [dict(zip(names, case.row, strict=True)) for case in cases if not case.column]
    if not asked:
        raise NotFound(
            f"No row is left that {version.name} {version.number} could be asked.",
            why="Its sample and the rows of its evaluation were erased.",
            fix="Train it again: slipway run PIPELINE",
        )
    return [
        _encode({"rows": [asked[(start + turn) % len(asked)] for turn in range(rows)]})
        for start in range(0, len(asked), max(1, min(rows, len(asked))))
    ]


def _measured(
    workspace: Workspace,
    version: ModelVersion,
    bundle: Bundle,
    endpoint: Passing,
    bodies: Sequence[bytes],
    request: CheckLoad,
    rate: float,
    workers: int,
) -> LoadReport:
    before = load_average()
    warm = one_after_another(endpoint.url, endpoint.path, bodies[: min(len(bodies), 50)], timeout_s=30.0)
    _check_answers(warm)
    workspace.say(f"Sending {rate:g} requests a second of {request.rows:,} rows for {request.seconds:g} s.")
    pids = family(endpoint.pid)
    used = cpu_seconds(pids)
    answers = at_rate(endpoint.url, endpoint.path, bodies, rate=rate, seconds=request.seconds)
    after = cpu_seconds(pids)
    shares, resident = memory_bytes(pids)
    throughput = saturated(
        endpoint.url,
        endpoint.path,
        bodies,
        connections=_CONNECTIONS * workers,
        seconds=max(1.0, request.seconds / 2),
    )
    failures = [answer for answer in answers if not answer.is_good]
    good = sorted(1000 * answer.took_s for answer in answers if answer.is_good)
    return LoadReport(
        id=new_id(),
        project=workspace.project,
        name=version.name,
        created_at=workspace.clock.now(),
        parent_id=version.bundle,
        number=version.number,
        machine=this_machine(),
        rate=rate,
        rows=request.rows,
        seconds=request.seconds,
        workers=workers,
        sent=len(answers),
        failed=len(failures),
        failure=_failure(workspace, failures),
        p50_ms=_rank(good, 0.50),
        p95_ms=_rank(good, 0.95),
        p99_ms=_rank(good, 0.99),
        slowest_ms=good[-1] if good else None,
        late_ms=_rank(sorted(1000 * answer.late_s for answer in answers), 0.95) or 0.0,
        throughput=throughput,
        cpu_ms=None if used is None or after is None else 1000 * (after - used) / len(answers),
        pss_bytes=shares,
        rss_bytes=resident,
        bundle_bytes=sum(file.size_bytes for file in bundle.files),
        ready_s=endpoint.ready_s,
        load_before=before,
        actor=workspace.actor,
    )


def _check_answers(warm: Sequence[Answer]) -> None:
    """Refuse to measure a model that answers nothing: its figures would be those of its errors."""
    if not any(answer.is_good for answer in warm):
        raise InvalidInput(
            f"The bundle's endpoint answered none of its own rows: {warm[0].words}",
            why="Figures of errors say nothing about the model.",
            fix="Mend what it says; a replay names the column: slipway replay MODEL",
        )


def _failure(workspace: Workspace, failures: Sequence[Answer]) -> str:
    """What the first failure said; of a value that may be somebody's, only that there was one: a report is kept."""
    if not failures:
        return ""
    is_personal = any(head.about.personal for head in heads(workspace))
    return f"{failures[0].status or 'no answer'} {MASK}" if is_personal else failures[0].words


def _rank(ordered: Sequence[float], share: float) -> float | None:
    """The least value that at least a share of all do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _signed(workspace: Workspace, report: LoadReport) -> LoadReport:
    signature = workspace.signer.sign(_encode(report), REPORT_TYPE).decode()
    return msgspec.structs.replace(report, signature=signature)
