"""Writing a declared table: look at the rows that come, set aside, report, refuse or commit. Every way leads here."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from slipway.charts.text import percent
from slipway.data.declare import Table
from slipway.data.failing import keep_failing, set_aside
from slipway.data.joined import Stays, stays_of
from slipway.data.judge import Judged, judge_rows, table_checks
from slipway.data.profiles import hashing, profile_of, stored
from slipway.data.references import Known
from slipway.data.refusals import in_words, refuse
from slipway.data.table_judge import Whole, judge_table
from slipway.errors import Conflict
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableVersion
from slipway.schema.types import frame_of
from slipway.stats.column_profiles import TableProfile, merge, to_bytes
from slipway.tables.catalog import find_head
from slipway.tables.versions import Origin, append, overwrite

__all__ = ["Mode", "write"]

Mode = Literal["overwrite", "append"]
_ATTEMPTS = 5


def write(
    workspace: Workspace,
    table: Table,
    rows: Any,
    *,
    mode: Mode = "overwrite",
    source: str = "",
    run_id: str = "",
    inputs: tuple[str, ...] = (),
) -> TableVersion:
    """Check rows and make them the table's content, or add them to it. What changes nothing makes no version.

    What is judged is the version that would be made: an append is refused when a key that comes is there already. What
    was found before is taken over, so that appending looks at what comes. Rows that break a check with the severity
    "quarantine" go to the table `quarantine.<table>`; everything else that is dirty (nulls, warnings with counts and
    sample keys) is said and stored with the version. A declared key is looked at for duplicates and a declared time for
    nulls, as warnings, also where no check says so.

    Args:
        workspace: Where the version goes; what was found goes to its `say`.
        table: The declaration.
        rows: A Polars or pandas frame.
        mode: What becomes of the rows that are there.
        source: Where the rows come from, in words.
        run_id: The run that does it, or "".
        inputs: Lineage nodes that went into them.

    Returns:
        The new version, or the current one when nothing has changed.

    Raises:
        InvalidInput: A check that blocks failed, or the rows are no frame that can be stored.
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        NotFound: A check looks into a table or version that is not there.
        Conflict: Somebody else wrote the table meanwhile.
    """
    frame = frame_of(rows, f"What is to be written to {table.name}")
    attempt = 0
    while True:
        attempt += 1
        try:
            return _written(workspace, table, frame, mode=mode, source=source, run_id=run_id, inputs=inputs)
        except Conflict:
            # What was found was found beside a version that is not current any more.
            if mode == "overwrite" or attempt == _ATTEMPTS:
                raise


def _written(
    workspace: Workspace,
    table: Table,
    frame: pl.DataFrame,
    *,
    mode: Mode,
    source: str,
    run_id: str,
    inputs: tuple[str, ...],
) -> TableVersion:
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table.name)
    adds = mode == "append" and former is not None
    stays = stays_of(workspace, former, frame.lazy()) if adds and former is not None else None
    known = Known(workspace, table.name, frame, keeps=stays is not None)
    judged = judge_rows(table, frame, stays=stays, known=known)
    came = profile_of(judged.rows)
    total = came.rows + (stays.count if stays else 0)
    whole = Whole(
        table=table.name,
        rows=total,
        came=judged.rows,
        profile=came,
        former=former,
        stays=stays.rows if stays else None,
    )
    results = keep_failing(workspace, judged.results, judged.failing)
    results += judge_table(workspace, table_checks(table), whole)
    _report(workspace, table, frame.width, judged, results)
    if any(not result.passed and result.severity == "block" for result in results):
        raise refuse(
            workspace, table, mode=mode, rows=judged.came, results=results, former=former, source=source, run_id=run_id
        )
    if judged.aside is not None:
        set_aside(workspace, table, judged.aside, source=source, run_id=run_id)
    origin = Origin(
        source=source,
        run_id=run_id,
        inputs=inputs,
        checks=results,
        about=table.about,
        quarantined_rows=0 if judged.aside is None else judged.aside.height,
        profile=workspace.blobs.put(to_bytes(_profile(workspace, came, stays))),
        onto=former.version if former else "",
    )
    if adds:
        made = append(workspace, table.name, judged.rows, origin=origin)
    else:
        made = overwrite(workspace, table.name, judged.rows, key=table.key, time=table.time, origin=origin)
    state = "unchanged, " if made == former else ""
    workspace.say(f"{table.name}: {state}version {made.number} ({made.version[:12]})")
    return made


def _profile(workspace: Workspace, came: TableProfile, stays: Stays | None) -> TableProfile:
    """The profile of the version that would be made: what comes is added to what is known of what stays."""
    if stays is None:
        return came
    before = stored(workspace, stays.version) if stays.is_all else None
    kinds = {column.name: column.kind for column in came.columns}
    same = before is not None and {column.name: column.kind for column in before.columns} == kinds
    if before is None or not same or before.hashing != hashing():
        before = profile_of(stays.rows)
    by_name = {column.name: column for column in came.columns}
    ordered = tuple(by_name[column.name] for column in before.columns)
    return merge(before, TableProfile(rows=came.rows, columns=ordered, hashing=came.hashing))


def _report(workspace: Workspace, table: Table, width: int, judged: Judged, results: tuple[CheckResult, ...]) -> None:
    workspace.say(f"{table.name}: {judged.came:,} rows, {width} columns, {len(results)} checks")
    dirty = sorted(((count, name) for name, count in judged.nulls.items() if count), reverse=True)
    if dirty:
        shares = ", ".join(f"{name} {percent(count, judged.came)}" for count, name in dirty)
        workspace.say(f"  nulls: {shares}")
    for result in results:
        if not result.passed:
            workspace.say(f"  {_mark(result)}: {in_words(result)}")
        elif result.undecided:
            workspace.say(f"  {result.check}: {result.note}")


def _mark(result: CheckResult) -> str:
    if result.set_aside:
        return "set aside"
    return "refused" if result.severity == "block" else "warning"
