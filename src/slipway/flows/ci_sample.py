"""Rows for a store that is thrown away: those of the project's own store, or of the tables' sources, thinned out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from slipway.data.declare import Table
from slipway.data.ingest import in_order, ingest
from slipway.data.write import write
from slipway.features.views import FeatureView
from slipway.ports.workspace import Workspace
from slipway.tables.catalog import find_head
from slipway.tables.versions import read, reads

__all__ = ["Sample", "sampled"]

_SEED = 20_130_101
_ROW = "slipway row"


class Sample(NamedTuple):
    """What a store was filled with: in words, and whether all rows are there."""

    sentence: str
    is_whole: bool


def sampled(
    own: Workspace,
    away: Workspace,
    tables: Mapping[str, Table],
    views: Iterable[FeatureView],
    *,
    rows: int,
    folder: Path,
) -> Sample:
    """Fill a store with a sample.

    Rows are drawn evenly over the whole table, so that a cut by time still has both sides. What a feature view reads is
    looked up by keys and stays whole. Checks are not asked of a sample: they judge the rows as they are stored, or as
    they are ingested here where nothing is stored.

    Args:
        own: The project's own store, which is only read.
        away: The store that is filled.
        tables: What the code declares.
        views: What the code looks up.
        rows: How many of a table at most, 0 for all.
        folder: Where relative paths of a source begin.

    Raises:
        StepFailed: A table's function raised.
        InvalidInput: A check refuses the rows of a source.
    """
    looked_up = {name for view in views for name in view.sources}
    told, is_whole = [], True
    for table in in_order(tables.values()):
        with own.ledger.read() as tx:
            head = find_head(tx, own.project, table.name)
        place = own if head is not None else away
        if head is None:
            head = ingest(away, table, folder=folder)
        few = 0 < rows < head.rows and table.name not in looked_up
        if place is own or few:
            with reads.filled([]):
                chosen = _drawn(read(place, table.name, head.version), head.rows, rows if few else head.rows)
            write(away, _unchecked(table), chosen, source=f"a sample of version {head.number}")
        is_whole = is_whole and not few
        source = "" if place is own else " from its source"
        told.append(f"{table.name}: {f'{rows:,} of ' if few else ''}{head.rows:,} rows{source}")
    return Sample("; ".join(told) + "." if told else "The project declares no table.", is_whole)


def _drawn(rows: pl.LazyFrame, height: int, count: int) -> pl.DataFrame:
    if count >= height:
        return rows.collect()
    places = np.sort(np.random.default_rng(_SEED).choice(height, count, replace=False))
    wanted = pl.DataFrame({_ROW: places.astype(np.uint32)})
    return rows.with_row_index(_ROW).join(wanted.lazy(), on=_ROW, maintain_order="left").drop(_ROW).collect()


def _unchecked(table: Table) -> Table:
    bare = copy.copy(table)
    bare.checks = ()
    return bare
