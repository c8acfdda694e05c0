"""Rows that were refused: a record and an event, so that why can be read later, and the sentence."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.charts.text import percent
from slipway.data.declare import Table
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableRefusal, TableVersion
from slipway.tables.catalog import subject

__all__ = ["in_words", "refuse"]

REFUSE = "tables.refuse"
_SAID_KEYS = 3


def refuse(
    workspace: Workspace,
    table: Table,
    *,
    mode: str,
    rows: int,
    results: Sequence[CheckResult],
    former: TableVersion | None,
    source: str,
    run_id: str,
) -> InvalidInput:
    """Record that rows were refused; returns the error to raise.

    Args:
        workspace: Whose ledger is written.
        table: The table that they were meant for.
        mode: What was to become of them.
        rows: How many came.
        results: What the checks found.
        former: The version that is current and stays so.
        source: Where they came from.
        run_id: The run that brought them, or "".
    """
    record = TableRefusal(
        id=f"{workspace.project}/{table.name}/{new_id()}",
        project=workspace.project,
        name=table.name,
        created_at=workspace.clock.now(),
        rows=rows,
        mode=mode,
        checks=tuple(results),
        source=source,
        run_id=run_id,
        parent=former.version if former else "",
        personal=table.about.personal,
    )
    broken = [result for result in results if not result.passed and result.severity == "block"]
    with workspace.ledger.write() as tx:
        entries.put(tx, record, expect=0)
        told = [result.check for result in broken]
        events.record(tx, workspace, REFUSE, subject(workspace.project, table.name), refusal=record.id, checks=told)
    where = f"in {table.name}()" if mode == "overwrite" else "that come"
    return InvalidInput(
        f"The table {table.name!r} was refused: {'; '.join(map(in_words, broken))}.",
        why="Nothing was stored; the version that was current still is."
        if former
        else "Nothing was stored; the table has no version yet.",
        fix=f"See the rows: `slipway data failing {table.name}`. Mend them {where}, or declare the check with "
        'severity="quarantine" to set such rows aside or severity="warn" to report and keep them.',
    )


def in_words(result: CheckResult) -> str:
    """What a check that failed found, as the middle of a sentence."""
    if not result.failed_rows and not result.set_aside:
        return f"'{result.check}' does not hold: {result.note.rstrip('.')}"
    failed = result.set_aside or result.failed_rows
    total = result.rows + result.set_aside
    share = percent(failed, max(total, 1))
    some = f", for example {', '.join(result.sample[:_SAID_KEYS])}" if result.sample else ""
    return f"'{result.check}' fails for {failed:,} of {total:,} rows ({share}){some}"
