"""Replay: an endpoint is told what becomes known, in order, and its rows can be scored again offline.

The barrier: everything known at an instant is delivered before the questions of that instant.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival
from slipway.features.sets import FeatureSet
from slipway.models import bundle as bundles
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.models import ModelVersion

__all__ = ["Caller", "Delivery", "Label", "batched", "key_of", "score_offline", "table_of"]

T = TypeVar("T")
Label = tuple[datetime, dict[str, Any]]
"""When a label is sent, and the label as an endpoint takes it."""

_CHUNK_ROWS = 1000


class Caller(Protocol):
    """An endpoint as its callers see it."""

    def predict(self, rows: Sequence[Mapping[str, Any]], at: datetime | None = None) -> dict[str, Any]:
        """Predictions, one a row: `{"predictions": [{"score": ...}, ...]}`."""
        ...

    def events(self, source: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Push events of a table; returns how many were new."""
        ...

    def view_rows(self, view: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Push rows of a feature view; returns how many were stored."""
        ...

    def labels(self, labels: Sequence[Mapping[str, Any]]) -> int:
        """Send labels; returns how many were accepted."""
        ...

    def settle(self) -> object:
        """Wait until everything answered so far is in the prediction log."""
        ...


class Delivery:
    """Rows and labels on their way to an endpoint, each sent once, when it is known.

    Args:
        caller: The endpoint.
        arrivals: Rows of tables and feature views as they become known, in order.
        views: Which of their names are feature views.
        labels: When each label is sent, and the label, in order.
    """

    def __init__(
        self, caller: Caller, arrivals: Iterable[Arrival], views: Collection[str], labels: Iterable[Label]
    ) -> None:
        self._caller = caller
        self._views = views
        self._arrivals = _Stream(arrivals, lambda arrival: arrival[0])
        self._labels = _Stream(labels, lambda label: label[0])

    @property
    def events(self) -> int:
        """Rows of tables and views sent so far."""
        return self._arrivals.taken

    @property
    def labels(self) -> int:
        """Labels sent so far."""
        return self._labels.taken

    def events_up_to(self, instant: datetime) -> None:
        """Push every row known at an instant that was not pushed before."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for _, name, row in self._arrivals.due(instant):
            by_name.setdefault(name, []).append(row)
        for name, rows in by_name.items():
            send = self._caller.view_rows if name in self._views else self._caller.events
            for batch in batched(rows, _CHUNK_ROWS):
                send(name, batch)

    def labels_up_to(self, instant: datetime) -> None:
        """Send every label that is due at an instant and was not sent before."""
        for truths in batched([label for _, label in self._labels.due(instant)], _CHUNK_ROWS):
            self._caller.labels(truths)


class _Stream(Generic[T]):
    """Things in the order of their times, and how far they were taken."""

    def __init__(self, timed: Iterable[T], time_of: Callable[[T], datetime]) -> None:
        self._rest = iter(timed)
        self._next = next(self._rest, None)
        self._time_of = time_of
        self.taken = 0

    def due(self, instant: datetime) -> list[T]:
        """Everything up to an instant that was not taken before."""
        due: list[T] = []
        while self._next is not None and self._time_of(self._next) <= instant:
            due.append(self._next)
            self._next = next(self._rest, None)
        self.taken += len(due)
        return due


def score_offline(
    workspace: Workspace,
    version: ModelVersion,
    training: TrainingSet,
    features: FeatureSet,
    *,
    since: datetime,
    until: datetime,
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Keys, offline scores and labels of a period's labelled rows: features joined in one go, asked of the bundle.

    Args:
        workspace: Whose tables and bundles.
        version: Which model.
        training: What it was trained on.
        features: The feature set.
        since: Rows decided at or after this.
        until: Rows decided before this.

    Raises:
        InvalidInput: The table's key is of several columns.
    """
    rows = features.training_set(table_of(training), label=training.label, at=training.at, since=since, until=until)
    with tempfile.TemporaryDirectory(prefix="slipway-offline-") as temporary:
        folder = Path(temporary) / "bundle"
        bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
        model = bundles.load(folder, expect=version.bundle)
        inputs = [field.name for field in model.signature.inputs]
        scores = model.predict_rows([list(row) for row in rows.select(inputs).iter_rows()])
    labels = rows[training.label].cast(pl.Float64).to_numpy()
    return rows[key_of(training)].to_list(), np.asarray(scores, dtype=np.float64), labels


def key_of(training: TrainingSet) -> str:
    """The one column by which a row of the label table is found.

    Raises:
        InvalidInput: The table's key is of several columns, or it has none.
    """
    if len(training.key) != 1:
        found = f"has the key {', '.join(training.key)}" if training.key else "declares no key"
        raise InvalidInput(
            f"The table {table_of(training)!r} {found}.",
            why="A replay finds the answer of a row by one column.",
            fix="Give the table one key column, for example a number or a text made of several.",
        )
    return training.key[0]


def table_of(training: TrainingSet) -> str:
    """The label table's name, out of its lineage node `table:<project>/<name>@<version>`."""
    return training.table.partition("@")[0].rpartition("/")[2]


def batched(rows: list[T], size: int) -> Iterator[list[T]]:
    """The rows in batches of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
