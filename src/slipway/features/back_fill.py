"""A generated history loaded into an online store as a deployment loads a real one: from versions of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

import msgspec
import polars as pl

from slipway.features.edge_cases import INSTANTS
from slipway.features.materialise import materialise
from slipway.features.views import FeatureView
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.tables import versions

__all__ = ["back_filled"]

_HALF_WAY = sorted(INSTANTS)[len(INSTANTS) // 2]
_AFTER_ALL = max(INSTANTS) + timedelta(days=365)


def back_filled(
    workspace: Workspace,
    spec: FeatureSetSpec,
    store: OnlineStore,
    events: Mapping[str, pl.DataFrame],
    views: Mapping[str, pl.DataFrame],
    random: Random,
) -> None:
    """Write a history into tables and load it into a store, in two steps.

    First half of the rows, known up to an instant in the middle; then the others are appended, among them some that
    would have been known before, and all is loaded that is known up to the end.

    Args:
        workspace: Whose tables are written; it has none of these names.
        spec: The feature set.
        store: An empty store.
        events: The sources of its windows, by table.
        views: The results of its views, by view.
        random: Draws which rows come first.
    """
    declared = {part.name: _from_table(part) for part in spec.parts if isinstance(part, View)}
    parts = tuple(
        msgspec.structs.replace(part, sources=(_table(part.name),)) if isinstance(part, View) else part
        for part in spec.parts
    )
    spec = msgspec.structs.replace(spec, parts=parts)
    keys = {part.source: part.event_id for part in spec.parts if isinstance(part, Windows)}
    frames = {**events, **{_table(name): rows for name, rows in views.items()}}
    early = {
        name: pl.Series([random.random() < 0.5 for _ in range(rows.height)], dtype=pl.Boolean)
        for name, rows in frames.items()
    }
    for name, rows in frames.items():
        home, table = _home(workspace, name)
        versions.overwrite(home, table, rows.filter(early[name]), key=keys.get(name, ()))
    materialise(workspace, spec, store, until=_HALF_WAY, views=declared)
    for name, rows in frames.items():
        home, table = _home(workspace, name)
        versions.append(home, table, rows.filter(~early[name]))
    materialise(workspace, spec, store, until=_AFTER_ALL, views=declared)


def _home(workspace: Workspace, name: str) -> tuple[Workspace, str]:
    """Where a table is written: one of another project is called `<project>/<table>`."""
    owner, _, table = name.rpartition("/")
    return replace(workspace, project=owner) if owner else workspace, table


def _table(view: str) -> str:
    return f"rows-of-{view.lower()}"


def _from_table(part: View) -> FeatureView:
    def result(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows

    view = FeatureView(result, entity=part.entity, time=part.time, ttl_us=part.ttl_us)
    view.name, view.sources = part.name, (_table(part.name),)
    return view
