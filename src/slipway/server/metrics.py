"""`GET /metrics` of the control plane: itself, service health, and served features beside offline, for Prometheus.

What an endpoint counts itself (requests, latency, feeds) is at its own `/metrics`; this is what only the control plane
knows. Format: Prometheus' text exposition format 0.0.4.
"""

from collections.abc import Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from slipway.errors import BackendError
from slipway.hosts.figures import NAMES, Figures
from slipway.hosts.store_figures import StoreFigures
from slipway.operations import declare
from slipway.operations.permissions import allowed
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.health import Health
from slipway.server import api
from slipway.server.asking import asking

__all__ = ["RIGHT", "routes"]

RIGHT = "settings.read"
"""What whoever reads the figures of the server itself must hold in all of the store; without it they get their endpoints'."""

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES = {
    "slipway_consistency_compared": "Served values that the newest report compared with offline.",
    "slipway_consistency_defects": "Of these, values that differ and should not, by kind.",
    "slipway_consistency_late": "Values that differ because rows were pushed after the request, or never.",
    "slipway_consistency_ahead": "Values that differ because tables lack rows that were pushed.",
    "slipway_consistency_smape": "Symmetric mean absolute percentage error of differing numbers, from 0 to 2.",
    "slipway_consistency_until_seconds": "Business time of the last request looked at, seconds since the epoch.",
    "slipway_budget_left": "Share of a budget of 30 days that is left; below 0 it is overdrawn.",
    "slipway_budget_burn": "How many times as fast as allowed a budget was used in the last hour.",
    "slipway_health_trouble": "1 for each kind of trouble by which users get no results.",
    "slipway_probe_success": "Whether the last probe got the right answer: 1 or 0.",
    "slipway_probe_seconds": "How long the answer to the last probe took.",
}


def routes(workspace: Workspace, figures: Figures) -> list[Route]:
    """The route of the metrics.

    Args:
        workspace: The store's, with the server's own actor.
        figures: What this server counted of itself.
    """
    store = StoreFigures(workspace)

    def told(asked_by: Workspace) -> str:
        is_for_them = allowed(asked_by.actor, RIGHT)
        try:
            kept = _text(asked_by)
        except BackendError:  # what the process counted is wanted just then
            if not is_for_them:
                raise
            kept = ""
        return (_of_server(asked_by, figures, store) if is_for_them else "") + kept

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(await run_in_threadpool(told, asking(workspace, request)), media_type=_TYPE)

    return [Route("/metrics", metrics)]


def _of_server(workspace: Workspace, figures: Figures, store: StoreFigures) -> str:
    samples: dict[str, list[str]] = {}
    for name, sample, labels, value in (*figures.samples(), *store.samples(workspace)):
        told = f"{{{_labelled(dict(labels))}}}" if labels else ""
        samples.setdefault(name, []).append(f"{sample}{told} {value!r}")
    lines = []
    for name, named in NAMES.items():
        if name in samples:
            lines += [f"# HELP {name} {named.words}", f"# TYPE {name} {named.kind}", *samples[name]]
    return "\n".join(lines) + "\n"


def _text(workspace: Workspace) -> str:
    samples: dict[str, list[str]] = {name: [] for name in _GAUGES}
    projects = [project.name for project in _ask(workspace, "projects.list").projects]
    for project, report in _reports(workspace, projects):
        for name, labels, value in _samples(report):
            told = {"project": project, "endpoint": report.name, **labels}
            samples[name].append(f"{name}{{{_labelled(told)}}} {value!r}")
    for project, one in _health(workspace, projects):
        for name, labels, value in _of_health(one):
            told = {"project": project, "endpoint": one.endpoint, **labels}
            samples[name].append(f"{name}{{{_labelled(told)}}} {value!r}")
    lines = []
    for name, words in _GAUGES.items():
        lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge", *samples[name]]
    return "\n".join(lines) + "\n"


def _reports(workspace: Workspace, projects: list[str]) -> Iterator[tuple[str, ConsistencyReport]]:
    """The newest report of every endpoint that has one."""
    for project in projects:
        for report in _ask(in_project(workspace, project), "endpoints.reports").reports:
            yield project, report


def _health(workspace: Workspace, projects: list[str]) -> Iterator[tuple[str, Health]]:
    """The health of every endpoint that promises something."""
    for project in projects:
        for one in _ask(in_project(workspace, project), "endpoints.all_health").endpoints:
            yield project, one


def _of_health(one: Health) -> Iterator[tuple[str, dict[str, str], float]]:
    for burn in one.burns:
        if burn.left is not None:
            yield "slipway_budget_left", {"of": burn.of}, burn.left
        if burn.rate is not None:
            yield "slipway_budget_burn", {"of": burn.of}, burn.rate
    for kind in one.troubles:
        yield "slipway_health_trouble", {"kind": kind}, 1
    if one.probe is not None and one.probe.outcome != "unknown":
        yield "slipway_probe_success", {}, int(one.probe.outcome == "answered")
        if one.probe.took_ms is not None:
            yield "slipway_probe_seconds", {}, one.probe.took_ms / 1000


def _samples(report: ConsistencyReport) -> Iterator[tuple[str, dict[str, str], float]]:
    for one in report.features:
        yield from _of_feature(one)
    if report.window_until is not None:
        yield "slipway_consistency_until_seconds", {}, report.window_until.timestamp()


def _of_feature(one: FeatureConsistency) -> Iterator[tuple[str, dict[str, str], float]]:
    feature = {"feature": one.feature}
    yield "slipway_consistency_compared", feature, one.compared
    for kind, count in (("mismatch", one.mismatches), ("missing", one.missing), ("extra", one.extra)):
        yield "slipway_consistency_defects", feature | {"kind": kind}, count
    yield "slipway_consistency_late", feature, one.late
    yield "slipway_consistency_ahead", feature, one.ahead
    if one.smape is not None:
        yield "slipway_consistency_smape", feature, one.smape


def _ask(workspace: Workspace, name: str) -> Any:
    wanted = operation(name)
    return api.perform(workspace, wanted, declare.convert(wanted, {}, texts=True))


def _labelled(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
