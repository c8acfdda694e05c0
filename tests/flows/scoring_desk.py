"""A batch endpoint on the small project: declared, deployed, and scored in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from small_desk import Desk

from slipway.flows.batch_endpoint import BatchEndpoint
from slipway.flows.deploy import deploy
from slipway.flows.release import declare_endpoint
from slipway.flows.score import begin
from slipway.gates.declare import Gate, metric
from slipway.hosts.score_run import carry_out
from slipway.operations.endpoints import Deploy, Deployed
from slipway.records.scorings import Scoring
from slipway.tables import versions

NIGHTLY, INTO = "delays-nightly", "scored_flights"


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
