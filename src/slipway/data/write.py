"""Writing a declared table: look at the rows that come, set aside, report, refuse or commit. Every way leads here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from slipway.charts.text import percent
from slipway.data.declare import Table
from slipway.data.failing import keep_failing, set_aside
from slipway.data.joined import Stays, stays_of, winners
from slipway.data.judge import Judged, judge_rows, table_checks
from slipway.data.profiles import hashing, profile_of, stored
from slipway.data.references import Known
from slipway.data.refusals import in_words, refuse
from slipway.data.table_judge import Whole, judge_table
from slipway.errors import Conflict
from slipway.ports.workspace import Workspace
from slipway.records.sources import Synced
from slipway.records.tables import CheckResult, TableVersion
from slipway.schema.types import frame_of
from slipway.stats.column_profiles import TableProfile, merge, to_bytes
from slipway.tables.catalog import find_head, manifest_of
from slipway.tables.commits import Origin, note_about
from slipway.tables.conform import check_columns_named, conformed
from slipway.tables.scans import schema_of
from slipway.tables.staging import Rows, Staged, stage
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, overwrite

__all__ = ["Mode", "write"]

Mode = Literal["overwrite", "append", "upsert"]
_ATTEMPTS = 8


def write(
    workspace: Workspace,
    table: Table,
    rows: Rows,
    *,
    mode: Mode = "overwrite",
    newest_wins: bool = False,
    source: str = "",
    run_id: str = "",
    inputs: tuple[str, ...] = (),
    synced: Synced | None = None,
    branch: str = "",
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
        rows: A Polars or pandas frame, which is looked at in memory; a LazyFrame, an iterable of frames or what was
            staged, which is looked at on disk, in bounded memory.
        mode: What becomes of the rows that are there: "overwrite" drops them, "append" keeps them, "upsert" keeps those
            whose key does not come. Where the table has no version yet, all are the same.
        newest_wins: For "upsert": whether an older row never replaces a newer one.
        source: Where the rows come from, in words.
        run_id: The run that does it, or "".
        inputs: Lineage nodes that went into them.
        synced: How far their source was read.
        branch: The branch that is written, "" for the table itself.

    Returns:
        The new version, or the current one when nothing has changed.

    Raises:
        InvalidInput: A check that blocks failed, or the rows are no frame that can be stored.
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        NotFound: A check looks into a table or version that is not there.
        Conflict: Somebody else wrote the table meanwhile.
    """
    many = isinstance(rows, Staged | pl.LazyFrame) or (isinstance(rows, Iterable) and not hasattr(rows, "columns"))
    given = rows if many else frame_of(rows, f"What is to be written to {table.name}")
    attempt = 0
    while True:
        attempt += 1
        job = _Job(workspace, table, mode, newest_wins, source, run_id, inputs, synced, branch)
        try:
            if isinstance(given, Iterable) and not isinstance(given, pl.DataFrame):
                given = stage(workspace, table.name, given)  # an iterator gives its frames once
            return _written(job, given)
        except Conflict:
            # What was found was found beside a version that is not current any more.
            if mode == "overwrite" or attempt == _ATTEMPTS:
                raise


@dataclass(frozen=True, slots=True)
class _Job:
    workspace: Workspace
    table: Table
    mode: Mode
    newest_wins: bool
    source: str
    run_id: str
    inputs: tuple[str, ...]
    synced: Synced | None
    branch: str


def _written(job: _Job, given: pl.DataFrame | pl.LazyFrame | Staged) -> TableVersion:
    workspace, table = job.workspace, job.table
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table.name, job.branch)
    staged, rows = _fitted(job, given, former)
    stays = _stays(job, rows, former)
    known = Known(workspace, table.name, rows, keeps=stays is not None)
    judged = judge_rows(table, rows, stays=stays, known=known)
    came = profile_of(judged.rows)
    whole = Whole(
        table=table.name,
        rows=came.rows + (stays.count if stays else 0),
        came=judged.rows,
        profile=came,
        former=former,
        stays=stays.rows if stays else None,
    )
    results = keep_failing(workspace, judged.results, judged.failing)
    results += judge_table(workspace, table_checks(table), whole)
    _report(workspace, table, len(came.columns), judged, results)
    told = {"source": job.source, "run_id": job.run_id}
    if any(not result.passed and result.severity == "block" for result in results):
        raise refuse(workspace, table, mode=job.mode, rows=judged.came, results=results, former=former, **told)
    if judged.aside is not None:
        set_aside(workspace, table, judged.aside, **told)
    origin = Origin(
        **told,
        inputs=job.inputs,
        checks=results,
        about=table.about,
        quarantined_rows=0 if judged.aside is None else judged.aside.height,
        profile=workspace.blobs.put(to_bytes(_profile(workspace, came, stays))),
        synced=job.synced,
        onto=former.version if former else "",
    )
    made = _committed(job, staged if staged is not None and judged.aside is None else judged.rows, former, origin)
    state = "unchanged, " if made == former else ""
    if made.about != table.about:  # the content was there already, and the declaration says something else of it by now
        made = note_about(workspace, made, table.about)
    workspace.say(f"{table.name}: {state}version {made.number} ({made.version[:12]})")
    return made


def _fitted(
    job: _Job, given: pl.DataFrame | pl.LazyFrame | Staged, former: TableVersion | None
) -> tuple[Staged | None, pl.DataFrame | pl.LazyFrame]:
    """The rows as the table takes them: with its columns and types where they join others."""
    joins = job.mode != "overwrite" and former is not None
    if not joins or former is None:
        check_columns_named(job.table.name, given.schema if isinstance(given, Staged) else given.collect_schema())
        if isinstance(given, pl.DataFrame):
            return None, given
        whole = stage(job.workspace, job.table.name, given)
        return whole, whole.scan()
    manifest = manifest_of(job.workspace, former)
    if isinstance(given, pl.DataFrame):
        staged, rows = None, conformed(job.table.name, given, schema_of(manifest)).lazy()
    else:
        staged = stage(job.workspace, job.table.name, given, onto=former)
        rows = staged.scan()
    if job.newest_wins and job.mode == "upsert" and manifest.key and manifest.time:
        staged, rows = None, winners(job.workspace, former, rows, key=manifest.key, time=manifest.time)
    return staged, rows.collect() if isinstance(given, pl.DataFrame) else rows


def _stays(job: _Job, rows: pl.DataFrame | pl.LazyFrame, former: TableVersion | None) -> Stays | None:
    if job.mode == "overwrite" or former is None:
        return None
    key = manifest_of(job.workspace, former).key if job.mode == "upsert" else ()
    return stays_of(job.workspace, former, rows.lazy(), replaced_by=key)


def _committed(
    job: _Job, rows: pl.DataFrame | pl.LazyFrame | Staged, former: TableVersion | None, origin: Origin
) -> TableVersion:
    name, branch = job.table.name, job.branch
    if job.mode == "overwrite" or former is None:
        key, time = job.table.key, job.table.time
        return overwrite(job.workspace, name, rows, key=key, time=time, origin=origin, branch=branch)
    if job.mode == "append":
        return append(job.workspace, name, rows, origin=origin, branch=branch)
    return upsert(job.workspace, name, rows, newest_wins=job.newest_wins, origin=origin, branch=branch)


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
