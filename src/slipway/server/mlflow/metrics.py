"""MLflow's metrics, parameters and tags of runs, and the histories of metrics."""

import math
import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from slipway.errors import InvalidInput
from slipway.ledger.run_rules import check_key
from slipway.models import logged
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedMetric
from slipway.records.runs import MetricPoint
from slipway.runs import outside
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.runs import Which, points_shown
from slipway.server.mlflow.wire import INVALID, Int64, Pair, given_pairs, read_token, token
from slipway.server.mlflow.words import checked_limit, needed

__all__ = ["area", "histories"]

area = Area("2.0/mlflow/runs", "runs")
histories = Area("2.0/mlflow/metrics", "runs")

_METRICS, _PARAMS, _TAGS, _ALL = 1000, 100, 100, 1000
_BATCH_BYTES = 1_000_000
_PAGE = 25_000
_ALL_POINTS = 1_000_000
_BULK_RUNS = 100
_CHART_POINTS = 2500
_FLOAT = re.compile(r"nan\Z|-?(inf|\d+(\.\d+)?(e[-+]?\d+)?)\Z", re.ASCII)
_LATEST_MS = (2**63 - 1) // 1000


class Metric(Struct):
    """One point."""

    key: str = ""
    value: float | UnsetType = UNSET
    timestamp: Int64 | UnsetType = UNSET
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogMetric(Metric):
    """One point of a run."""

    run_id: str = ""
    run_uuid: str = ""


class LogPair(Which):
    """A parameter or tag of a run."""

    key: str = ""
    value: str = ""


class LogBatch(Which):
    """Points, parameters and tags of a run."""

    metrics: list[Metric] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class LogModel(Which):
    """What clients before 3 say of a model that they stored with a run."""

    model_json: str = ""


class History(Which):
    """Which points."""

    metric_key: str = ""
    page_token: str = ""
    max_results: Int64 | UnsetType = UNSET


class BulkInterval(Struct):
    """Which points of several runs, for a chart."""

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: Int64 | UnsetType = UNSET
    end_step: Int64 | UnsetType = UNSET
    max_results: Int64 = _CHART_POINTS


class Bulk(Struct):
    """Which points of several runs."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: Int64 = _PAGE


@area.changes("POST", "/log-metric", LogMetric)
def log_metric(workspace: Workspace, asked: LogMetric) -> dict[str, Any]:
    """Log one point."""
    id = needed(asked.run_id or asked.run_uuid, "run_id")
    point = _point(asked, "metric")
    with workspace.ledger.write() as tx:
        outside.log(tx, workspace, id, metrics=(point,))
        _of_models(tx, workspace, id, (asked,))
    return {}


@area.changes("POST", "/log-parameter", LogPair, conflict=INVALID)
def log_param(workspace: Workspace, asked: LogPair) -> dict[str, Any]:
    """Log one parameter."""
    with workspace.ledger.write() as tx:
        outside.log(tx, workspace, asked.id, params={needed(asked.key, "key"): asked.value})
    return {}


@area.changes("POST", "/set-tag", LogPair)
def set_tag(workspace: Workspace, asked: LogPair) -> dict[str, Any]:
    """Set one tag."""
    with workspace.ledger.write() as tx:
        outside.log(tx, workspace, asked.id, tags={needed(asked.key, "key"): asked.value})
    return {}


@area.changes("POST", "/delete-tag", LogPair)
def delete_tag(workspace: Workspace, asked: LogPair) -> dict[str, Any]:
    """Take a tag away."""
    with workspace.ledger.write() as tx:
        outside.delete_tag(tx, workspace, asked.id, needed(asked.key, "key"))
    return {}


@area.changes("POST", "/log-batch", LogBatch, conflict=INVALID, limit=_BATCH_BYTES)
def log_batch(workspace: Workspace, asked: LogBatch) -> dict[str, Any]:
    """Log points, parameters and tags, all or nothing."""
    _check_size("metrics", len(asked.metrics), _METRICS)
    _check_size("params", len(asked.params), _PARAMS)
    _check_size("tags", len(asked.tags), _TAGS)
    _check_size("metrics, params, and tags", len(asked.metrics) + len(asked.params) + len(asked.tags), _ALL)
    params = given_pairs(asked.params)
    if len(params) != len(asked.params):
        raise InvalidInput(
            "Duplicate parameter keys have been submitted.", fix="Send each parameter once.", field="params"
        )
    points = [_point(one, f"metrics[{number}]") for number, one in enumerate(asked.metrics)]
    with workspace.ledger.write() as tx:
        outside.log(tx, workspace, asked.id, metrics=points, params=params, tags=given_pairs(asked.tags))
        _of_models(tx, workspace, asked.id, asked.metrics)
    return {}


@area.changes("POST", "/log-model", LogModel)
def log_model(workspace: Workspace, asked: LogModel) -> dict[str, Any]:
    """Keep what a client before 3 says of a model that it stored with a run."""
    with workspace.ledger.write() as tx:
        outside.add_model_history(tx, workspace, asked.id, needed(asked.model_json, "model_json"))
    return {}


@histories.reads("GET", "/get-history", History)
def history(workspace: Workspace, asked: History) -> dict[str, Any]:
    """A metric's points in the order (step, time, value), page by page where a page's size is given."""
    key = needed(asked.metric_key, "metric_key")
    limit = _ALL_POINTS if asked.max_results is UNSET else min(max(asked.max_results, 0), _PAGE)
    if limit == 0:
        checked_limit(0, _PAGE)
    after = _read_place(asked.page_token) if asked.page_token else None
    with workspace.ledger.read() as tx:
        run = outside.get(tx, workspace, asked.id)
        points = tx.points(run.id, key, after=after, limit=limit + 1)
    chosen = points[:limit]
    following = _place_after(chosen[-1]) if len(chosen) < len(points) else ""
    return {"metrics": points_shown(chosen), "next_page_token": following}


@histories.reads("GET", "/get-history-bulk-interval", BulkInterval)
def bulk_interval(workspace: Workspace, asked: BulkInterval) -> dict[str, Any]:
    """Points of several runs for a chart: of too many, some at even distances, the first and the last among them."""
    limit = checked_limit(asked.max_results, _CHART_POINTS)
    low = None if asked.start_step is UNSET else asked.start_step
    high = None if asked.end_step is UNSET else asked.end_step
    key = needed(asked.metric_key, "metric_key")
    answer = []
    with workspace.ledger.read() as tx:
        for id in _known(tx, workspace, asked.run_ids):
            answer += [{**one, "run_id": id} for one in points_shown(_charted(tx, id, key, low, high, limit))]
    return {"metrics": answer}


@histories.reads("GET", "/get-history-bulk", Bulk)
def bulk(workspace: Workspace, asked: Bulk) -> dict[str, Any]:
    """Points of several runs."""
    limit = checked_limit(min(asked.max_results, _PAGE), _PAGE)
    key = needed(asked.metric_key, "metric_key")
    answer: list[dict[str, Any]] = []
    with workspace.ledger.read() as tx:
        for id in _known(tx, workspace, asked.run_id):
            answer += [{**one, "run_id": id} for one in points_shown(tx.points(id, key, limit=limit))]
    return {"metrics": answer[:limit]}


def _known(tx: ReadTransaction, workspace: Workspace, ids: Sequence[str]) -> list[str]:
    if not 1 <= len(ids) <= _BULK_RUNS:
        raise InvalidInput(f"{len(ids)} runs cannot be asked for at once.", fix=f"Name 1 to {_BULK_RUNS}.")
    return sorted(outside.get(tx, workspace, id).id for id in ids)


def _charted(
    tx: ReadTransaction, id: str, key: str, low: int | None, high: int | None, limit: int
) -> list[MetricPoint]:
    """The points between two steps; of too many, the first of each stretch, and the last."""
    before = None if low is None or low == -(2**63) else MetricPoint(key, math.inf, low - 1, 2**63 - 1)
    points = tx.points(id, key, after=before, limit=limit + 1)
    if len(points) <= limit or (high is not None and points[-1].step > high):
        return [point for point in points if high is None or point.step <= high]
    buckets = tx.sampled(id, key, buckets=max(1, limit - 1), since=low, until=high)
    chosen, last = [bucket.first for bucket in buckets], buckets[-1].last
    if (last.step, last.at_us) != (chosen[-1].step, chosen[-1].at_us):
        chosen.append(last)
    return chosen[-limit:]


def _point(given: Metric, where: str) -> MetricPoint:
    if given.value is UNSET or given.timestamp is UNSET:
        field = "value" if given.value is UNSET else "timestamp"
        raise InvalidInput(
            f"Missing value for required parameter '{where}.{field}'.",
            fix="Send what MLflow's own client sends.",
            field=field,
        )
    if not 0 <= given.timestamp <= _LATEST_MS:
        raise InvalidInput(
            f"The timestamp {given.timestamp} of {where} does not fit.",
            why="Timestamps are milliseconds since 1970.",
            fix="Multiply seconds by 1,000.",
            field="timestamp",
        )
    return MetricPoint(check_key(given.key, "metric"), given.value, given.step, given.timestamp * 1000)


def _of_models(tx: WriteTransaction, workspace: Workspace, run_id: str, given: Sequence[Metric]) -> None:
    """Keep points that were measured of logged models with these."""
    by_model: dict[str, list[LoggedMetric]] = {}
    for one in given:
        if one.model_id and one.value is not UNSET and one.timestamp is not UNSET:
            measured = LoggedMetric(
                key=one.key,
                value=one.value,
                step=one.step,
                at_us=one.timestamp * 1000,
                run_id=run_id,
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            )
            by_model.setdefault(one.model_id, []).append(measured)
    for model_id, points in by_model.items():
        logged.add_metrics(tx, workspace, model_id, points)


def _check_size(what: str, length: int, most: int) -> None:
    if length > most:
        raise InvalidInput(
            f"A batch logging request can contain at most {most} {what}. Got {length} {what}.",
            fix=f"Please split up {what} across multiple requests and try again.",
        )


def _place_after(point: MetricPoint) -> str:
    return token([point.step, point.at_us, repr(point.value)])  # as text: JSON has no infinities and no NaN


def _read_place(text: str) -> MetricPoint:
    match read_token(text, 3):
        case [int(step), int(at_us), str(value)] if _FLOAT.match(value) and max(abs(step), abs(at_us)) < 2**63:
            return MetricPoint("", float(value), step, at_us)
    raise InvalidInput("The page token was not made by this request.", fix="Leave it out.", field="page_token")
