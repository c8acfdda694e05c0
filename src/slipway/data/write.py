"""Writing a declared table: look at the rows that come, report, refuse or commit. Every way to write one leads here."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from slipway.charts.text import percent
from slipway.data.check_run import Findings, look
from slipway.data.checks import Check, NotNull, Unique
from slipway.data.declare import Table
from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.records.sources import Synced
from slipway.records.tables import CheckResult, TableVersion
from slipway.schema.types import frame_of
from slipway.tables.catalog import find_head
from slipway.tables.upserts import upsert
from slipway.tables.versions import Origin, append, overwrite

__all__ = ["Mode", "write"]

Mode = Literal["overwrite", "append", "upsert"]
_SAID_KEYS = 3


def write(
    workspace: Workspace,
    table: Table,
    rows: Any,
    *,
    mode: Mode = "overwrite",
    source: str = "",
    run_id: str = "",
    inputs: tuple[str, ...] = (),
    synced: Synced | None = None,
) -> TableVersion:
    """Check rows and make them the table's content, or add them to it. What changes nothing makes no version.

    Every row is kept. What is dirty (nulls, warnings with counts and sample keys) is said and stored with the version.
    A declared key is looked at for duplicates and a declared time for nulls, as warnings, also where no check says so.

    Args:
        workspace: Where the version goes; what was found goes to its `say`.
        table: The declaration.
        rows: A Polars or pandas frame.
        mode: What becomes of the rows that are there.
        source: Where the rows come from, in words.
        run_id: The run that does it, or "".
        inputs: Lineage nodes that went into them.
        synced: How far their source was read.

    Returns:
        The new version, or the current one when nothing has changed.

    Raises:
        InvalidInput: A check that blocks failed, or the rows are no frame that can be stored.
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        Conflict: Somebody else wrote the table meanwhile.
    """
    frame = frame_of(rows, f"What is to be written to {table.name}")
    found = look(frame, _checks(table), table=table.name, key=table.key)
    _report(workspace, table, frame, found)
    _refuse(table, [result for result in found.results if not result.passed and result.severity == "block"])
    origin = Origin(source=source, run_id=run_id, inputs=inputs, checks=found.results, about=table.about, synced=synced)
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table.name)
    if mode == "append" and former is not None:
        made = append(workspace, table.name, frame, origin=origin)
    elif mode == "upsert" and former is not None:
        made = upsert(workspace, table.name, frame, origin=origin)
    else:
        made = overwrite(workspace, table.name, frame, key=table.key, time=table.time, origin=origin)
    state = "unchanged, " if made == former else ""
    workspace.say(f"{table.name}: {state}version {made.number} ({made.version[:12]})")
    return made


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
