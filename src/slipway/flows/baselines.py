"""Baselines: the usual kinds of model on one table, side by side, as what any further work has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from slipway import plugins
from slipway.errors import InvalidInput, near
from slipway.ledger.step_scope import run_step
from slipway.models.evaluation import evaluate
from slipway.models.frames import column_names
from slipway.models.inputs import label_values
from slipway.models.model import Model
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.search import search
from slipway.pipelines.searched import Search
from slipway.ports.model_format import Task
from slipway.ports.workspace import Workspace
from slipway.schema.types import frame_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ALGORITHMS", "baselines"]

ALGORITHMS = ("constant", "linear", "trees", "boosting", "neural")
_TEST_SHARE = 0.2
_MANY = 50
_LEAST_ROWS = 50


def baselines(
    workspace: Workspace,
    rows: pl.DataFrame | pd.DataFrame,
    label: str,
    features: Sequence[str] | None = None,
    test: pl.DataFrame | pd.DataFrame | None = None,
    time: str = "",
    metric: str = "",
    algorithms: Sequence[str] = ALGORITHMS,
    parallel: int = 1,
    seed: int = 0,
) -> Search:
    """Train and judge the usual kinds of model; `slipway.baselines` says what each argument is.

    Raises:
        InvalidInput: A column is missing, or the rows do not fit.
        MissingExtra: scikit-learn or Optuna is not installed.
    """
    frame = frame_of(rows, "The rows")
    column_names(frame, [label, *([time] if time else []), *(features or ())])
    unknown = [one for one in algorithms if one not in ALGORITHMS]
    if unknown:
        raise InvalidInput(
            f"There is no baseline {unknown[0]!r}.",
            fix=near(unknown[0], ALGORITHMS, what="baselines"),
            field="algorithms",
        )
    fit_one = plugins.load("baseline", "sklearn")
    task = _task(frame, label)
    fit, held_out = _parts(frame, frame_of(test, "The rows to judge by") if test is not None else None, time, seed)
    chosen, dropped = _features(fit, features, without=(label, time))
    for name, why in dropped.items():
        workspace.say(f"The column {name!r} is left out: {why}.")

    def trained(algorithm: str) -> Model:
        model = run_step(
            f"baseline_{algorithm}",
            lambda: _fitted(fit_one, fit, tuple(chosen), label, task, algorithm, seed),
            inputs={"rows": fit, "features": tuple(chosen), "label": label, "task": task, "seed": seed},
        )
        return evaluate(model, held_out, label=label)

    return search(
        workspace,
        Pipeline(trained),  # its own calls are the steps
        {"algorithm": list(algorithms)},
        metric=metric or ("auc" if task == "classification" else "mae"),
        trials=len(algorithms),
        parallel=parallel,
        sampler="grid",
        seed=seed,
        name=f"baselines of {label}",
    )


def _task(frame: pl.DataFrame, label: str) -> Task:
    if frame.height < _LEAST_ROWS:
        raise InvalidInput(
            f"There are {frame.height} rows.", fix=f"Give at least {_LEAST_ROWS}: less judges nothing.", field="rows"
        )
    values = label_values(frame, label)
    kinds = set(values.tolist())
    if len(kinds) < 2:
        raise InvalidInput(
            f"The label {label!r} is {values[0]:g} in all rows.", fix="Nothing is to be predicted there."
        )
    return "classification" if kinds == {0.0, 1.0} else "regression"


def _parts(frame: pl.DataFrame, test: pl.DataFrame | None, time: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is learned from, and what is kept back."""
    if test is not None:
        return frame, test
    kept_back = max(1, int(frame.height * _TEST_SHARE))
    ordered = frame.sort(time, maintain_order=True) if time else frame.sample(fraction=1.0, shuffle=True, seed=seed)
    return ordered.head(frame.height - kept_back), ordered.tail(kept_back)


def _features(
    frame: pl.DataFrame, features: Sequence[str] | None, *, without: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The columns to predict from, and what was left out unasked and why."""
    wanted = features or [name for name in frame.columns if name not in without]
    chosen, dropped = [], dict[str, str]()
    for name in wanted:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind in (pl.Boolean, pl.String) or isinstance(kind, pl.Categorical | pl.Enum)):
            dropped[name] = f"a column of type {kind} is no input of a baseline"
        elif kind == pl.String and frame[name].n_unique() > max(_MANY, frame.height // 2):
            dropped[name] = "nearly every row has a text of its own"
        else:
            chosen.append(name)
    if features and dropped:
        name = next(iter(dropped))
        raise InvalidInput(
            f"The feature {name!r} cannot be used: {dropped[name]}.",
            fix="Make a number or a short text of it, or leave it out.",
            field="features",
        )
    if not chosen:
        raise InvalidInput("No column is left to predict from.", fix="Name some: features=[...].", field="features")
    return chosen, dropped


def _fitted(
    fit_one: Callable[..., tuple[Any, Any]],
    rows: pl.DataFrame,
    features: tuple[str, ...],
    label: str,
    task: Task,
    algorithm: str,
    seed: int,
) -> Model:
    """One baseline, fitted on the features as numbers and texts."""
    words = [name for name in features if not rows.schema[name].is_numeric() and rows.schema[name] != pl.Boolean]
    numbers = [name for name in features if name not in words]
    plain = rows.select(
        *(pl.col(name).cast(pl.Float64) for name in numbers), *(pl.col(name).cast(pl.String) for name in words)
    )
    truth = label_values(rows, label)
    estimator, sample = fit_one(algorithm, plain, numbers, words, truth, task=task, seed=seed)
    return Model(estimator, sample=sample, task=task)
