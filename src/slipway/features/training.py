"""Feature sets on a workspace: specs and training sets from the pinned versions of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec
import polars as pl

from slipway import features as room
from slipway.charts.text import percent
from slipway.code import closure
from slipway.errors import BackendError, InvalidInput, SlipwayError
from slipway.features.batches import Batches, Limits
from slipway.features.column_lineage import REQUEST, columns_of_features
from slipway.features.definitions import keep_definitions
from slipway.features.examples import check_examples
from slipway.features.offline import History, in_plain_types
from slipway.features.own_label import check_own_label
from slipway.features.scalar_columns import proven_twins
from slipway.features.scalars import Feature
from slipway.features.sets import FeatureSet
from slipway.features.shared import SharedReference
from slipway.features.spare import spare_bytes
from slipway.features.specs import FrameTables, Tables, build_spec, features_of, query
from slipway.features.stored_rows import rows_at_once
from slipway.features.training_rows import Asked, Chosen, check_fits, instant_of
from slipway.features.views import FeatureView
from slipway.features.windows import DeclaredWindows, table_name
from slipway.ledger.run_log import current_run
from slipway.ledger.step_scope import run_step
from slipway.ports.workspace import Workspace, current_workspace, workspace
from slipway.records.features import FeatureSetSpec, SkewCertificate, TrainingSet, View, Windows
from slipway.records.runs import Artifact
from slipway.records.schema import Field, FieldType
from slipway.records.tables import AboutTable, TableVersion
from slipway.schema.fingerprints import of_frame
from slipway.tables import catalog, row_batches, versions
from slipway.tables.personal import Personal, common_readers
from slipway.tables.row_batches import BATCH_ROWS, check_batch_rows, store

__all__ = [
    "PinnedTables",
    "feature_names",
    "history_of",
    "spec",
    "stored_training_set",
    "training_batches",
    "training_set",
]


_LOOKED_AT = 1000
"""Of how many rows at once a few are looked for, to ask views whether they tell labels."""


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

    def verify(self, table: str) -> None:
        """Read every byte of the pinned version.

        Raises:
            Corrupt: A file is missing or damaged.
        """
        found = self.version(table)
        versions.verify(self._workspace, found.name, found.version, project=found.project)

    def node(self, table: str) -> str:
        """The pinned version as a lineage node."""
        found = self.version(table)
        return versions.node(found.project, found.name, found.version)

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
    """The features' names, in order; feature views look up their columns in the current workspace.

    In a step that runs in a process of its own there is none: there the run says what its training rows call them.
    """
    run = current_run.get()
    if current_workspace.get() is None and run is not None and features.identity in run.feature_names:
        return list(run.feature_names[features.identity])
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
    work = _work(features, table, "training_set(...)", _Bounds(label, at, known, since, until))
    rows = run_step("training_set", lambda: pl.concat(_frames(work, is_frame=True)), inputs=work.inputs, code=work.code)
    _record(work, rows.height, of_frame(rows), rows.lazy())
    return rows


def training_batches(
    features: FeatureSet,
    table: object,
    *,
    label: str,
    at: str | None = None,
    known: str | None = None,
    since: date | datetime | None = None,
    until: date | datetime | None = None,
    batch_rows: int = BATCH_ROWS,
    name: str | None = None,
) -> row_batches.Batches:
    """See `FeatureSet.training_batches`."""
    check_batch_rows(batch_rows)  # before anything is computed
    work = _work(features, table, "training_batches(...)", _Bounds(label, at, known, since, until))
    into = name or f"training.{features.name}"
    run = current_run.get()
    origin = versions.Origin(
        source=f"features.training_batches({work.asked.table!r}, label={label!r})",
        run_id="" if run is None or run.is_repeat else run.id,
        inputs=tuple(work.tables.node(table) for table in work.read),
        about=_personal_of(work),
    )
    kept = run_step(
        "training_batches",
        lambda: store(
            work.opened,
            into,
            _frames(work),
            key=work.asked.key,
            time=work.asked.at,
            origin=origin,
            is_repeat=run is not None and run.is_repeat,
        ),
        inputs={**work.inputs, "name": into},
        code=work.code,
    )
    if run is not None and not run.is_repeat:
        run.add_link(kept.node, run.node, "training set")
    _record(work, kept.rows, kept.fingerprint, kept.scan(), stored=kept.node)
    return kept.by(batch_rows)


def _personal_of(work: _Work) -> AboutTable | None:
    """Which columns of a stored training set tell of a person: those, and features of those, that do so in a table.

    Where nobody knows what the features read, all of them do. Who may not read a table that it is made of may not read it.
    """
    known = Personal(work.opened)
    told = {f"{name}.{column}" for name in work.read for column in known.names_in(work.tables.version(name))}
    told |= _told_by_owners(work, known)
    readers = common_readers(work.tables.version(name).about for name in work.read)
    if not told:
        return AboutTable(readers=readers) if readers else None
    names = {*work.asked.key, work.asked.at, work.asked.label, *(field.name for field in work.made.request)}
    own = {name for name in names if f"{work.asked.table}.{name}" in told}
    asked = {f"{REQUEST}.{name}" for name in own}
    reads = _reads(work, "All its features count as personal")
    if reads is None:
        made = {field.name for field in work.made.features}
    else:
        made = {feature for feature, columns in reads.items() if (told | asked) & set(columns)}
    personal = tuple(sorted(own | made))
    return AboutTable(personal=personal, readers=readers) if personal or readers else None


def _told_by_owners(work: _Work, known: Personal) -> set[str]:
    """The personal columns of the projects whose feature views it borrows: what these read is their owners'."""
    views = [view for view in work.features.views.values() if view.definition]
    borrowed = {column for view in views for columns in view.reads.values() for column in columns}
    owners = {column.partition("/")[0] for column in borrowed if "/" in column}
    heads = [head for owner in sorted(owners) for head in catalog.heads(replace(work.opened, project=owner))]
    return {
        f"{head.project}/{head.name}.{name}" for head in heads for name in known.names_ever(head.project, head.name)
    }


def _reads(work: _Work, otherwise: str) -> dict[str, tuple[str, ...]] | None:
    """Which columns each feature reads; None where a view's query does not run on empty tables, by which it is asked.

    Args:
        work: The training set.
        otherwise: What follows where that is not known, in words.
    """
    try:
        return columns_of_features(work.made, work.features.views, work.tables)
    except SlipwayError:
        raise
    except Exception as problem:  # a query is anybody's code
        reason = (str(problem).splitlines() or [""])[0]
        work.opened.say(
            f"{otherwise}: which columns they read is not known, because the query of a feature view fails on tables "
            f"without rows ({type(problem).__name__}: {reason})."
        )
        return None


def stored_training_set(features: FeatureSet, version: str | None, *, name: str | None) -> row_batches.Batches:
    """See `FeatureSet.stored_training_set`."""
    opened, table = workspace(), name or f"training.{features.name}"
    found = versions.get(opened, table, version) if version else versions.current(opened, table)
    versions.read(opened, table, found.version)  # it is an input of what runs here
    run = current_run.get()
    if run is not None:
        run.feature_names[features.identity] = tuple(feature_names(features))
    return row_batches.batches_of(opened, found)


class _Bounds(NamedTuple):
    """Which rows were asked for, as they were given."""

    label: str
    at: str | None
    known: str | None
    since: date | datetime | None
    until: date | datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A training set that is to be made: what of, and what it depends on."""

    opened: Workspace
    tables: PinnedTables
    features: FeatureSet
    made: FeatureSetSpec
    asked: Asked
    read: list[str]
    inputs: dict[str, object]
    code: tuple[Callable[..., Any], ...]


def _work(features: FeatureSet, table: object, where: str, given: _Bounds) -> _Work:
    for field, column in (("label", given.label), ("at", given.at), ("known", given.known)):
        if not isinstance(column, str | None):
            raise InvalidInput(
                f"{where} was given {field}={column!r}.",
                why="It takes the name of one of the table's columns.",
                fix=f"Let the table have the column, and name it: {field}='...'.",
                field=field,
            )
    opened = workspace()
    tables = PinnedTables(opened)
    name = table_name(table, where)
    decided = given.at or str(getattr(table, "time", "") or "") or tables.time(name)
    if not decided:
        raise InvalidInput(
            f"The table {name!r} declares no time column, and {where} was given no `at`.",
            why="Features are computed as they were known at each row's decision.",
            fix="Name the column of the decision times: at='decided_at'.",
            field="at",
        )
    with _damage_told(tables, _named(features, name)):
        made = build_spec(features, _fields(name, tables), tables, definition_of)
    run = current_run.get()
    if run is not None:
        run.feature_names[features.identity] = tuple(feature.name for feature in made.features)
    check_examples(_scalars(features))
    read = sorted(
        {name, *(part.source for part in made.parts if isinstance(part, Windows))}
        | {source for part in made.parts if isinstance(part, View) for source in part.sources}
    )
    asked = Asked(
        table=name,
        label=given.label,
        at=decided,
        known=given.known or "",
        since=instant_of(given.since),
        until=instant_of(given.until),
        key=tables.key(name),
    )
    inputs: dict[str, object] = {
        "features": made.definition,
        "label": asked.label,
        "at": decided,
        "known": asked.known,
        "since": asked.since,
        "until": asked.until,
        **{f"table {source}": tables.version(source).fingerprint for source in read},
    }
    return _Work(
        opened=opened,
        tables=tables,
        features=features,
        made=made,
        asked=asked,
        read=read,
        inputs=inputs,
        code=tuple(features.functions.values())
        + tuple(part.twin for part in _scalars(features) if part.twin is not None)
        + tuple(view.function for view in features.views.values() if not view.definition),
    )


def _scalars(features: FeatureSet) -> list[Feature]:
    return [part for part in features.parts if isinstance(part, Feature)]


def _named(features: FeatureSet, table: str) -> list[str]:
    """The tables that the declarations name: before they are read, no more is known."""
    windows = {part.source for part in features.parts if isinstance(part, DeclaredWindows)}
    shared = [part.shared_parts().parts for part in features.parts if isinstance(part, SharedReference)]
    windows |= {part.source for parts in shared for part in parts if isinstance(part, Windows)}
    return sorted({table, *windows, *(source for view in features.views.values() for source in view.sources)})


@contextmanager
def _damage_told(tables: PinnedTables, read: Sequence[str]) -> Iterator[None]:
    """Where reading fails because a file is damaged, the error names it: any other is the query's own."""
    try:
        yield
    except BackendError:
        raise
    except (pl.exceptions.PolarsError, OSError):
        for table in read:
            tables.verify(table)
        raise


def _frames(work: _Work, *, is_frame: bool = False) -> Iterator[pl.DataFrame]:
    """The training set in batches, in order; at least one, which may be empty. Says what was left out.

    Raises:
        Corrupt: A file of a table is missing or damaged.
    """
    with _damage_told(work.tables, work.read):
        yield from _computed(work, is_frame=is_frame)


def _computed(work: _Work, *, is_frame: bool) -> Iterator[pl.DataFrame]:
    made, asked, tables, opened = work.made, work.asked, work.tables, work.opened
    height = tables.version(asked.table).rows
    spare = spare_bytes(opened)
    rows = Chosen(made, tables.read(asked.table), height, asked, batch_rows=rows_at_once(len(made.features), spare))
    choice = rows.count()
    few = Chosen(made, tables.read(asked.table), height, asked, batch_rows=_LOOKED_AT)
    names = tables.read(asked.table).collect_schema().names()
    check_own_label(made, work.features.views, tables, asked, few(names), opened.say)
    for line in choice.sentences(asked):
        opened.say(line)
    if is_frame:
        check_fits(asked.table, choice.rows, len(made.features) + len(made.request) + len(asked.key) + 2)
    history = history_of(made, work.features.views, tables)
    functions = proven_twins(made, work.features.functions, _scalars(work.features))
    batches = Batches(
        made, rows, asked.at, history, functions, folder=opened.root / "aside", limits=Limits.within(spare)
    )
    for chosen, found in batches:
        requests = in_plain_types(chosen, made.request)
        taken = set(found.columns)
        first = chosen.select(column for column in dict.fromkeys((*asked.key, asked.at)) if column not in taken)
        carried = requests.select(name for name in requests.columns if name not in taken and name not in first.columns)
        yield pl.concat([first, carried, found, chosen.select(asked.label)], how="horizontal")
    for note in batches.notes:
        opened.say(note)
    for view, count in batches.unmatched.items():
        if count:
            share = f"{count:,} of {choice.rows:,} ({percent(count, choice.rows)})"
            opened.say(f"Rows of {asked.table} that found nothing in {view}: {share}.")
    opened.say(f"Training set of {asked.table}: {choice.rows:,} rows, {len(made.features)} features.")


def _record(work: _Work, rows: int, fingerprint: str, frame: pl.LazyFrame, *, stored: str = "") -> None:
    """Keep what the features are; and with the run what its model learns from, so that its release can find it."""
    keep_definitions(work.opened, work.features, work.made)
    log = current_run.get()
    if log is None:
        return
    asked, version = work.asked, work.tables.version(work.asked.table)
    first, last = frame.select(first=pl.col(asked.at).min(), last=pl.col(asked.at).max()).collect().row(0)
    kept = TrainingSet(
        spec=work.made,
        table=work.tables.node(asked.table),
        columns=version.fields,
        key=asked.key,
        label=asked.label,
        at=asked.at,
        known=asked.known,
        rows=rows,
        fingerprint=fingerprint,
        first_at=first,
        last_at=last,
        reads=_reads(work, "The features are kept without their lineage") or {},
        stored=stored,
        certificate=_certificate(work),
    )
    data = msgspec.json.encode(kept)
    log.add_artifact(
        Artifact(
            name="training_set.json",
            digest=work.opened.blobs.put(data),
            fingerprint=kept.fingerprint,
            format="json",
            size_bytes=len(data),
        )
    )


def _certificate(work: _Work) -> SkewCertificate | None:
    """The proof that serving gives the features of training; a training goes on without it, a release does not."""
    try:
        found = room.certificate.certificate_of(work.opened, work.made, work.features.functions)
    except SlipwayError as problem:
        work.opened.say(f"No skew certificate: {problem}")
        return None
    work.opened.say(f"Skew certificate: {found.sentence}.")
    return found


def _fields(table: str, tables: PinnedTables) -> dict[str, FieldType | Field]:
    return {field.name: field for field in tables.version(table).fields}
