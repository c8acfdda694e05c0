"""Two projects on one store: the small project shares all it can, and another one trains on it."""

import polars as pl
from small_desk import Desk

from slipway.data.ingest import ingest
from slipway.flows.release import Released, run_pipeline
from slipway.flows.share import publish
from slipway.hosts.project import Project
from slipway.pipelines.declare import step


@step
def halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first and the second half."""
    return rows.head(rows.height // 2), rows.tail(rows.height - rows.height // 2)


def share_all(desk: Desk) -> None:
    module = desk.project.module()
    for name in ("flights", "recent", "weather_now", "hour"):
        publish(desk.workspace, name, getattr(module, name))
    publish(desk.workspace, "halves", halves)


def released(borrower: Project) -> Released:
    module = borrower.module()
    ingest(borrower.workspace, module.loads)
    return run_pipeline(borrower.workspace, module.release, {}, endpoint=module.delays, simulation=True)
