"""A project with an empty store of its own, thrown away afterwards, and its pipelines from end to end over a sample."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.data.write import write
from slipway.errors import NotFound, near
from slipway.flows.endpoint import Endpoint, fed_by
from slipway.flows.release import run_pipeline
from slipway.hosts.project import Project, open_project
from slipway.pipelines.declare import Pipeline
from slipway.ports.clock import Clock
from slipway.records.runs import Run

__all__ = ["Ran", "opened", "run"]


@contextmanager
def opened(folder: Path | str = ".", *, clock: Clock | None = None) -> Iterator[Project]:
    """Open the project around a folder with an empty temporary store, and make it current.

    What runs meanwhile keeps what it makes there; it is gone afterwards.

    Args:
        folder: Where to begin looking for slipway.toml, upwards.
        clock: Business time, the machine's when left out.

    Raises:
        NotFound: There is no slipway.toml.
    """
    with (
        tempfile.TemporaryDirectory(prefix="slipway-test-") as root,
        open_project(folder, clock=clock, root=Path(root) / "store") as project,
    ):
        yield project


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a pipeline.

    Args:
        run: As it is recorded, finished.
        result: What the pipeline gave: the model, evaluated; or whatever it returns.
        bundle: The digest of the bundle into which a model was packaged, proven to answer as the trained one; "" for none.
    """

    run: Run
    result: Any
    bundle: str


def run(project: Project, pipeline: str, *, sample: Mapping[str, pl.DataFrame] | None = None, **params: object) -> Ran:
    """Run a pipeline from end to end, as `slipway run` does: tables are ingested, steps run, a model is packaged and proven.

    Args:
        project: An open one; see `opened`.
        pipeline: The pipeline's name.
        sample: Rows for tables, by name, instead of their sources: a small piece of data that lies beside the tests. Checks
            are held to as ever.
        params: The pipeline's parameters.

    Raises:
        NotFound: The project declares no such pipeline or table.
        StepFailed: A step raised.
        InvalidInput: Rows break a check that refuses them, or the model cannot be packaged with equal answers.
    """
    pipelines, tables = project.declared(Pipeline), project.declared(Table)
    given = dict(sample or {})
    for name, known, what in [(pipeline, pipelines, "pipelines"), *((name, tables, "tables") for name in given)]:
        if name not in known:
            raise NotFound(f"The project declares no {what[:-1]} {name!r}.", fix=near(name, list(known), what=what))
    for name, table in tables.items():
        if name in given:
            write(project.workspace, table, given[name], source="a test's sample")
        else:
            ingest(project.workspace, table, folder=project.folder)
    chosen = pipelines[pipeline]
    feeds = fed_by(project.declared(Endpoint).values(), chosen)
    done = run_pipeline(project.workspace, chosen, params, endpoint=feeds, snapshot=project.snapshot())
    return Ran(run=done.run, result=done.value, bundle=done.version.bundle if done.version is not None else "")
