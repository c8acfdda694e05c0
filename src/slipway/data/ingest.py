"""From a declared table to a version of it: call its function, write what it returns."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

import polars as pl

from slipway.data.checks import References
from slipway.data.declare import Table
from slipway.data.write import write
from slipway.errors import SlipwayError, StepFailed
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.schema.types import frame_of
from slipway.tables.staging import Staged, stage
from slipway.tables.versions import reads

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


def ingest(workspace: Workspace, table: Table, *, function_result: Any = None, run_id: str = "") -> TableVersion:
    """Make what a table's function returns the table's current version. The same content again changes nothing.

    Args:
        workspace: Where the version goes; what was found goes to its `say`.
        table: The declaration.
        function_result: A frame to take in the function's place.
        run_id: The run that does it, or "".

    Returns:
        The new version, or the current one when the content has not changed.

    Raises:
        StepFailed: The table's function raised.
        InvalidInput: A check that blocks failed, or the result is no frame that can be stored.
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        Conflict: Somebody else wrote the table meanwhile.
    """
    rows, inputs = _rows(workspace, table, function_result)
    source = f"{table.function.__module__}:{table.function.__qualname__}"
    return write(workspace, table, rows, source=source, run_id=run_id, inputs=inputs)


def _rows(workspace: Workspace, table: Table, result: Any) -> tuple[pl.DataFrame | Staged, tuple[str, ...]]:
    """The rows, those of a LazyFrame on disk, and the lineage nodes of the tables that the function read."""
    outer = reads.get()
    with reads.filled([]) as seen:
        try:
            made = table.function() if result is None else result
            # A query runs here and once: what fails in it is the user's, and it may not fit into memory.
            rows = stage(workspace, table.name, made) if isinstance(made, pl.LazyFrame) else made
        except SlipwayError:
            raise
        except Exception as problem:
            raise StepFailed(
                f"The table function {table.name!r} raised {type(problem).__name__}: {problem}",
                step=table.name,
                trace="".join(traceback.format_exception(_without_this_file(problem))),
                fix=f"Call {table.name}() by itself to look into it.",
            ) from problem
    if outer is not None:
        outer += [node for node in seen if node not in outer]
    if isinstance(rows, Staged):
        return rows, tuple(seen)
    return frame_of(rows, f"What {table.name}() returned"), tuple(seen)


def _without_this_file(problem: Exception) -> Exception:
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return problem.with_traceback(trace)
