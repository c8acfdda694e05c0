"""The tables as they are stored, by what the project's code declares of them now; only read, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from slipway.data.declare import Table
from slipway.data.ingest import in_order
from slipway.data.judge import judge_rows, table_checks
from slipway.data.profiles import profile_of
from slipway.data.references import Known
from slipway.data.table_judge import Whole, judge_table
from slipway.flows.ci_found import Found, look
from slipway.ports.workspace import Workspace
from slipway.records.ci import CiCheck
from slipway.records.tables import CheckResult, TableVersion
from slipway.tables.catalog import find_head, get
from slipway.tables.versions import read, reads, verify

__all__ = ["data_checks"]

_SUITE = "data"


def data_checks(workspace: Workspace, tables: Mapping[str, Table]) -> Iterator[CiCheck]:
    """Whether each stored table is whole, has the declared columns, and holds what the declared checks say.

    Args:
        workspace: The project's own store.
        tables: What the code declares.
    """
    if not tables:
        yield look(_SUITE, "tables", lambda: Found("skipped", "The project declares no table."))
    for table in in_order(tables.values()):
        yield from _of_table(workspace, table)


def _of_table(workspace: Workspace, table: Table) -> Iterator[CiCheck]:
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, table.name)
    if head is None:
        told = f"The table {table.name} has no version in this store."
        yield look(_SUITE, table.name, lambda: Found("skipped", told, f"slipway data ingest {table.name}"))
        return
    with reads.filled([]):
        whole = look(_SUITE, f"{table.name}: no row is lost", lambda: _is_whole(workspace, table, head))
        yield whole
        if whole.state == "failed":
            return
        columns = look(_SUITE, f"{table.name}: columns", lambda: _columns(table, head))
        yield columns
        results: list[CheckResult] = []
        asked = look(_SUITE, f"{table.name}: checks", lambda: _asked(workspace, table, head, results))
        if not results:
            yield asked
        for result in results:
            found = _told(table, result)
            yield look(_SUITE, f"{table.name}: {result.check}", lambda: found, spent=asked.seconds / len(results))  # noqa: B023


def _is_whole(workspace: Workspace, table: Table, head: TableVersion) -> Found:
    """Every byte of the version is what its digests say, and its rows are as many as it was written with."""
    verify(workspace, table.name, head.version)
    rows = read(workspace, table.name, head.version).select(pl.len()).collect().item()
    if rows != head.rows:
        told = f"Version {head.number} was written with {head.rows:,} rows, and {rows:,} can be read."
        return Found("failed", told, f"slipway data show {table.name}")
    return Found("passed", f"Version {head.number}: all {rows:,} rows are there, and their bytes are unaltered.")


def _columns(table: Table, head: TableVersion) -> Found:
    there = {field.name for field in head.fields}
    wanted = [*table.key, *([table.time] if table.time else [])]
    missing = [name for name in dict.fromkeys(wanted) if name not in there]
    if missing:
        told = f"The code declares {', '.join(missing)} as key or time; version {head.number} has no such column."
        return Found("failed", told, f"Correct the declaration, or: slipway data ingest {table.name}")
    return Found("passed", f"Version {head.number} has the {len(there)} columns, key and time among them.")


def _asked(workspace: Workspace, table: Table, head: TableVersion, results: list[CheckResult]) -> Found:
    rows = read(workspace, table.name, head.version)
    known = Known(workspace, table.name, rows, keeps=False)
    results += judge_rows(table, rows, stays=None, known=known).results
    whole = table_checks(table)
    if whole:
        former = get(workspace, table.name, head.parent) if head.parent else None
        of = Whole(table=table.name, rows=head.rows, came=rows, profile=profile_of(rows), former=former, stays=None)
        results += judge_table(workspace, whole, of)
    return Found("skipped", "It declares no check.", "docs/data.md shows how.")


def _told(table: Table, result: CheckResult) -> Found:
    """A check's result without the keys of rows: a report is read by people who may not see them."""
    if result.undecided:
        return Found("skipped", f"Cannot tell. {result.note}".strip())
    bad = result.failed_rows + result.set_aside
    broken = f"{bad:,} of {result.rows + result.set_aside:,} rows break it." if bad else "It does not hold."
    told = " ".join(part for part in (broken, result.note) if part)
    if result.passed:
        return Found("passed", result.note or f"It holds for all {result.rows:,} rows.")
    if result.severity == "warn":
        return Found("passed", f"A warning: {told}")
    return Found("failed", told, f"slipway data ingest {table.name}; then: slipway data failing {table.name}")
