"""Runs looked up, listed and put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway.errors import NotFound, near
from slipway.hashing import fingerprint
from slipway.ledger import entries
from slipway.ledger.experiments import number_of
from slipway.ledger.search import search
from slipway.ports.workspace import Workspace
from slipway.records.display import table
from slipway.records.runs import Experiment, MetricPoint, Run, RunState, StepRun
from slipway.records.search import And, Between, Compare, Field, IsNull, Not

__all__ = ["LAST", "Comparison", "compare", "get_run", "history", "list_runs", "metrics", "steps"]

LAST = "last"
"""Stands for the id of the newest run of a pipeline."""

_OF_A_PIPELINE = And((Not(IsNull(Field("attribute", "pipeline"))), IsNull(Field("attribute", "deleted"))))


def list_runs(
    workspace: Workspace,
    *,
    name: str | None = None,
    experiment: str | None = None,
    pipeline: str | None = None,
    state: RunState | None = None,
    limit: int = 100,
) -> list[Run]:
    """The project's runs that match everything given, newest first, as a search gives them.

    Args:
        workspace: Where they are recorded.
        name: The run's name.
        experiment: The experiment's name.
        pipeline: The pipeline's name; "" for runs of no pipeline.
        state: The run's state.
        limit: How many at most.

    Raises:
        NotFound: There is no such experiment.
    """
    with workspace.ledger.read() as tx:
        wanted = {"name": name, "pipeline": pipeline, "state": state}
        if experiment is not None:
            named = entries.find(tx, Experiment, project=workspace.project, name=experiment, limit=1)
            if not named:
                known = [other.name for other in entries.find(tx, Experiment, project=workspace.project, limit=1000)]
                raise NotFound(
                    f"There is no experiment {experiment!r}.", fix=near(experiment, known, what="experiments")
                )
            wanted["experiment_id"] = number_of(named[0])
        given = [(Field("attribute", key), value) for key, value in wanted.items() if value is not None]
        asked = [Compare(field, "=", value) if value else IsNull(field) for field, value in given]
        where = And((*asked, IsNull(Field("attribute", "deleted"))))
        return list(search(tx, Run, project=workspace.project, where=where, limit=limit).records)


def get_run(workspace: Workspace, id: str) -> Run:
    """The run with an id, or with the one id that begins so (at least 6 digits); "last" is the newest of a pipeline.

    Raises:
        NotFound: There is none, or several begin so.
    """
    with workspace.ledger.read() as tx:
        if id == LAST:
            newest = search(tx, Run, project=workspace.project, where=_OF_A_PIPELINE, limit=1).records
            if not newest:
                raise NotFound("No pipeline was run here yet.", fix="Run one: slipway run PIPELINE")
            return newest[0]
        exact = tx.get("run", id)
        if exact is not None:
            return entries.get(tx, Run, id)
        # Ids are hex digits, of which none comes behind "g".
        begun = Between(Field("attribute", "id"), id, f"{id}g")
        found = search(tx, Run, project=workspace.project, where=begun, limit=100).records if len(id) >= 6 else ()
        if len(found) == 1:
            return entries.get(tx, Run, found[0].id)
    if found:
        raise NotFound(f"{len(found)} runs begin with {id!r}.", fix="Give more digits of the id.")
    recent = [run.id for run in list_runs(workspace, limit=5)]
    raise NotFound(f"There is no run {id!r}.", fix=near(id, recent, what="latest runs") + " See `slipway runs list`.")


def metrics(workspace: Workspace, run_id: str) -> dict[str, float]:
    """The latest value of each metric of a run, by key."""
    with workspace.ledger.read() as tx:
        return {point.key: point.value for point in tx.latest_points([run_id])[run_id]}


def history(workspace: Workspace, run_id: str, key: str, *, limit: int = 25_000) -> list[MetricPoint]:
    """The points of a run's metric in the order (step, time, value)."""
    with workspace.ledger.read() as tx:
        return tx.points(run_id, key, limit=limit)


def steps(workspace: Workspace, run_id: str) -> list[StepRun]:
    """The steps of a pipeline's run in the order of their calls."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, StepRun, parent=run_id, limit=100_000)
    return sorted(found, key=lambda step: int(step.id.rpartition(".")[2]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Args:
        runs: In the order asked for.
        params: Parameter -> one value a run, None where it has none.
        metrics: Metric -> the latest value of each run, None where it has none.
        different: The parameters and metrics in which the runs differ, parameters first.
    """

    runs: tuple[Run, ...]
    params: dict[str, tuple[Any, ...]]
    metrics: dict[str, tuple[float | None, ...]]
    different: tuple[str, ...]

    def _repr_html_(self) -> str:
        heads = ("", *(run.name or run.id[:12] for run in self.runs))
        both = [*self.params.items(), *self.metrics.items()]
        rows = [(f"{key} (differs)" if key in self.different else key, *values) for key, values in both]
        return table(f"{len(self.runs)} runs side by side", heads, rows)


def compare(workspace: Workspace, ids: Sequence[str]) -> Comparison:
    """Put runs side by side.

    Raises:
        NotFound: One of them does not exist.
    """
    runs = tuple(get_run(workspace, id) for id in ids)
    with workspace.ledger.read() as tx:
        points = tx.latest_points([run.id for run in runs])
    values = [{point.key: point.value for point in points[run.id]} for run in runs]
    param_keys = sorted({key for run in runs for key in run.params})
    metric_keys = sorted({key for one in values for key in one})
    params = {key: tuple(run.params.get(key) for run in runs) for key in param_keys}
    measured = {key: tuple(one.get(key) for one in values) for key in metric_keys}
    different = [
        key for table in (params, measured) for key, row in table.items() if len({fingerprint(v) for v in row}) > 1
    ]
    return Comparison(runs, params, measured, tuple(different))
