"""A notebook's or script's process: `sw.open(...)`, `sw.run(...)` and `sw.search(...)`.

A run opens the project around the current folder unless one is open; in a folder without slipway.toml it uses a store
`.slipway` right there and the folder's name, so that two lines are enough to begin.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import UserError
from slipway.flows.baselines import ALGORITHMS
from slipway.flows.baselines import baselines as compared
from slipway.flows.log_model import log_model
from slipway.hosts.project import open_project
from slipway.hosts.remote_runs import open_remote
from slipway.hosts.settings import locate
from slipway.ledger.run_log import current_run
from slipway.pipelines import search as searching
from slipway.pipelines.searched import Search
from slipway.ports.workspace import Workspace, current_workspace
from slipway.runs import tracking
from slipway.runs.tracking import ActiveRun
from slipway.schema.metric_contract import MetricContract

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["baselines", "open", "run", "search"]

open = open_project


@contextmanager
def run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    parent: ActiveRun | str = "",
    resume: str | bool = False,
    system_metrics: bool = True,
    environment: str = "dev",
) -> Iterator[ActiveRun]:
    """Record a run: what is logged inside the `with` block, and unasked the code, environment and command.

    Args:
        name: What people call it; also the name of a model that is logged without one.
        experiment: The experiment it belongs to; made when it is new.
        params: Parameters known from the start.
        tags: Tags known from the start.
        parent: The run whose child it is, where that is not the one around it: a run, or its id.
        resume: The id of a run to go on with; True for the newest one of this name, unless it finished: then a new one
            begins.
        system_metrics: Whether to log every ten seconds what the machine does, as metrics `system/...`.
        environment: Which environment of slipway.toml, unless a project is open. Where it names a server, the run is
            sent there; while the server is away it is kept here, and nothing waits for it.

    Raises:
        InvalidInput: A name, parameter or tag does not fit.
        NotFound: There is no such run to go on with.
        Conflict: The run to go on with is still running.

    Example:
        with sw.run("baseline") as run:
            run.log_model(estimator, sample=X)
    """
    with (
        _workspace(environment) as opened,
        tracking.start(
            opened,
            name,
            experiment=experiment,
            params=params,
            tags=tags,
            parent=parent,
            resume=resume,
            system_metrics=system_metrics,
            model_logger=_log_model,
        ) as active,
    ):
        yield active


def search(
    train: Callable[..., Any],
    space: Mapping[str, object],
    metric: str | MetricContract,
    trials: int = 20,
    parallel: int = 1,
    *,
    direction: searching.Direction | None = None,
    fixed: Mapping[str, Any] | None = None,
    sampler: object = "tpe",
    pruner: object = None,
    seed: int = 0,
    name: str = "",
    environment: str = "dev",
) -> Search:
    """Try a training with many parameters and tell which were best.

    Each trial is a run whose steps are cached, below the run of the search. With one seed a search makes the same trials
    again, whatever takes how long: a search that was killed, or that gets more trials, goes on where it was. Inside a
    pipeline it belongs to the pipeline's run; anywhere else it opens the project around the current folder.

    Args:
        train: A step, a pipeline, or a plain function, which is made a step.
        space: What is tried, by the name of a parameter of `train`: `sw.uniform(...)`, `sw.integers(...)`,
            `sw.choice(...)` or a list of values.
        metric: What is compared: what `train` returns where that is a number; else this key of the mapping it returns,
            this metric of the evaluated model it returns, or the last point of this metric that it logs. A metric
            contract stands for its KPI, which `sw.evaluate(..., contract=)` measures.
        trials: How many.
        parallel: How many go on at one time.
        direction: "maximize" or "minimize"; left out, what is known of the metric: "auc" up, "log_loss" down.
        fixed: The other parameters, the same in all trials: rows, for one.
        sampler: "tpe", "random" or "grid", or a sampler of Optuna's.
        pruner: "median", or a pruner of Optuna's, ends trials that do badly by the points of the metric that they log;
            None for never.
        seed: Of the sampler.
        name: What the search is called.
        environment: Which environment of slipway.toml, unless a project is open.

    Returns:
        All trials, the best one, and what that returned.

    Raises:
        InvalidDeclaration: The space, the parameters or the numbers do not fit.
        MissingExtra: Optuna is not installed.
        StepFailed: No trial came to an end.

    Example:
        space = {"learning_rate": sw.uniform(0.01, 0.3, log=True), "depth": sw.integers(3, 12)}
        best = sw.search(train, space, metric="auc", trials=40, parallel=4, fixed={"rows": rows})
    """
    with _workspace(environment) as opened:
        return searching.search(
            opened, train, space, metric, trials, parallel, direction, fixed, sampler, pruner, seed, name
        )


def baselines(
    rows: pl.DataFrame | pd.DataFrame,
    label: str,
    *,
    features: Sequence[str] | None = None,
    test: pl.DataFrame | pd.DataFrame | None = None,
    time: str = "",
    metric: str = "",
    algorithms: Sequence[str] = ALGORITHMS,
    parallel: int = 1,
    seed: int = 0,
    environment: str = "dev",
) -> Search:
    """Train and judge the usual kinds of model on one table: what any further work has to beat.

    A constant, a linear model, a forest of trees, boosted trees and a neural network (scikit-learn's), all from the same
    prepared columns: numbers scaled, gaps filled by the median, texts as indicators. Each is a trial of a search, so a
    cached run below the search's; the result is the best as an evaluated model.

    Args:
        rows: The rows to learn from.
        label: The column to be predicted; truth values, or 0 and 1, are classified, other numbers are regressed.
        features: The columns to predict from; left out, all others that are numbers, truth values or texts.
        test: The rows to judge by; left out, a fifth of `rows` is kept back.
        time: A column: the last fifth by it is kept back, not a fifth by chance.
        metric: What is compared: the area under the curve, or the mean absolute error, when left out.
        algorithms: Which kinds: "constant", "linear", "trees", "boosting", "neural".
        parallel: How many are trained at one time.
        seed: Of whatever is left to chance.
        environment: Which environment of slipway.toml, unless a project is open.

    Raises:
        InvalidInput: A column is missing, or the rows do not fit.
        MissingExtra: scikit-learn or Optuna is not installed.

    Example:
        found = sw.baselines(rows, label="late", time="scheduled_departure")
        found.best.params, found.result.evaluation
    """
    with _workspace(environment) as opened:
        return compared(opened, rows, label, features, test, time, metric, algorithms, parallel, seed)


@contextmanager
def _workspace(environment: str) -> Iterator[Workspace]:
    current, log = current_workspace.get(), current_run.get()
    if current is None and log is not None:  # a step's own process, which has no store: that is said where it is asked
        current = log.workspace
    if current is not None:
        yield current
        return
    home, settings = locate(Path.cwd(), implicit=True)
    if settings.environment(environment).server:
        with open_remote(home, settings, environment, say=_say) as remote:
            yield remote
        return
    with open_project(Path.cwd(), environment=environment, say=_say, implicit=True) as project:
        yield project.workspace


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _log_model(active: ActiveRun, estimator: Any, *, sample: Any, name: str | None = None, **options: Any) -> Any:
    current = current_workspace.get()
    assert current is not None  # the run keeps it open
    if current.run_server is not None:
        raise UserError(
            "A model cannot be logged from here.",
            why=f"It is packaged, proven and registered in the store, which is kept by the server {current.run_server.url}.",
            fix="Log the model where the store is; store what was fitted here with run.log_artifact(name, estimator).",
        )
    wanted = name or re.sub(r"[^a-z0-9_.-]+", "-", (active.record.name or "model").lower()).strip("-._")
    active.flush()  # what the version is found by is read from the ledger
    version = log_model(current, active.record, estimator, sample=sample, name=wanted, **options)
    active.flush()
    return version
