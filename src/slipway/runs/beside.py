"""The bodies of the operations on many runs at once."""

import math
import re
from collections.abc import Sequence
from itertools import chain
from statistics import fmean, median

from slipway.errors import InvalidInput
from slipway.ledger import entries
from slipway.ledger.experiments import DEFAULT, DEFAULT_NAME
from slipway.ledger.facets import SEARCHED
from slipway.ledger.search import search, values_of
from slipway.ledger.search_experiments import EXPERIMENT
from slipway.ledger.search_language import as_field, parse_field, parse_order
from slipway.operations.run_tables import (
    Beside,
    Compared,
    CompareRuns,
    GroupRuns,
    ListFields,
    RunFields,
    RunGroup,
    RunGroups,
)
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Experiment, Run
from slipway.records.search import Field, In, Value
from slipway.runs.browse import own_run, place_of

__all__ = ["compare_runs", "group_runs", "list_fields", "lower_is_better"]

_MOST_RUNS, _MOST_BUCKETS, _MOST_FIELDS, _MOST_GROUPS = 100, 1000, 10_000, 1000
_MOST_GROUPED = 1_000_000
_MOST_EXPERIMENTS = 1000
_LOWER = frozenset(
    [
        "loss",
        "losses",
        "error",
        "errors",
        "err",
        "rmse",
        "mse",
        "mae",
        "mape",
        "smape",
        "rmsle",
        "brier",
        "ece",
        "nll",
        "deviance",
        "perplexity",
        "regret",
        "cost",
        "costs",
        "latency",
        "seconds",
        "duration",
        "wer",
        "cer",
        "fpr",
        "fnr",
        "surprise",
        "impurity",
    ]
)


def lower_is_better(key: str) -> bool:
    """Whether a metric's lower value is the better one, as its name says: "val_loss", "rmse[carrier=AA]", "p99 latency"."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.partition("[")[0]).lower())
    return not _LOWER.isdisjoint(words)


def list_fields(workspace: Workspace, request: ListFields) -> RunFields:
    """The names of metrics, parameters and tags of the project's runs.

    Raises:
        InvalidInput: The limit is out of range.
    """
    limit = _within("limit", request.limit, _MOST_FIELDS)
    kind, project = entries.kind_of(Run), workspace.project
    with workspace.ledger.read() as tx:
        metrics, params, tags = (
            tx.names(kind, project=project, space=space, contains=request.contains, limit=limit + 1)
            for space in ("metric", "param", "tag")
        )
        experiments = _experiments(tx, project)
    return RunFields(
        metrics=tuple(sorted(metrics[:limit], key=place_of)),
        params=tuple(params[:limit]),
        tags=tuple(tags[:limit]),
        experiments=experiments,
        is_whole=max(len(metrics), len(params), len(tags)) <= limit,
    )


def _experiments(tx: ReadTransaction, project: str) -> dict[str, str]:
    """The names of experiments by what runs call them."""
    found = entries.find(tx, Experiment, project=project, limit=_MOST_EXPERIMENTS)
    default = f"{DEFAULT}@{project}"
    return {DEFAULT: DEFAULT_NAME} | {DEFAULT if one.id == default else one.id: one.name for one in found}


def group_runs(workspace: Workspace, request: GroupRuns) -> RunGroups:
    """Runs by the values of a field, with a metric's figures.

    Raises:
        InvalidInput: The search, the field or the metric cannot be read, or the limit is out of range.
    """
    limit = _within("limit", request.limit, _MOST_GROUPS)
    group = _single(request.group, "group")
    metric = Field("metric", _metric(_single(request.metric, "metric"), request.metric)) if request.metric else None
    fields = [group] if metric is None else [group, metric]
    with workspace.ledger.read() as tx:
        rows = values_of(tx, Run, workspace, request.where, fields, _MOST_GROUPED)
        names = _experiments(tx, workspace.project) if group == EXPERIMENT else {}
    by_value: dict[Value | None, list[Value | None]] = {}
    for value, *measured in rows:
        by_value.setdefault(names.get(str(value), value) if names else value, []).extend(measured or [None])
    lower = metric is not None and lower_is_better(metric.key)
    groups = [_group(value, measured, lower) for value, measured in by_value.items()]
    has: list[RunGroup] = []
    lacks: list[RunGroup] = []
    for one in groups:
        (lacks if getattr(one, request.order) is None else has).append(one)
    has.sort(key=lambda one: _placed(one.value))
    has.sort(key=lambda one: _placed(getattr(one, request.order)), reverse=request.descending)
    return RunGroups(
        field=as_field(group),
        metric=metric.key if metric else "",
        better="lower" if lower else "higher",
        groups=tuple([*has, *lacks][:limit]),
        others=max(0, len(groups) - limit),
        runs=len(rows),
    )


def _group(value: Value | None, measured: Sequence[Value | None], lower: bool) -> RunGroup:
    numbers = [one for one in measured if isinstance(one, float) and math.isfinite(one)]
    if not numbers:
        return RunGroup(value=value, runs=len(measured))
    return RunGroup(
        value=value,
        runs=len(measured),
        measured=len(numbers),
        best=min(numbers) if lower else max(numbers),
        mean=fmean(numbers),
        median=median(numbers),
    )


def _placed(value: str | float | None) -> tuple[int, float, str]:
    """Numbers in their order, also those that are written as texts; then texts in theirs."""
    if value is None:
        return 2, 0.0, ""
    try:
        number = float(value)
    except ValueError:
        return 1, 0.0, str(value)
    return (1, 0.0, str(value)) if math.isnan(number) else (0, number, str(value))


def _single(text: str, what: str) -> Field:
    """The field that a text names, of which a run has one value."""
    searched = SEARCHED[Run]
    found = parse_field(text, searched)
    if not searched.is_ordered(found) and found != EXPERIMENT:
        raise InvalidInput(
            f"Runs cannot be grouped by {text!r}: one may have several values of it.",
            fix="Name a parameter, a tag, a metric, an attribute or the experiment.",
            field=what,
        )
    return found


def _metric(field: Field, text: str) -> str:
    if field.space != "metric":
        raise InvalidInput(
            f"In {text!r}, {field.key} is no metric.", fix="Write metrics.auc, for example.", field="metric"
        )
    return field.key


def compare_runs(workspace: Workspace, request: CompareRuns) -> Compared:
    """Runs beside each other.

    Raises:
        NotFound: One of them does not exist.
        InvalidInput: They are none or too many, or the buckets are out of range.
    """
    buckets = _within("buckets", request.buckets, _MOST_BUCKETS)
    ids = list(dict.fromkeys(id for part in request.runs.split(",") if (id := part.strip())))
    if not 1 <= len(ids) <= _MOST_RUNS:
        raise InvalidInput(f"{len(ids)} runs were named.", fix=f"Name 1 to {_MOST_RUNS}.", field="runs")
    keys = [_metric(order.field, request.curves) for order in parse_order(request.curves, SEARCHED[Run])]
    with workspace.ledger.read() as tx:
        where = In(Field("attribute", "id"), tuple(ids))
        found = {run.id: run for run in search(tx, Run, project=workspace.project, where=where).records}
    runs = [found[id] if id in found else own_run(workspace, id) for id in ids]
    own = list({run.id: run for run in runs}.values())
    with workspace.ledger.read() as tx:
        latest = tx.latest_points([run.id for run in own])
        rows = tuple(
            Beside(
                run=run,
                metrics=(measured := {point.key: point.value for point in latest[run.id]}),
                curves={key: tuple(tx.sampled(run.id, key, buckets=buckets)) for key in keys if key in measured},
            )
            for run in own
        )
    every = dict.fromkeys(chain.from_iterable(row.metrics for row in rows))
    return Compared(runs=rows, lower=tuple(key for key in every if lower_is_better(key)))


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise InvalidInput(f"{name} is {value}.", fix=f"Give 1 to {most:,}.", field=name)
    return value
