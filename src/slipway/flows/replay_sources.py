"""What can be replayed: the table that a model was trained on, or what an endpoint was once asked and told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival, events_between
from slipway.features.sets import FeatureSet
from slipway.flows.replay import Label, key_of, table_of
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision
from slipway.records.features import FeatureSetSpec, TrainingSet, View, Windows
from slipway.records.predictions import LabelRow, PredictionRow, PushedRow
from slipway.records.schema import Field
from slipway.schema.types import polars_schema
from slipway.tables import versions
from slipway.tables.log_folder import dropped_before
from slipway.tables.log_rows import read_rows

__all__ = ["Source", "log_source", "table_source"]

_AT, _KNOWN = "decided at", "known at"  # with a blank, so that no request's field is called so
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PYTHON: dict[str, Any] = {"datetime": datetime, "date": date, "duration": timedelta}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is replayed.

    Args:
        questions: Rows to ask: the request's fields, the key among them, and the decision time.
        key: The column that names a row.
        at: The column of the decision time; it is not part of the request.
        arrivals: Rows of tables and feature views as they become known, in order; can be gone through once.
        views: Which of their names are feature views.
        labels: When each label is sent, and the label, in order; can be gone through once.
        told: What was found on the way, as sentences.
    """

    questions: pl.DataFrame
    key: str
    at: str
    arrivals: Iterable[Arrival] = ()
    views: frozenset[str] = frozenset()
    labels: Iterable[Label] = ()
    told: tuple[str, ...] = field(default=())


def table_source(
    workspace: Workspace,
    revision: Revision,
    training: TrainingSet,
    features: FeatureSet,
    *,
    since: datetime,
    until: datetime,
    label_delay: timedelta,
) -> Source:
    """A period of the table from which a model was trained: its rows are asked, its events and labels delivered.

    A label is sent when it became known: at the time in the column that the training set names for that, or
    `label_delay` after the decision where it names none. Rows without a label, or without that time, get no label.

    Args:
        workspace: Whose tables, in the versions that are current now.
        revision: What serves: its contract says what a request carries.
        training: What the model was trained on: names table, key, label and times.
        features: The feature set with its views.
        since: Rows decided at or after this.
        until: Rows decided before this.
        label_delay: How long a label takes. For twice that long after the end, events and labels still come.

    Raises:
        InvalidInput: The table's key is not one column, or no row was decided in the period.
    """
    key, at, label = key_of(training), training.at, training.label
    known = pl.col(training.known) if training.known else pl.col(at) + label_delay
    asked = versions.read(workspace, table_of(training)).filter(pl.col(at).is_between(since, until, closed="left"))
    questions = asked.select(
        *dict.fromkeys((*(f.name for f in revision.contract.fields), key)), pl.col(at).alias(_AT)
    ).collect()
    _refuse_empty(questions, f"The table {table_of(training)!r} has", since, until)
    truths = (
        asked.select(key, pl.col(label).cast(pl.Float64), known.alias(_KNOWN))
        .drop_nulls()
        .sort(_KNOWN, maintain_order=True)
        .collect()
    )
    return Source(
        questions=questions,
        key=key,
        at=_AT,
        arrivals=events_between(workspace, training.spec, since, until + 2 * label_delay, views=features.views),
        views=frozenset(features.views),
        labels=(
            (known_at, {"key": {key: of}, "value": value, "observed_at": known_at})
            for of, value, known_at in truths.iter_rows()
        ),
    )


def log_source(
    folder: Path, contract: Contract, spec: FeatureSetSpec, *, since: datetime, until: datetime, key: str = ""
) -> Source:
    """What an endpoint was asked and told in a period, out of its prediction log.

    Each pushed row arrives at its own time, each label when it was observed. What the features do not read is left out.

    Args:
        folder: The endpoint's log.
        contract: What a request carried.
        spec: The features of what will answer: says which column of a pushed row is its time.
        since: Rows decided at or after this.
        until: Rows decided before this.
        key: The request's field that names a row; the contract's own when empty.

    Raises:
        InvalidInput: The contract names rows by no field or by several, or nothing was asked in the period.
        Corrupt: The log is damaged.
    """
    names = [item.name for item in contract.fields]
    key = key or _only_key(contract)
    answered, _ = read_rows(folder, "predictions", PredictionRow, since=since, until=until)
    rows = sorted((row for row in answered if since <= _instant(row.at_us) < until), key=lambda row: row.at_us)
    columns = [_column(item, [_nth(row.request, i) for row in rows]) for i, item in enumerate(contract.fields)]
    questions = pl.DataFrame([*columns, pl.Series(_AT, [_instant(row.at_us) for row in rows])])
    gone = dropped_before(folder)
    is_short = gone is not None and since.date() < gone
    lacks = f"Days before {gone} were dropped from the log, which is not kept for ever." if is_short else ""
    _refuse_empty(questions, "The prediction log has", since, until, lacks)
    place = names.index(key)
    by_key = {row.key: row.request[place] for row in rows}
    key_of_id = {row.id: row.key for row in rows}
    arrivals, passed_over = _arrivals(folder, spec)
    left_out = f"{passed_over:,} pushed rows that no feature reads, or without a time, are left out."
    return Source(
        questions=questions,
        key=key,
        at=_AT,
        arrivals=arrivals,
        views=frozenset(part.name for part in spec.parts if isinstance(part, View)),
        labels=list(_labels(folder, key, by_key, key_of_id)),
        told=tuple(filter(None, (left_out if passed_over else "", lacks))),
    )


def _refuse_empty(questions: pl.DataFrame, who: str, since: datetime, until: datetime, why: str = "") -> None:
    if questions.is_empty():
        raise InvalidInput(
            f"{who} no row that was decided from {since.isoformat()} to {until.isoformat()}.",
            why=why or "There is nothing to replay.",
            fix="Choose a period of which there are rows: --since DATE --until DATE",
        )


def _only_key(contract: Contract) -> str:
    if len(contract.key) != 1:
        raise InvalidInput(
            f"The contract of that endpoint names rows by {', '.join(contract.key) or 'no field'}.",
            why="A replay finds the answer and the label of a row by one field.",
            fix='Declare one: sw.Endpoint(..., key=["order_id"])',
        )
    return contract.key[0]


def _labels(folder: Path, key: str, by_key: Mapping[str, Any], key_of_id: Mapping[str, str]) -> Iterator[Label]:
    """Labels of the rows that are asked, in the order in which they were observed; corrections come again."""
    told, _ = read_rows(folder, "labels", LabelRow)
    for row in sorted(told, key=lambda row: (row.observed_us, row.received_us)):
        named = key_of_id.get(row.prediction, "") if row.prediction else row.key
        if named in by_key:
            at = _instant(row.observed_us)
            numbered = {"revision": row.revision} if row.revision else {}
            yield at, {"key": {key: by_key[named]}, "value": row.value, "observed_at": at, **numbered}


def _arrivals(folder: Path, spec: FeatureSetSpec) -> tuple[list[Arrival], int]:
    """Pushed rows in the order of their own times, and how many are left out."""
    times: dict[tuple[str, str], set[str]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            times.setdefault(("source", part.source), set()).add(part.time)
        elif isinstance(part, View) and part.time:
            times.setdefault(("view", part.name), set()).add(part.time)
    pushed, _ = read_rows(folder, "events", PushedRow)
    arrivals = []
    for row in pushed:
        known = [_read(row.row.get(column)) for column in times.get((row.kind, row.name), ())]
        if instants := [instant for instant in known if instant is not None]:
            arrivals.append(Arrival(min(instants), row.name, row.row))
    return sorted(arrivals, key=lambda arrival: arrival.at), len(pushed) - len(arrivals)


def _read(value: Any) -> datetime | None:
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None


def _column(item: Field, values: list[Any]) -> pl.Series:
    python: Any = _PYTHON.get(item.type)
    if python is not None:  # MessagePack carries dates and durations as text
        values = msgspec.convert(values, list[python | None])
    plain = Field(item.name, "string" if item.type == "category" else item.type)
    return pl.Series(item.name, values, polars_schema((plain,))[item.name])


def _nth(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else None  # a row of an older contract


def _instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
