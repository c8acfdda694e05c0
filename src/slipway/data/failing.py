"""Rows that broke a check: kept as a blob beside its result, and set aside in a table of their own."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec
import polars as pl

from slipway.data.check_run import KEPT_ROWS, as_text
from slipway.data.declare import Table
from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.records.tables import AboutTable, CheckResult, TableVersion
from slipway.tables.catalog import find_head, quarantine_of
from slipway.tables.commits import Origin, again_on_conflict
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

    Raises:
        InvalidInput: They have a column that the quarantine has itself.
        Conflict: Others wrote the quarantine again and again meanwhile.
    """
    checks, at, origin = _ABOUT
    own = next((name for name in _ABOUT if name in rows.columns), None)
    if own is not None:
        raise InvalidInput(
            f"Rows of the table {table.name!r} cannot be set aside: they have a column {own!r}.",
            why="The quarantine says in it why a row lies there.",
            fix="Rename the column, or give its checks another severity.",
            field=own,
        )
    told = rows.rename({_WORDS: checks}).with_columns(
        pl.lit(workspace.clock.now()).dt.convert_time_zone("UTC").dt.cast_time_unit("us").alias(at),
        pl.lit(source).alias(origin),
    )
    about = AboutTable(
        owner=table.about.owner,
        description=f"Rows that the checks of {table.name} set aside.",
        tags=table.about.tags,
        personal=table.about.personal,
        readers=table.about.readers,
    )
    made = Origin(source=f"checks of {table.name}", run_id=run_id, about=about)
    name = quarantine_of(table.name)
    return again_on_conflict(name, lambda: _added(workspace, name, told, made))


def _added(workspace: Workspace, name: str, told: pl.DataFrame, origin: Origin) -> TableVersion:
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, name)
    made = replace(origin, onto=head.version if head else "")
    if head is None:
        return overwrite(workspace, name, told, time=_ABOUT[1], origin=made)
    with reads.filled([]):
        held = read(workspace, name, head.version)
    if told.schema == held.collect_schema():
        return append(workspace, name, _not_yet(told, held), origin=made)
    return overwrite(workspace, name, laid_together([held.collect(), told]), time=_ABOUT[1], origin=made)


def laid_together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of frames whose columns may differ; a column whose types do not go together becomes text."""
    try:
        return pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        dtypes: dict[str, set[pl.DataType]] = {}
        for frame in frames:
            for name, dtype in frame.schema.items():
                dtypes.setdefault(name, set()).add(dtype)
        apart = {name for name, found in dtypes.items() if len(found) > 1 and not _go_together(found)}
        texts = [
            frame.with_columns(as_text(frame[name]) for name in frame.columns if name in apart) for frame in frames
        ]
        return pl.concat(texts, how="diagonal_relaxed")


def _go_together(dtypes: Collection[pl.DataType]) -> bool:
    if any(dtype.is_nested() for dtype in dtypes):
        return False
    try:
        pl.concat([pl.Series(dtype=dtype).to_frame() for dtype in dtypes], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return False
    return True


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
    kept = laid_together(frames).head(KEPT_ROWS)
    storable = kept.select(name for name, dtype in kept.schema.items() if not dtype.is_object())
    file = io.BytesIO()
    storable.write_parquet(file, compression="zstd")
    return msgspec.structs.replace(result, failing=workspace.blobs.put(file.getvalue()))
