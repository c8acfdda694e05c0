"""Feed: an endpoint's online store gets what its features look back on, from the tables' present versions.

Feature views are queries of the user; where a server deploys, that code is not at hand. So a release keeps each view's
result as a table `view.<name>.<definition>`, and the store is fed from there. The definition is in the name because an
older model goes on reading what its own code made of the tables, also after a newer one asks them otherwise.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.features.materialise import materialise
from slipway.features.sets import FeatureSet
from slipway.features.specs import query
from slipway.features.training import PinnedTables, definition_of
from slipway.features.views import FeatureView
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EMBEDDED, OnlinePlace
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.records.models import Bundle
from slipway.records.tables import TableVersion
from slipway.tables import versions
from slipway.tables.versions import Origin

__all__ = ["feed", "from_tables", "keep_view", "keep_views", "view_table"]


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
        NotFound: A table that it reads has no version yet.
    """
    read = [tables.version(source) for source in view.sources]
    origin = Origin(
        source=f"the feature view {view.name}",
        inputs=tuple(versions.node(found.project, found.name, found.version) for found in read),
    )
    return versions.overwrite(
        workspace,
        view_table(view.name, definition_of(view.function)),
        query(view, tables).collect(),
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
        raise InvalidInput(
            f"The features of {bundle.model!r} cannot be read from the tables: {str(problem).splitlines()[0]}.",
            why="A table's present version has other columns or types than the one from which it was trained.",
            fix="Release a model that is trained on the tables as they are: slipway run PIPELINE",
        ) from problem
    finally:
        store.close()


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
