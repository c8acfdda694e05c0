"""Feature sets on a workspace: specs and training sets from the pinned versions of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec
import polars as pl

from slipway import features as room
from slipway.charts.text import percent
from slipway.code import closure
from slipway.errors import InvalidInput, SlipwayError, near
from slipway.features.column_lineage import columns_of_features
from slipway.features.offline import History, compute, in_plain_types
from slipway.features.point_in_time import microseconds
from slipway.features.sets import FeatureSet
from slipway.features.shared import SharedReference
from slipway.features.specs import FrameTables, Tables, build_spec, features_of, query
from slipway.features.states import to_us
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredWindows, table_name
from slipway.ledger.run_log import current_run
from slipway.ledger.step_scope import run_step
from slipway.ports.workspace import Workspace, workspace
from slipway.records.features import FeatureSetSpec, SkewCertificate, TrainingSet, View, Windows
from slipway.records.runs import Artifact
from slipway.records.schema import Field, FieldType
from slipway.records.tables import TableVersion
from slipway.schema.fingerprints import of_frame
from slipway.tables import versions

__all__ = ["PinnedTables", "feature_names", "history_of", "spec", "training_set"]


class PinnedTables:
    """Tables by name, those of other projects as `<project>/<table>`, each at one version.

    It is the one that is pinned here, or current when it is first asked for.

    Args:
        workspace: Whose tables.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._pinned: dict[str, TableVersion] = {}

    def version(self, table: str) -> TableVersion:
        """The pinned version.

        Raises:
            NotFound: The table has no version yet.
        """
        if table not in self._pinned:
            owner, _, name = table.rpartition("/")
            self._pinned[table] = versions.current(self._workspace, name, project=owner or None)
        return self._pinned[table]

    def read(self, table: str) -> pl.LazyFrame:
        """See `specs.Tables`."""
        found = self.version(table)
        return versions.read(self._workspace, found.name, found.version, project=found.project)

    def key(self, table: str) -> tuple[str, ...]:
        """See `specs.Tables`."""
        return versions.manifest_of(self._workspace, self.version(table)).key

    def time(self, table: str) -> str:
        """The table's declared time column, "" for none."""
        return versions.manifest_of(self._workspace, self.version(table)).time


def history_of(spec: FeatureSetSpec, views: Mapping[str, FeatureView], tables: Tables) -> History:
    """What a feature set looks back on.

    Args:
        spec: The set.
        views: Its feature views, by name.
        tables: The tables that they and the windows read.
    """
    sources = {part.source for part in spec.parts if isinstance(part, Windows)}
    return History(
        events={source: tables.read(source) for source in sorted(sources)},
        views={name: query(view, tables) for name, view in views.items()},
    )


def feature_names(features: FeatureSet) -> list[str]:
    """The features' names, in order; feature views look up their columns in the current workspace."""
    names: list[str] = []
    tables = PinnedTables(workspace()) if features.views else None
    for part in features.parts:
        if isinstance(part, str):
            names.append(part)
        elif isinstance(part, SharedReference):
            names += [made.name for given in part.shared_parts().parts for made in features_of(given)]
        elif isinstance(part, DeclaredWindows):
            names += part.names
        elif isinstance(part, FeatureView) and tables is not None:
            columns = query(part, tables).collect_schema().names()
            names += [f"{part.name}_{column}" for column in columns if column not in (*part.entity, part.time)]
        else:
            names.append(part.name)
    return names


def spec(features: FeatureSet, request: object | Mapping[str, FieldType | Field]) -> FeatureSetSpec:
    """See `FeatureSet.spec`."""
    reads = any(isinstance(part, DeclaredWindows | FeatureView | SharedReference) for part in features.parts)
    if isinstance(request, Mapping) and not reads:
        return build_spec(features, request, FrameTables({}), definition_of)
    tables = PinnedTables(workspace())
    fields = request if isinstance(request, Mapping) else _fields(table_name(request, "spec(...)"), tables)
    return build_spec(features, fields, tables, definition_of)


def definition_of(function: Callable[..., Any]) -> str:
    """The fingerprint of a function's code closure."""
    return closure(function).hash


def training_set(
    features: FeatureSet,
    table: object,
    *,
    label: str,
    at: str | None = None,
    known: str | None = None,
    since: date | datetime | None = None,
    until: date | datetime | None = None,
) -> pl.DataFrame:
    """See `FeatureSet.training_set`."""
    opened = workspace()
    tables = PinnedTables(opened)
    name = table_name(table, "training_set(...)")
    decided = at or str(getattr(table, "time", "") or "") or tables.time(name)
    if not decided:
        raise InvalidInput(
            f"The table {name!r} declares no time column, and training_set(...) was given no `at`.",
            why="Features are computed as they were known at each row's decision.",
            fix="Name the column of the decision times: at='decided_at'.",
            field="at",
        )
    made = build_spec(features, _fields(name, tables), tables, definition_of)
    asked = _Asked(table=name, label=label, at=decided, known=known or "", since=_instant(since), until=_instant(until))
    read = sorted(
        {name, *(part.source for part in made.parts if isinstance(part, Windows))}
        | {source for part in made.parts if isinstance(part, View) for source in part.sources}
    )
    rows = run_step(
        "training_set",
        lambda: _training_set(opened, tables, made, features, asked),
        inputs={
            "features": made.definition,
            "label": label,
            "at": decided,
            "known": asked.known,
            "since": asked.since,
            "until": asked.until,
            **{f"table {source}": tables.version(source).fingerprint for source in read},
        },
        code=tuple(features.functions.values())
        + tuple(view.function for view in features.views.values() if not view.definition),
    )
    _record(opened, tables, made, features, rows, asked)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Which rows of which table: see `FeatureSet.training_set`; `known` is "" where nobody said."""

    table: str
    label: str
    at: str
    known: str
    since: datetime | None
    until: datetime | None


def _record(
    opened: Workspace,
    tables: PinnedTables,
    made: FeatureSetSpec,
    features: FeatureSet,
    rows: pl.DataFrame,
    asked: _Asked,
) -> None:
    """Keep with the run what its model learns from, so that its release can find it."""
    log = current_run.get()
    if log is None:
        return
    version = tables.version(asked.table)
    kept = TrainingSet(
        spec=made,
        table=versions.node(version.project, asked.table, version.version),
        columns=version.fields,
        key=tables.key(asked.table),
        label=asked.label,
        at=asked.at,
        known=asked.known,
        rows=rows.height,
        fingerprint=of_frame(rows),
        first_at=_extreme(rows[asked.at].min()),
        last_at=_extreme(rows[asked.at].max()),
        certificate=_certificate(opened, made, features),
        reads=columns_of_features(made, features.views, tables),
    )
    data = msgspec.json.encode(kept)
    log.add_artifact(
        Artifact(
            name="training_set.json",
            digest=opened.blobs.put(data),
            fingerprint=kept.fingerprint,
            format="json",
            size_bytes=len(data),
        )
    )


def _certificate(opened: Workspace, made: FeatureSetSpec, features: FeatureSet) -> SkewCertificate | None:
    """The proof that serving gives the features of training; a training goes on without it, a release does not."""
    try:
        found = room.certificate.certificate_of(opened, made, features.functions)
    except SlipwayError as problem:
        opened.say(f"No skew certificate: {problem}")
        return None
    opened.say(f"Skew certificate: {found.sentence}.")
    return found


def _extreme(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _training_set(
    opened: Workspace, tables: PinnedTables, made: FeatureSetSpec, features: FeatureSet, asked: _Asked
) -> pl.DataFrame:
    table, label, at = asked.table, asked.label, asked.at
    key = tables.key(table)
    rows = tables.read(table).collect()
    _check_columns(made, rows, asked, (*key, at))
    chosen = _chosen(opened, rows, asked)
    _refuse_own_outcome(made, chosen, table, label, at)
    found = compute(made, chosen, at, history_of(made, features.views, tables), features.functions)
    for note in found.notes:
        opened.say(note)
    for view, count in found.unmatched.items():
        if count:
            share = f"{count:,} of {chosen.height:,} ({percent(count, chosen.height)})"
            opened.say(f"Rows of {table} that found nothing in {view}: {share}.")
    requests = in_plain_types(chosen, made.request)
    taken = set(found.frame.columns)
    first = chosen.select(column for column in dict.fromkeys((*key, at)) if column not in taken)
    carried = requests.select(name for name in requests.columns if name not in taken and name not in first.columns)
    opened.say(f"Training set of {table}: {found.frame.height:,} rows, {found.frame.width} features.")
    return pl.concat([first, carried, found.frame, chosen.select(label)], how="horizontal")


def _refuse_own_outcome(made: FeatureSetSpec, chosen: pl.DataFrame, table: str, label: str, at: str) -> None:
    """A row must not look back on itself: while it is being asked, the store does not hold it.

    Windows over the label's own table are therefore refused when rows of it count as known at their own decision.
    """
    own = [part for part in made.parts if isinstance(part, Windows) and part.source == table]
    for time_column in dict.fromkeys(part.time for part in own):
        known = microseconds(chosen, time_column, f"the table {table!r}")
        decided = microseconds(chosen, at, f"the table {table!r}")
        early = int(chosen.select((known <= decided).sum()).item())
        if early:
            raise InvalidInput(
                f"{early:,} of {chosen.height:,} rows of {table!r} are known by {time_column!r} at their own decision "
                f"{at!r}, so each would count itself in its windows.",
                why="A live request is not in the online store while it is asked: training would see what serving "
                f"cannot{', the label among it' if any(a.column == label for p in own for a in p.aggregates) else ''}.",
                fix="Let the windows' `time` name when a row's outcome became known, later than its decision; or let "
                f"{at!r} lie just before: pl.col({time_column!r}) - pl.duration(microseconds=1).",
                field=time_column,
            )


def _check_columns(made: FeatureSetSpec, rows: pl.DataFrame, asked: _Asked, others: tuple[str, ...]) -> None:
    table, label = asked.table, asked.label
    for column in (label, *others, *([asked.known] if asked.known else [])):
        if column not in rows.columns:
            raise InvalidInput(
                f"The table {table!r} has no column {column!r}.",
                why=near(column, rows.columns, what="columns"),
                fix="Correct the name.",
                field=column,
            )
    features = {feature.name for feature in made.features}
    requests = {field.name for field in made.request}
    if label in features | requests:
        raise InvalidInput(
            f"The label {label!r} is also a feature, or an argument of one.",
            why="The answer would be known before the decision.",
            fix="Remove it from the feature set.",
            field=label,
        )
    hidden = [column for column in others if column in features and column not in requests]
    if hidden:
        raise InvalidInput(
            f"A feature is called {hidden[0]!r}, like the column of {table!r} that identifies or dates its rows.",
            why="Both would be columns of the training set.",
            fix="Rename the feature.",
            field=hidden[0],
        )


def _chosen(opened: Workspace, rows: pl.DataFrame, asked: _Asked) -> pl.DataFrame:
    """The rows within the bounds that have a decision time and a known label; what is left out is reported."""
    table, label, at = asked.table, asked.label, asked.at
    instant = microseconds(rows, at, f"the table {table!r}")
    inside = pl.lit(value=True)
    if asked.since is not None:
        inside &= instant >= to_us(asked.since)
    if asked.until is not None:
        inside &= instant < to_us(asked.until)
    unlabelled = pl.col(label).is_null()
    if rows.schema[label].is_float():
        unlabelled |= pl.col(label).is_nan()
    undated = int(rows.select(instant.is_null().sum()).item())
    if undated:
        opened.say(f"Rows of {table} without {at}, left out of the training set: {undated:,}.")
    dated = rows.filter(instant.is_not_null() & inside)
    missing = int(dated.select(unlabelled.sum()).item())
    if missing:
        opened.say(f"Rows of {table} without {label}, left out of the training set: {missing:,} of {dated.height:,}.")
    labelled = dated.filter(~unlabelled)
    if not asked.known:
        return labelled
    known = microseconds(labelled, asked.known, f"the table {table!r}")
    if asked.until is None:
        return labelled
    timely = labelled.filter(known <= to_us(asked.until))
    late = labelled.height - timely.height
    if late:
        by = f"not known by {_words(asked.until)}"
        opened.say(f"Rows of {table} whose label was {by}, left out of the training set: {late:,} of {dated.height:,}.")
    return timely


def _words(instant: datetime) -> str:
    """An instant as it was most likely given: a date where a day begins."""
    utc = instant.astimezone(UTC)
    return utc.date().isoformat() if utc.time() == time() else utc.isoformat()


def _instant(value: date | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        if value is not None:
            to_us(value)
        return value
    return datetime.combine(value, time(), tzinfo=UTC)


def _fields(table: str, tables: PinnedTables) -> dict[str, FieldType | Field]:
    return {field.name: field for field in tables.version(table).fields}
