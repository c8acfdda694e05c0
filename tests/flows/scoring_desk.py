"""A batch endpoint on the small project: declared, deployed, and scored in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from small_desk import Desk

from slipway.errors import SlipwayError
from slipway.flows.batch_endpoint import BatchEndpoint
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of
from slipway.flows.release import declare_endpoint
from slipway.flows.score import begin, list_scorings
from slipway.gates.declare import Gate, metric
from slipway.hosts.score_run import carry_out
from slipway.loop.reconcile import reconcile
from slipway.operations.endpoints import Deploy, Deployed
from slipway.operations.rollouts import Reconcile, Reconciled
from slipway.operations.scorings import ListScorings
from slipway.pipelines import staging
from slipway.ports.runner import RunnerState
from slipway.records.predictions import PredictionRow
from slipway.records.scorings import Scoring
from slipway.tables import versions
from slipway.tables.log_rows import read_rows

NIGHTLY, INTO = "delays-nightly", "scored_flights"
ROWS, PARTS = 3360, 4


def declared(desk: Desk, **changes: Any) -> BatchEndpoint:
    module = desk.project.module()
    given: Mapping[str, Any] = {
        "pipeline": module.release,
        "features": module.features,
        "gate": Gate(metric("auc") >= 0.5),
        "key": "flight_id",
        "table": module.flights,
        "into": INTO,
        "time": "asked_at",
        "batch_rows": 1000,
        "monitors": module.delays.monitors,
        **changes,
    }
    return BatchEndpoint(NIGHTLY, **given)


def nightly(desk: Desk, version: int = 1, **changes: Any) -> Deployed:
    """Declare the batch endpoint and deploy a version to it."""
    declare_endpoint(desk.workspace, declared(desk, **changes))
    return deploy(desk.workspace, Deploy(model="small-delays", version=str(version), endpoint=NIGHTLY))


def scored(desk: Desk, **more: Any) -> Scoring:
    """A scoring from its beginning to its end, in this process."""
    begun = begin(desk.workspace, NIGHTLY, **more)
    return carry_out(desk.workspace, begun.id) if begun.state == "running" else begun


def scores(desk: Desk, version: str | None = None) -> pl.DataFrame:
    return versions.read(desk.workspace, INTO, version).collect()


def flights(desk: Desk) -> pl.DataFrame:
    return versions.read(desk.workspace, "flights").collect()


def more_flights(desk: Desk, count: int = 10, **changes: Any) -> pl.DataFrame:
    """Flights like the last ones, under new numbers."""
    last = flights(desk).tail(count)
    ids = [f"N{place}" for place in range(count)]
    return last.with_columns(pl.Series("flight_id", ids), **changes)


def logged(desk: Desk) -> list[PredictionRow]:
    rows, _ = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "predictions", PredictionRow)
    return sorted(rows, key=lambda row: (row.revision, int(row.id.rpartition("-")[2])))


class HereRunner:
    """Carries scorings out in this process, at once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def start(self, folder: Path, *, python: str = "", variables: Mapping[str, str | None] | None = None) -> None:
        with suppress(SlipwayError):  # as a process of its own would say it to nobody
            carry_out(self._desk.workspace, staging.read_task(folder).scoring)

    def state(self, folder: Path) -> RunnerState:
        return "absent"

    def wait(self, folder: Path, timeout_s: float) -> RunnerState:
        return "absent"

    def stop(self, folder: Path) -> None:
        pass


def here(desk: Desk) -> Desk:
    workspace = dataclasses.replace(desk.workspace, runner=HereRunner(desk))
    return Desk(dataclasses.replace(desk.project, workspace=workspace), desk.clock)


def look(desk: Desk, **more: Any) -> Reconciled:
    return reconcile(desk.workspace, Reconcile(**more))


def scorings(desk: Desk) -> list[Scoring]:
    """Oldest first."""
    return list(list_scorings(desk.workspace, ListScorings(name=NIGHTLY)).scorings[::-1])


def at(desk: Desk, day: int, hour: int, minute: int = 0) -> None:
    desk.clock.advance_to(datetime(2013, 4, day, hour, minute, tzinfo=UTC))
