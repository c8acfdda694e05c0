"""What versions are found by that they do not say themselves: the metrics and parameters of what they were made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import Corrupt, NotFound
from slipway.ledger import entries
from slipway.models import numbered, registered
from slipway.ports.blobs import Blobs
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.records.models import LoggedModel, MetricValue, ModelVersion
from slipway.records.runs import Run

__all__ = ["completing", "figures", "of_source", "told_anew"]


_OF_MACHINE = "system/"


class _Measured(Struct):
    """The part of a bundle's manifest that is needed here: the whole of it is read by `slipway.models.bundle`."""

    metrics: tuple[MetricValue, ...] = ()


def figures(metrics: Iterable[MetricValue]) -> dict[str, float]:
    """Metrics of an evaluation as runs call them, `auc` and `auc[carrier=AA]`: those that can be told."""
    return _finite((f"{one.metric}[{one.slice}]" if one.slice else one.metric, one.value) for one in metrics)


def of_source(tx: ReadTransaction, run_id: str, logged_model_id: str = "") -> tuple[dict[str, float], dict[str, Any]]:
    """The latest metrics and the parameters of a run, and over them those of a logged model.

    Args:
        tx: An open transaction.
        run_id: The run, "" for none.
        logged_model_id: The logged model, "" for none.
    """
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    if run_id and tx.get("run", run_id) is not None:
        params |= entries.get(tx, Run, run_id).params
        latest = tx.latest_points([run_id])[run_id]
        metrics |= _finite((point.key, point.value) for point in latest if not point.key.startswith(_OF_MACHINE))
    if logged_model_id and tx.get("logged_model", logged_model_id) is not None:
        model = entries.get(tx, LoggedModel, logged_model_id)
        params |= model.params
        points = sorted(model.metrics, key=lambda point: (point.at_us, point.step))
        metrics |= _finite((point.key, point.value) for point in points)
    return metrics, params


def told_anew(tx: WriteTransaction, node: str) -> None:
    """Let the versions that were made of a run or of a logged model be found by what it says now.

    Those with a bundle are left as they are: they answer for their own evaluation.

    Args:
        tx: The change's transaction.
        node: `run:<id>` or `logged:<id>`.
    """
    for link in tx.links(node, towards=False):
        kind, _, id = link.target.partition(":")
        version = entries.get(tx, ModelVersion, id) if kind == "model" else None
        if version is None or version.bundle:
            continue
        metrics, params = of_source(tx, version.run_id, version.logged_model_id)
        if (metrics, params) != (version.metrics, version.params):
            entries.put(tx, msgspec.structs.replace(version, metrics=metrics, params=params))


def completing(blobs: Blobs) -> Callable[[WriteTransaction, Sequence[ModelVersion]], list[ModelVersion]]:
    """What fills in versions that an earlier release registered: aliases, metrics, parameters, the record of the model.

    Args:
        blobs: Where the manifests of bundles are.
    """

    def completed(tx: WriteTransaction, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
        pointing = {project: numbered.aliases_of_all(tx, project) for project in {one.project for one in versions}}
        for project, name in dict.fromkeys((one.project, one.name) for one in versions):
            registered.keep(tx, project, name)
        return [_completed(tx, blobs, one, pointing[one.project].get(one.name, {})) for one in versions]

    return completed


def _completed(tx: ReadTransaction, blobs: Blobs, version: ModelVersion, aliases: dict[str, int]) -> ModelVersion:
    metrics, params = of_source(tx, version.run_id, version.logged_model_id)
    if version.bundle:
        # Who asks for a version whose manifest is gone or damaged is told so; the others are found all the same.
        with suppress(NotFound, Corrupt, msgspec.DecodeError):
            manifest = msgspec.json.decode(blobs.get(version.manifest), type=_Measured, strict=False)
            metrics = figures(manifest.metrics) or metrics
    mine = () if version.state else tuple(sorted(alias for alias, to in aliases.items() if to == version.number))
    return msgspec.structs.replace(version, aliases=mine, metrics=metrics, params=params)


def _finite(named: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: float(value) for name, value in named if math.isfinite(value)}
