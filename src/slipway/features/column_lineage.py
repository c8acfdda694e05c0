"""From each feature back to the columns it is computed from: `table.column`, and `request.field`.

A view is any query, so its plan is asked: each table stands in as an empty source that takes note of the columns which
Polars' optimiser wants of it when one column of the result is selected. Columns that only filter, join or group count
too, because they decide which value is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl
from polars.io.plugins import register_io_source

from slipway.features.specs import Tables
from slipway.features.views import FeatureView
from slipway.records.features import FeatureSetSpec, RequestField, Scalar, View, Windows

__all__ = ["REQUEST", "columns_of_features", "columns_of_view"]

REQUEST = "request"
"""Stands for the request in `request.field`."""


def columns_of_features(
    spec: FeatureSetSpec, views: Mapping[str, FeatureView], tables: Tables
) -> dict[str, tuple[str, ...]]:
    """For each feature the columns that its value depends on, sorted; scalars of other features by way of these.

    Args:
        spec: The set.
        views: Its feature views, by name.
        tables: The tables that windows and views read; only their schemas are asked.
    """
    found: dict[str, set[str]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            by = {f"{REQUEST}.{name}" for name in part.by}
            for aggregate in part.aggregates:
                read = {*part.by, part.time, *([aggregate.column] if aggregate.column else [])}
                found[f"{part.name}_{aggregate.name}"] = by | {f"{part.source}.{column}" for column in read}
        elif isinstance(part, View):
            keys = {f"{REQUEST}.{name}" for name in part.entity}
            for column, columns in columns_of_view(views[part.name], tables).items():
                found[f"{part.name}_{column}"] = keys | set(columns)
        elif isinstance(part, RequestField):
            found[part.name] = {f"{REQUEST}.{part.name}"}
    waiting = [part for part in spec.parts if isinstance(part, Scalar)]
    while waiting:  # each round settles at least one: `scalar_order` has refused circles
        names = {part.name for part in waiting}
        ready = [part for part in waiting if not names & {argument.name for argument in part.arguments}]
        for part in ready or waiting:
            arguments = [argument.name for argument in part.arguments]
            found[part.name] = set().union(*(found.get(name, {f"{REQUEST}.{name}"}) for name in arguments))
        waiting = [part for part in waiting if part not in (ready or waiting)]
    return {name: tuple(sorted(columns)) for name, columns in found.items()}


def columns_of_view(view: FeatureView, tables: Tables) -> dict[str, tuple[str, ...]]:
    """For each value column of a view the columns of its tables that the query reads for it, as `table.column`.

    Args:
        view: The declaration.
        tables: The tables that it reads; only their schemas are asked.
    """
    if view.definition:
        return view.reads
    schemas = {source: tables.read(source).collect_schema() for source in view.sources}
    asked: dict[str, set[str]] = {}
    result = view.function(*(_noting(source, schema, asked) for source, schema in schemas.items())).lazy()
    known = [*view.entity, *([view.time] if view.time else [])]
    found = {}
    for column in result.collect_schema().names():
        if column not in known:
            asked.clear()
            result.select(*known, column).collect()
            found[column] = tuple(sorted(f"{source}.{name}" for source, names in asked.items() for name in names))
    return found


def _noting(source: str, schema: pl.Schema, asked: dict[str, set[str]]) -> pl.LazyFrame:
    """An empty frame of a schema that takes note of the columns it is asked for."""

    def rows(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if with_columns is None else with_columns
        asked.setdefault(source, set()).update(wanted)
        if predicate is not None:
            asked[source].update(predicate.meta.root_names())
        yield pl.DataFrame(schema=schema).select(wanted)

    return register_io_source(rows, schema=schema)
