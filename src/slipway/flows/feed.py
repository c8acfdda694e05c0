"""Feed: an endpoint's online store gets what its features look back on, from the tables' present versions.

Feature views are queries of the user; where a server deploys, that code is not at hand. So a release keeps each view's
result as a table `view.<name>.<definition>`, and the store is fed from there. The definition is in the name because an
older model goes on reading what its own code made of the tables, also after a newer one asks them otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.features.loading import read_mark
from slipway.features.materialise import materialise
from slipway.features.offline import query_failed
from slipway.features.online import Receiver, build_receiver, stored_definitions
from slipway.features.sets import FeatureSet
from slipway.features.specs import query
from slipway.features.states import from_us, to_us
from slipway.features.training import PinnedTables, definition_of
from slipway.features.views import FeatureView
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EMBEDDED, OnlinePlace
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.models import Bundle
from slipway.records.predictions import PushedRow
from slipway.records.tables import TableVersion
from slipway.tables import versions
from slipway.tables.log_rows import read_rows
from slipway.tables.segments import Cursor
from slipway.tables.versions import Origin

__all__ = ["feed", "feed_anew", "from_tables", "keep_view", "keep_views", "view_table"]

_END = 2**62
_PUSHED_AT_ONCE = 50_000


def keep_views(workspace: Workspace, features: FeatureSet) -> None:
    """Keep the result of every feature view as a version of the table `view.<name>.<definition>`.

    Raises:
        InvalidDeclaration: A view's result lacks its entity or time column.
        NotFound: A table that it reads has no version yet.
    """
    tables = PinnedTables(workspace)
    for view in features.views.values():
        if not view.definition:  # otherwise another project keeps its rows
            keep_view(workspace, view, tables)


def keep_view(workspace: Workspace, view: FeatureView, tables: PinnedTables) -> TableVersion:
    """Keep one feature view's result as a version of its table.

    Raises:
        InvalidDeclaration: Its result lacks its entity or time column.
        InvalidInput: Its query fails over some row.
        NotFound: A table that it reads has no version yet.
    """
    read = [tables.version(source) for source in view.sources]
    try:
        rows = query(view, tables).collect()
    except pl.exceptions.PolarsError as problem:
        raise query_failed(view.name, problem) from problem
    origin = Origin(
        source=f"the feature view {view.name}",
        inputs=tuple(versions.node(found.project, found.name, found.version) for found in read),
    )
    return versions.overwrite(
        workspace,
        view_table(view.name, definition_of(view.function)),
        rows,
        key=(*view.entity, *([view.time] if view.time else [])),
        time=view.time,
        origin=origin,
    )


def feed(workspace: Workspace, bundle: Bundle, folder: Path, place: OnlinePlace = EMBEDDED) -> str:
    """Load everything that is known by now into the online store of an endpoint.

    It is idempotent: what is there already changes nothing, so an endpoint may answer meanwhile.

    Args:
        workspace: Whose tables are read, and which business time it is.
        bundle: The bundle whose features look back.
        folder: The endpoint's folder.
        place: The store, where it is not the folder's own.

    Returns:
        The content that was loaded, see `OnlineStore.identity`.

    Raises:
        NotFound: A table has no version yet.
        InvalidInput: A table has no longer what the features read.
        Unavailable: A shared store cannot be reached, or was emptied meanwhile; what was loaded stays, and feeding again
            goes on from there.
    """
    spec = bundle.features
    if spec is None or not any(isinstance(part, Windows | View) for part in spec.parts):
        return ""
    stored, views = from_tables(spec)
    store = workspace.open_online(folder, place)
    try:
        materialise(workspace, stored, store, until=workspace.clock.now(), views=views)
        return store.identity()
    except pl.exceptions.PolarsError as problem:
        raise _misfit(bundle, problem) from problem
    finally:
        store.close()


def feed_anew(workspace: Workspace, bundle: Bundle, folder: Path, place: OnlinePlace, logs: Sequence[Path]) -> None:
    """Put what tables and logs of pushes hold now in the place of all that an online store holds, in one transaction.

    Args:
        workspace: Whose tables are read, and which business time it is.
        bundle: The bundle whose features look back.
        folder: The endpoint's folder.
        place: Its store.
        logs: The folders of the logs of all endpoints that push there.

    Raises:
        NotFound: A table has no version any more.
        InvalidInput: A table has no longer what the features read.
        Unavailable: A shared store cannot be reached.
    """
    spec = bundle.features
    if spec is None or not any(isinstance(part, Windows | View) for part in spec.parts):
        return
    stored, views = from_tables(spec)
    store = workspace.open_online(folder, place)
    try:
        receive = build_receiver(spec, store)
        streams, kept = stored_definitions(spec)
        names = [*(stream.name for stream in streams), *(view.name for view in kept)]
        with store.writing():
            until_us = max(to_us(workspace.clock.now()), *(read_mark(store, name).until_us for name in names))
            for stream in streams:
                store.push_events(stream.name, [], replacing_until_us=_END)
            for view in kept:
                store.put_rows(view.name, [], replacing_until_us=_END)
            for name in names:
                store.set_mark(name, "")
            materialise(workspace, stored, store, until=from_us(until_us), views=views)
            read = [_pushed_again(workspace, spec, log, None, receive) for log in logs]
        # What was pushed just before may have been written to its log just now.
        for log, cursor in zip(logs, read, strict=True):
            _pushed_again(workspace, spec, log, cursor, receive)
    except pl.exceptions.PolarsError as problem:
        raise _misfit(bundle, problem) from problem
    finally:
        store.close()


def _misfit(bundle: Bundle, problem: Exception) -> InvalidInput:
    return InvalidInput(
        f"The features of {bundle.model!r} cannot be read from the tables: {str(problem).splitlines()[0]}.",
        why="A table's present version has other columns or types than the one from which it was trained.",
        fix="Release a model that is trained on the tables as they are: slipway run PIPELINE",
    )


def _pushed_again(
    workspace: Workspace, spec: FeatureSetSpec, log: Path, after: Cursor | None, receive: Receiver
) -> Cursor:
    """Push what a log holds behind a cursor once more; gives the cursor behind it."""
    known = {part.source for part in spec.parts if isinstance(part, Windows)}
    known |= {part.name for part in spec.parts if isinstance(part, View)}
    while True:
        rows, after = read_rows(log, "events", PushedRow, after, limit=_PUSHED_AT_ONCE)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: row.received_us):
            if row.name in known:
                by_name.setdefault(row.name, []).append(row.row)
        for name, pushed in by_name.items():
            try:
                receive(name, pushed)
            except InvalidInput:
                _one_by_one(workspace, name, pushed, receive)
        if not rows:
            return after


def _one_by_one(workspace: Workspace, name: str, rows: Sequence[dict[str, Any]], receive: Receiver) -> None:
    """Push rows of which some fit an earlier model's features, and not these."""
    for row in rows:
        try:
            receive(name, [row])
        except InvalidInput as problem:
            workspace.say(f"A row that was pushed to {name!r} does not fit any more: {problem.what}")


def view_table(view: str, definition: str) -> str:
    """The table in which a feature view's result is kept."""
    return f"view.{view}.{definition[:12]}"


def _table(part: View) -> str:
    """Where a view's rows are: kept by this project, or by the one that shares it."""
    shared = [source for source in part.sources if "/" in source]
    return shared[0] if shared else view_table(part.name, part.definition)


def _from_table(part: View) -> FeatureView:
    def result(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows

    view = FeatureView(result, entity=part.entity, time=part.time, ttl_us=part.ttl_us)
    view.name, view.sources = part.name, (_table(part),)
    return view


def from_tables(spec: FeatureSetSpec) -> tuple[FeatureSetSpec, dict[str, FeatureView]]:
    """A set whose views read what was kept of them, and these views by name."""
    parts = tuple(
        msgspec.structs.replace(part, sources=(_table(part),)) if isinstance(part, View) else part
        for part in spec.parts
    )
    views = {part.name: _from_table(part) for part in spec.parts if isinstance(part, View)}
    return msgspec.structs.replace(spec, parts=parts), views
