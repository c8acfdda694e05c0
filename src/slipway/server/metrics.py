"""`GET /metrics` of the control plane: how served features compare with offline, in Prometheus' text format.

What an endpoint counts itself (requests, latency, feeds) is at its own `/metrics`; this is what only the control plane
knows. Format: Prometheus' text exposition format 0.0.4.
"""

from collections.abc import Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.server import api
from slipway.server.asking import asking

__all__ = ["routes"]

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES = {
    "slipway_consistency_compared": "Served values that the newest report compared with offline.",
    "slipway_consistency_defects": "Of these, values that differ and should not, by kind.",
    "slipway_consistency_late": "Values that differ because rows were pushed after the request, or never.",
    "slipway_consistency_ahead": "Values that differ because tables lack rows that were pushed.",
    "slipway_consistency_smape": "Symmetric mean absolute percentage error of differing numbers, from 0 to 2.",
    "slipway_consistency_until_seconds": "Business time of the last request looked at, seconds since the epoch.",
}


def routes(workspace: Workspace) -> list[Route]:
    """The route of the metrics.

    Args:
        workspace: The store's, with the server's own actor.
    """

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(await run_in_threadpool(_text, asking(workspace, request)), media_type=_TYPE)

    return [Route("/metrics", metrics)]


def _text(workspace: Workspace) -> str:
    samples: dict[str, list[str]] = {name: [] for name in _GAUGES}
    for project, report in _reports(workspace):
        for name, labels, value in _samples(report):
            told = {"project": project, "endpoint": report.name, **labels}
            samples[name].append(f"{name}{{{_labelled(told)}}} {value!r}")
    lines = []
    for name, words in _GAUGES.items():
        lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge", *samples[name]]
    return "\n".join(lines) + "\n"


def _reports(workspace: Workspace) -> Iterator[tuple[str, ConsistencyReport]]:
    """The newest report of every endpoint that has one."""
    for project in _ask(workspace, "projects.list").projects:
        there = in_project(workspace, project.name)
        for report in _ask(there, "endpoints.reports").reports:
            yield project.name, report


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
