"""Replay a period through a real endpoint: events as they become known, questions as they are asked, labels as they come.

The barrier: everything known at an instant is delivered before the questions of that instant. Business time moves from
question to question, so a month takes as long as its requests do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

__all__ = ["Caller", "Delivery", "Replayed", "replay"]


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
class Delivery:
    """Rows that are sent once their time has come.

    Args:
        frame: The rows, with a column `time` beside the columns that are sent.
        time: The column that says when a row is sent; rows without one never are.
        send: Sends a chunk of rows.
    """

    frame: pl.DataFrame
    time: str
    send: Callable[[list[dict[str, Any]]], object]


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


_CHUNK_ROWS = 1000


def replay(
    caller: Caller,
    questions: pl.DataFrame,
    *,
    key: str,
    asked_at: str,
    known: Sequence[Delivery],
    labels: Delivery,
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
        known: What is delivered before the questions of an instant.
        labels: Labels, delivered likewise.
        until: After the last question everything due by then is delivered.
        advance: Moves business time.
        progress: Called with the rows asked since the last call.
        rows_per_request: Rows that one request carries at most.
    """
    streams = [_Stream(delivery) for delivery in known]
    label_stream = _Stream(labels)
    scores: dict[str, float] = {}
    requests = 0
    for (instant,), group in _by_instant(questions, asked_at):
        advance(instant)
        for stream in (*streams, label_stream):
            stream.deliver(instant)
        for chunk in group.drop(asked_at).iter_slices(rows_per_request):
            answers = [answer["score"] for answer in caller.predict(chunk.to_dicts(), instant)["predictions"]]
            scores.update(zip(chunk[key].to_list(), answers, strict=True))
            requests += 1
            progress(chunk.height)
    advance(until)
    for stream in (*streams, label_stream):
        stream.deliver(until)
    return Replayed(
        scores=scores,
        requests=requests,
        events=sum(stream.sent for stream in streams),
        labels=label_stream.sent,
    )


def _by_instant(questions: pl.DataFrame, asked_at: str) -> Iterator[tuple[tuple[datetime], pl.DataFrame]]:
    yield from questions.sort(asked_at, maintain_order=True).group_by([asked_at], maintain_order=True)  # type: ignore[misc]


class _Stream:
    """A delivery in the order of its times, and how far it has come."""

    def __init__(self, delivery: Delivery) -> None:
        rows = delivery.frame.filter(pl.col(delivery.time).is_not_null()).sort(delivery.time, maintain_order=True)
        self._rows = rows
        self._times = rows[delivery.time].dt.epoch("us").to_numpy()
        self._send = delivery.send
        self.sent = 0

    def deliver(self, instant: datetime) -> None:
        """Send every row that is known at the instant and was not sent before."""
        micros = (instant - _EPOCH) // timedelta(microseconds=1)
        end = int(self._times.searchsorted(micros, side="right"))
        for start in range(self.sent, end, _CHUNK_ROWS):
            self._send(self._rows.slice(start, min(_CHUNK_ROWS, end - start)).to_dicts())
        self.sent = max(self.sent, end)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
