"""From a declared table to a version of it: call, look, report, commit."""

from __future__ import annotations

import traceback
from typing import Any

import polars as pl

from slipway.charts.text import percent
from slipway.data.check_run import Findings, look
from slipway.data.declare import Check, NotNull, Table, Unique
from slipway.errors import InvalidInput, SlipwayError, StepFailed
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableVersion
from slipway.schema.types import frame_of
from slipway.tables.catalog import find_head
from slipway.tables.versions import Origin, overwrite, reads

__all__ = ["ingest"]

_SAID_KEYS = 3


def ingest(workspace: Workspace, table: Table, *, function_result: Any = None, run_id: str = "") -> TableVersion:
    """Make what a table's function returns the table's current version. The same content again changes nothing.

    Every row is kept. What is dirty (nulls, warnings with counts and sample keys) is said and stored with the version.
    A declared key is looked at for duplicates and a declared time for nulls, as warnings, also where no check says so.

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
    frame, inputs = _rows(table, function_result)
    found = look(frame, _checks(table), table=table.name, key=table.key)
    _report(workspace, table, frame, found)
    _refuse(table, [result for result in found.results if not result.passed and result.severity == "block"])
    origin = Origin(
        source=f"{table.function.__module__}:{table.function.__qualname__}",
        run_id=run_id,
        inputs=inputs,
        checks=found.results,
    )
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table.name)
    made = overwrite(workspace, table.name, frame, key=table.key, time=table.time, origin=origin)
    state = "unchanged, " if made == former else ""
    workspace.say(f"{table.name}: {state}version {made.number} ({made.version[:12]})")
    return made


def _rows(table: Table, result: Any) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows, and the lineage nodes of the tables that the function read."""
    outer = reads.get()
    with reads.filled([]) as seen:
        try:
            made = table.function() if result is None else result
            rows = made.collect() if isinstance(made, pl.LazyFrame) else made
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
    return frame_of(rows, f"What {table.name}() returned"), tuple(seen)


def _without_this_file(problem: Exception) -> Exception:
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return problem.with_traceback(trace)


def _checks(table: Table) -> tuple[Check, ...]:
    implied: list[Check] = []
    if table.key and not any(isinstance(c, Unique) and set(c.columns) == set(table.key) for c in table.checks):
        implied.append(Unique(table.key, "warn"))
    if table.time and not any(isinstance(c, NotNull) and c.column == table.time for c in table.checks):
        implied.append(NotNull(table.time, "warn"))
    return (*table.checks, *implied)


def _report(workspace: Workspace, table: Table, frame: pl.DataFrame, found: Findings) -> None:
    workspace.say(f"{table.name}: {found.rows:,} rows, {frame.width} columns, {len(found.results)} checks")
    dirty = sorted(((count, name) for name, count in found.nulls.items() if count), reverse=True)
    if dirty:
        shares = ", ".join(f"{name} {percent(count, found.rows)}" for count, name in dirty)
        workspace.say(f"  nulls: {shares}")
    for result in found.results:
        if not result.passed:
            workspace.say(f"  {'refused' if result.severity == 'block' else 'warning'}: {_words(result)}")


def _refuse(table: Table, failed: list[CheckResult]) -> None:
    if not failed:
        return
    raise InvalidInput(
        f"The table {table.name!r} was refused: {'; '.join(map(_words, failed))}.",
        why="Nothing was stored; the version that was current still is.",
        fix=f'Mend the rows in {table.name}(), or declare the check with severity="warn" to report and keep them.',
    )


def _words(result: CheckResult) -> str:
    share = percent(result.failed_rows, result.rows)
    some = f", for example {', '.join(result.sample[:_SAID_KEYS])}" if result.sample else ""
    return f"'{result.check}' fails for {result.failed_rows:,} of {result.rows:,} rows ({share}){some}"
