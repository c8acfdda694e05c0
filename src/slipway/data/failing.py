"""Rows that broke a check: kept as a blob beside its result, and set aside in a table of their own."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import polars as pl

from slipway.data.check_run import KEPT_ROWS
from slipway.data.declare import Table
from slipway.ports.workspace import Workspace
from slipway.records.tables import AboutTable, CheckResult, TableVersion
from slipway.tables.catalog import find_head, quarantine_of
from slipway.tables.commits import Origin
from slipway.tables.versions import append, overwrite, read, reads

__all__ = ["keep_failing", "kept_rows", "set_aside"]

_WORDS = "slipway checks"
_ABOUT = ("quarantine_checks", "quarantine_at", "quarantine_from")


def keep_failing(
    workspace: Workspace, results: Sequence[CheckResult], failing: Sequence[pl.DataFrame | None]
) -> tuple[CheckResult, ...]:
    """Results with the digests of their failing rows, stored as Parquet.

    Where a result comes with rows of the version before, new ones stand first and at most `KEPT_ROWS` are kept.
    """
    return tuple(
        result if rows is None else _kept(workspace, result, rows)
        for result, rows in zip(results, failing, strict=True)
    )


def kept_rows(workspace: Workspace, result: CheckResult) -> pl.DataFrame | None:
    """The failing rows kept with a result, None where there are none.

    Raises:
        NotFound: They are gone.
    """
    return pl.read_parquet(io.BytesIO(workspace.blobs.get(result.failing))) if result.failing else None


def set_aside(workspace: Workspace, table: Table, rows: pl.DataFrame, *, source: str, run_id: str) -> TableVersion:
    """Add rows to `quarantine.<table>`, with the checks they broke, when, and where they came from.

    Rows that lie there already, with the same checks and from the same place, are not added again: reading the same
    source every night does not fill the quarantine.

    Args:
        workspace: Whose store is written.
        table: The table that they were meant for.
        rows: What to set aside, with their checks in a last column `slipway checks`.
        source: Where they came from.
        run_id: The run that brought them, or "".
    """
    name = quarantine_of(table.name)
    checks, at, origin = _ABOUT
    told = rows.rename({_WORDS: checks}).with_columns(
        pl.lit(workspace.clock.now()).dt.convert_time_zone("UTC").dt.cast_time_unit("us").alias(at),
        pl.lit(source).alias(origin),
    )
    about = AboutTable(
        owner=table.about.owner,
        description=f"Rows that the checks of {table.name} set aside.",
        tags=table.about.tags,
        personal=table.about.personal,
    )
    made = Origin(source=f"checks of {table.name}", run_id=run_id, about=about)
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, name)
    if head is None:
        return overwrite(workspace, name, told, time=at, origin=made)
    with reads.filled([]):
        held = read(workspace, name, head.version)
    schema = held.collect_schema()
    if told.schema == schema:
        return append(workspace, name, _not_yet(told, held), origin=made)
    both = pl.concat([held.collect(), told], how="diagonal_relaxed")
    return overwrite(workspace, name, both, time=at, origin=made)


def _not_yet(told: pl.DataFrame, held: pl.LazyFrame) -> pl.DataFrame:
    plain = [
        name
        for name, dtype in told.schema.items()
        if name != "quarantine_at" and not dtype.is_nested() and not dtype.is_object()
    ]
    return told.lazy().join(held, on=plain, how="anti", nulls_equal=True, maintain_order="left").collect()


def _kept(workspace: Workspace, result: CheckResult, rows: pl.DataFrame) -> CheckResult:
    before = kept_rows(workspace, result)
    frames = [rows] if before is None else [rows, before]
    kept = pl.concat(frames, how="diagonal_relaxed").head(KEPT_ROWS)
    storable = kept.select(name for name, dtype in kept.schema.items() if not dtype.is_object())
    file = io.BytesIO()
    storable.write_parquet(file, compression="zstd")
    return msgspec.structs.replace(result, failing=workspace.blobs.put(file.getvalue()))
