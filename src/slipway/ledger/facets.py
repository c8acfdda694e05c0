"""What each kind of record is found by: its attributes, and beside them parameters, tags and data sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from slipway.records.models import LoggedMetric, LoggedModel, ModelVersion, RegisteredModel
from slipway.records.record import Record
from slipway.records.runs import CONTEXT, Experiment, Run
from slipway.records.search import Facet, Field, Space, number_of
from slipway.records.tables import TableVersion

__all__ = ["EDITION", "SEARCHED", "Attribute", "Searched", "dataset_figure", "facets", "milliseconds"]

EDITION = 3
"""Counts the changes of this file: records that were indexed by another edition are indexed anew."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_Sort = Literal["text", "number", "time"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property that every record of a kind may have.

    Args:
        sort: "text"; "number"; "time", which is found as milliseconds since the epoch, as MLflow counts.
        of: Takes it from a record; None and "" where the record has none. A tuple has several values.
        others: Its other names.
        is_ordered: Whether records can be ordered by it: not where one may have several values.
    """

    sort: _Sort
    of: Callable[[Any], object]
    others: tuple[str, ...] = ()
    is_ordered: bool = True


@dataclass(frozen=True, slots=True)
class Searched:
    """What a kind of record is found by.

    Args:
        noun: What one is called, in sentences.
        spaces: The spaces that it has.
        attributes: Its attributes by name.
        more: Yields its facets beside the attributes.
    """

    noun: str
    spaces: tuple[Space, ...]
    attributes: Mapping[str, Attribute]
    more: Callable[[Any], Iterator[Facet]]

    def attribute(self, name: str) -> str | None:
        """The attribute that a name stands for, in any case and with spaces or underscores; None for none."""
        wanted = name.lower().replace(" ", "_")
        for known, attribute in self.attributes.items():
            if wanted == known or wanted in attribute.others:
                return known
        return None

    def space(self, named: Space) -> Space | None:
        """The space that a word means for this kind: its metrics may be points, or figures that it says itself."""
        meant: Space = "figure" if named == "metric" and "figure" in self.spaces else named
        return meant if meant in self.spaces else None

    def sort(self, field: Field) -> _Sort | Literal["metric", "any"]:
        """What a field's values are."""
        if field.space == "attribute":
            return self.attributes[field.key].sort
        if field.space == "figure":
            return "number"
        return "metric" if field.space == "metric" else "any"

    def is_ordered(self, field: Field) -> bool:
        """Whether records can be ordered by a field: not where one may have several values of it."""
        if field.space == "attribute":
            return self.attributes[field.key].is_ordered
        return field.space != "dataset"


def facets(record: Record) -> tuple[Facet, ...]:
    """What a record is found by; () for a kind that is not searched."""
    searched = SEARCHED.get(type(record))
    if searched is None:
        return ()
    found: list[Facet] = []
    for name, attribute in searched.attributes.items():
        value = attribute.of(record)
        if value is None or value == "":
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if (facet := _attribute(name, one)) is not None:
                found.append(facet)
    return tuple(dict.fromkeys((*found, *searched.more(record))))


def milliseconds(instant: datetime) -> float:
    """An aware instant as milliseconds since the epoch."""
    return (instant - _EPOCH) / _MILLISECOND


def dataset_figure(key: str, name: str, digest: str = "") -> str:
    """What a metric is called where it was measured on one data set."""
    return f"{key}[{name}@{digest}]" if digest else f"{key}[{name}]"


def _attribute(name: str, value: object) -> Facet | None:
    if type(value) is str:
        return Facet("attribute", name, value, number_of(value)) if value else None
    if isinstance(value, datetime):
        return Facet("attribute", name, number=milliseconds(value))
    if isinstance(value, int | float):
        return Facet("attribute", name, number=float(value))
    return Facet("attribute", name, str(value), number_of(str(value))) if value else None


def _worded(space: Space, values: Mapping[str, object]) -> Iterator[Facet]:
    for key, value in values.items():
        text = str(value)
        yield Facet(space, key, text, number_of(text))


def _of_run(run: Run) -> Iterator[Facet]:
    yield from _worded("param", run.params)
    yield from _worded("tag", run.tags)
    for node in run.inputs:
        kind, _, rest = node.partition(":")
        name, at, version = rest.rpartition("@")
        yield Facet("dataset", "kind", kind)
        yield Facet("dataset", "name", (name if at else rest).rpartition("/")[2])
        if at:
            yield Facet("dataset", "digest", version)
    for one in run.datasets:
        yield Facet("dataset", "name", one.name)
        yield Facet("dataset", "digest", one.digest)
        if context := one.tags.get(CONTEXT):
            yield Facet("dataset", "context", context)


def _of_table(version: TableVersion) -> Iterator[Facet]:
    yield from _worded("tag", dict.fromkeys(version.about.tags, ""))


def _of_model_version(version: ModelVersion) -> Iterator[Facet]:
    yield from _worded("param", version.params)
    yield from _worded("tag", version.tags)
    for key, value in version.metrics.items():
        yield Facet("figure", key, number=value)


def _of_logged_model(model: LoggedModel) -> Iterator[Facet]:
    yield from _worded("param", model.params)
    yield from _worded("tag", model.tags)
    latest: set[str] = set()
    for point in sorted(model.metrics, key=lambda point: (point.at_us, point.step), reverse=True):
        for key in _names(point):
            number = None if math.isnan(point.value) else point.value
            if key not in latest:
                latest.add(key)
                if number is not None:
                    yield Facet("figure", key, number=number)
            if number is not None:
                yield Facet("measured", key, number=number)


def _names(point: LoggedMetric) -> Iterator[str]:
    """What a point is found by: the metric, and the metric on its data set."""
    yield point.key
    if point.dataset_name:
        yield dataset_figure(point.key, point.dataset_name)
        if point.dataset_digest:
            yield dataset_figure(point.key, point.dataset_name, point.dataset_digest)


def _tags(record: Experiment | RegisteredModel) -> Iterator[Facet]:
    yield from _worded("tag", record.tags)


_RECORD = {
    "id": Attribute("text", lambda record: record.id),
    "name": Attribute("text", lambda record: record.name),
    "created": Attribute(
        "time",
        lambda record: record.created_at,
        ("created_at", "creation_time", "creation_timestamp", "creation_timestamp_ms"),
    ),
}
_ACTOR = Attribute("text", lambda record: record.actor.name, ("user", "user_id", "by"))
_UPDATED = Attribute(
    "time",
    lambda record: record.updated_at or record.created_at,
    ("updated_at", "last_update_time", "last_updated_timestamp", "last_updated_timestamp_ms"),
)

SEARCHED: Mapping[type[Record], Searched] = {
    Run: Searched(
        "run",
        ("attribute", "param", "tag", "metric", "dataset"),
        {
            "id": Attribute("text", lambda run: run.id, ("run_id", "run_uuid")),
            "name": Attribute("text", lambda run: run.name, ("run_name",)),
            "state": Attribute("text", lambda run: run.state, ("status",)),
            "experiment_id": Attribute("text", lambda run: run.experiment_id),
            # Its name is the experiment's, who may be renamed: a search looks the experiments up first.
            "experiment": Attribute("text", lambda run: None, ("experiment_name",), is_ordered=False),
            "created": _RECORD["created"],
            "started": Attribute("time", lambda run: run.started_at, ("started_at", "start_time")),
            "ended": Attribute("time", lambda run: run.ended_at, ("ended_at", "end_time")),
            "deleted": Attribute("time", lambda run: run.deleted_at, ("deleted_at",)),
            "seconds": Attribute(
                "number",
                lambda run: None if run.ended_at is None else (run.ended_at - run.started_at).total_seconds(),
                ("duration",),
            ),
            "actor": _ACTOR,
            "pipeline": Attribute("text", lambda run: run.pipeline),
            "parent": Attribute("text", lambda run: run.parent_id, ("parent_id", "parent_run_id")),
            "commit": Attribute("text", lambda run: run.code.commit),
            "entry": Attribute("text", lambda run: run.code.entry),
            "error": Attribute("text", lambda run: run.error and run.error.type),
        },
        _of_run,
    ),
    Experiment: Searched(
        "experiment",
        ("attribute", "tag"),
        _RECORD
        | {
            "id": Attribute("text", lambda experiment: experiment.id, ("experiment_id",)),
            "state": Attribute("text", lambda experiment: experiment.state, ("lifecycle_stage",)),
            "updated": _UPDATED,
        },
        _tags,
    ),
    ModelVersion: Searched(
        "model version",
        ("attribute", "param", "tag", "figure"),
        _RECORD
        | {
            "number": Attribute("number", lambda version: version.number, ("version", "version_number")),
            "run_id": Attribute("text", lambda version: version.run_id, ("run",)),
            "actor": _ACTOR,
            "description": Attribute("text", lambda version: version.description),
            "bundle": Attribute("text", lambda version: version.bundle),
            "source": Attribute("text", lambda version: version.shown_source, ("source_path",)),
            "stage": Attribute("text", lambda version: version.stage, ("current_stage",)),
            "alias": Attribute("text", lambda version: version.aliases, ("aliases",), is_ordered=False),
            "logged_model": Attribute("text", lambda version: version.logged_model_id, ("model_id",)),
            "updated": _UPDATED,
            "deleted": Attribute("text", lambda version: version.state),
        },
        _of_model_version,
    ),
    RegisteredModel: Searched(
        "registered model",
        ("attribute", "tag"),
        _RECORD
        | {
            "updated": Attribute("time", _UPDATED.of, (*_UPDATED.others, "timestamp")),
            "actor": _ACTOR,
            "description": Attribute("text", lambda model: model.description),
            "deleted": Attribute("text", lambda model: model.state),
        },
        _tags,
    ),
    LoggedModel: Searched(
        "logged model",
        ("attribute", "param", "tag", "figure"),
        _RECORD
        | {
            "id": Attribute("text", lambda model: model.id, ("model_id",)),
            "state": Attribute("text", lambda model: model.state, ("status",)),
            "experiment_id": Attribute("text", lambda model: model.experiment_id),
            "run_id": Attribute("text", lambda model: model.run_id, ("run", "source_run_id")),
            "model_type": Attribute("text", lambda model: model.model_type),
            "updated": _UPDATED,
            "actor": _ACTOR,
            "deleted": Attribute("time", lambda model: model.deleted_at, ("deleted_at",)),
        },
        _of_logged_model,
    ),
    TableVersion: Searched(
        "table version",
        ("attribute", "tag"),
        _RECORD
        | {
            "number": Attribute("number", lambda version: version.number),
            "version": Attribute("text", lambda version: version.version, ("digest",)),
            "change": Attribute("text", lambda version: version.change),
            "rows": Attribute("number", lambda version: version.rows),
            "added_rows": Attribute("number", lambda version: version.added_rows),
            "changed_rows": Attribute("number", lambda version: version.changed_rows),
            "removed_rows": Attribute("number", lambda version: version.removed_rows),
            "quarantined_rows": Attribute("number", lambda version: version.quarantined_rows),
            "failed_checks": Attribute("number", lambda version: sum(not check.passed for check in version.checks)),
            "source": Attribute("text", lambda version: version.source),
            "run_id": Attribute("text", lambda version: version.run_id, ("run",)),
            "data_until": Attribute("time", lambda version: version.data_until),
            "column": Attribute(
                "text", lambda version: tuple(field.name for field in version.fields), ("columns",), is_ordered=False
            ),
            "personal": Attribute("text", lambda version: version.about.personal, is_ordered=False),
            "owner": Attribute("text", lambda version: version.about.owner),
            "description": Attribute("text", lambda version: version.about.description),
        },
        _of_table,
    ),
}
