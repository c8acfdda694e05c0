"""From a declared table to a version of it: call its function or read its source, and write what comes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from slipway.data.calls import called, on_disk
from slipway.data.checks import References
from slipway.data.declare import Table
from slipway.data.sync import sync
from slipway.data.write import write
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.tables.versions import head

__all__ = ["in_order", "ingest"]


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Tables so that those come first into which the checks of others look; else in the order that they have."""
    left = {table.name: table for table in tables}
    wanted = {
        name: {check.table for check in table.checks if isinstance(check, References) and check.table != name}
        for name, table in left.items()
    }
    ordered: list[Table] = []
    while left:
        # Of tables that look into each other one must come first: whichever stands first.
        free = next((name for name in left if not wanted[name] & left.keys()), next(iter(left)))
        ordered.append(left.pop(free))
    return ordered


def ingest(
    workspace: Workspace,
    table: Table,
    *,
    function_result: Any = None,
    run_id: str = "",
    folder: Path = Path(),
) -> TableVersion:
    """Make what a table's function returns the table's current version. The same content again changes nothing.

    A table with a source or a watermark is synced: see `sync`.

    Args:
        workspace: Where the version goes; what was found goes to its `say`.
        table: The declaration.
        function_result: A frame to take in the function's place.
        run_id: The run that does it, or "".
        folder: Where relative paths of a source begin.

    Returns:
        The new version, or the current one when the content has not changed.

    Raises:
        StepFailed: The table's function raised.
        InvalidInput: A check that blocks failed, or the result is no frame that can be stored.
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        Conflict: Somebody else wrote the table meanwhile.
    """
    if function_result is None and (table.feed.source is not None or table.feed.watermark):
        sync(workspace, table, folder, run_id=run_id)
        return head(workspace, table.name)
    rows, inputs = (function_result, ()) if function_result is not None else called(table)
    if isinstance(rows, pl.LazyFrame):
        # A query runs here and once: what fails in it is the user's, and it may not fit into memory.
        rows = on_disk(workspace, table, rows)
    source = f"{table.function.__module__}:{table.function.__qualname__}"
    return write(workspace, table, rows, source=source, run_id=run_id, inputs=inputs)
