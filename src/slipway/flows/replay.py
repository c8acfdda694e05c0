"""Replay a period through a real endpoint: events as they become known, questions as they are asked, labels as they come.

The barrier: everything known at an instant is delivered before the questions of that instant. Business time moves from
question to question, so a month takes as long as its requests do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival, events_between
from slipway.features.sets import FeatureSet
from slipway.models import bundle as bundles
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.features import TrainingSet
from slipway.records.models import ModelVersion
from slipway.tables import versions

__all__ = ["Caller", "Replayed", "replay", "replay_table", "score_offline"]

T = TypeVar("T")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did.

    Args:
        scores: The served score by key.
        requests: Predict requests sent.
        events: Rows of events and views delivered.
        labels: Labels delivered.
    """

    scores: dict[str, float]
    requests: int
    events: int
    labels: int


def replay(
    caller: Caller,
    questions: pl.DataFrame,
    *,
    key: str,
    asked_at: str,
    arrivals: Iterable[Arrival],
    views: Collection[str],
    labels: Iterable[tuple[datetime, dict[str, Any]]],
    until: datetime,
    advance: Callable[[datetime], None],
    progress: Callable[[int], None] = lambda done: None,
    rows_per_request: int = 100,
) -> Replayed:
    """Replay questions in the order of their decision times.

    Args:
        caller: The endpoint.
        questions: Rows to ask, with the key and the decision time; all other columns go into the request.
        key: The column that names a row.
        asked_at: The column of the decision time.
        arrivals: Rows of tables and feature views as they become known, in order.
        views: Which of their names are feature views.
        labels: When each label is sent, and the label, in order.
        until: After the last question everything due by then is delivered.
        advance: Moves business time.
        progress: Called with the rows asked since the last call.
        rows_per_request: Rows that one request carries at most.
    """
    events = _Stream((arrival.at, (arrival.name, arrival.row)) for arrival in arrivals)
    truths = _Stream(labels)
    scores: dict[str, float] = {}
    requests = 0
    ordered = questions.sort(asked_at, maintain_order=True)
    for group in [*ordered.partition_by(asked_at, maintain_order=True), None]:
        instant = until if group is None else group[asked_at][0]
        advance(instant)
        _push(caller, events.due(instant), views)
        for batch in batched(truths.due(instant), _CHUNK_ROWS):
            caller.labels(batch)
        for chunk in [] if group is None else group.drop(asked_at).iter_slices(rows_per_request):
            answers = caller.predict(chunk.to_dicts(), instant)["predictions"]
            scores.update(zip(chunk[key].to_list(), (answer["score"] for answer in answers), strict=True))
            requests += 1
            progress(chunk.height)
    return Replayed(scores=scores, requests=requests, events=events.sent, labels=truths.sent)


def replay_table(
    workspace: Workspace,
    caller: Caller,
    revision: Revision,
    training: TrainingSet,
    features: FeatureSet,
    *,
    since: datetime,
    until: datetime,
    known: str,
    label_delay: timedelta,
    advance: Callable[[datetime], None],
    progress: Callable[[int], None] = lambda done: None,
) -> Replayed:
    """Replay a period of the table from which a model was trained: its rows are asked, its events and labels delivered.

    Args:
        workspace: Whose tables.
        caller: The endpoint.
        revision: What serves there.
        training: What its model was trained on: names table, key, label and decision time.
        features: The feature set with its views.
        since: Rows decided at or after this.
        until: Rows decided before this.
        known: The table's column that says when a row's label became known.
        label_delay: How long after that the label is sent.
        advance: Moves business time.
        progress: Called with the rows asked since the last call.

    Raises:
        InvalidInput: The table's key is of several columns.
    """
    key = _only_key(training)
    at, label, done = training.at, training.label, until + 2 * label_delay
    rows = versions.read(workspace, _name(training.table), training.table.partition("@")[2])
    asked = rows.filter(pl.col(at).is_between(since, until, closed="left"))
    questions = asked.select(*(field.name for field in revision.contract.fields), at).collect()
    truths = asked.filter(pl.col(label).is_not_null() & pl.col(known).is_not_null()).select(key, label, known)
    labels = (
        (row[known] + label_delay, {"key": {key: row[key]}, "value": float(row[label]), "observed_at": row[known]})
        for row in truths.sort(known, maintain_order=True).collect().iter_rows(named=True)
    )
    return replay(
        caller,
        questions,
        key=key,
        asked_at=at,
        arrivals=events_between(workspace, training.spec, since, done, views=features.views),
        views=set(features.views),
        labels=labels,
        until=done,
        advance=advance,
        progress=progress,
    )


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
    rows = features.training_set(_name(training.table), label=training.label, at=training.at, since=since, until=until)
    with tempfile.TemporaryDirectory(prefix="slipway-offline-") as temporary:
        folder = Path(temporary) / "bundle"
        bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
        model = bundles.load(folder, expect=version.bundle)
        inputs = [field.name for field in model.signature.inputs]
        scores = model.predict_rows([list(row) for row in rows.select(inputs).iter_rows()])
    key = _only_key(training)
    labels = rows[training.label].cast(pl.Float64).to_numpy()
    return rows[key].to_list(), np.asarray(scores, dtype=np.float64), labels


def _only_key(training: TrainingSet) -> str:
    if len(training.key) != 1:
        raise InvalidInput(
            f"The table {_name(training.table)!r} has the key {', '.join(training.key)}.",
            why="A replay finds the answer of a row by one column.",
            fix="Give the table one key column, for example a number or a text made of these.",
        )
    return training.key[0]


def _name(node: str) -> str:
    """The table's name in a lineage node `table:<project>/<name>@<version>`."""
    return node.partition("@")[0].rpartition("/")[2]


def _push(caller: Caller, due: list[tuple[str, dict[str, Any]]], views: Collection[str]) -> None:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for name, row in due:
        by_name.setdefault(name, []).append(row)
    for name, rows in by_name.items():
        send = caller.view_rows if name in views else caller.events
        for batch in batched(rows, _CHUNK_ROWS):
            send(name, batch)


def batched(rows: list[T], size: int) -> Iterator[list[T]]:
    """The rows in batches of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class _Stream(Generic[T]):
    """Things in the order of their times, and how far they were taken."""

    def __init__(self, timed: Iterable[tuple[datetime, T]]) -> None:
        self._rest = iter(timed)
        self._next = next(self._rest, None)
        self.sent = 0

    def due(self, instant: datetime) -> list[T]:
        """Everything up to an instant that was not taken before."""
        taken = []
        while self._next is not None and self._next[0] <= instant:
            taken.append(self._next[1])
            self._next = next(self._rest, None)
        self.sent += len(taken)
        return taken
