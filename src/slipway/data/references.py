"""Foreign keys: the values that another table has at its current version."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from slipway.data.checks import References
from slipway.errors import InvalidDeclaration, NotFound, near
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.tables.catalog import find_head, get
from slipway.tables.versions import read, reads

__all__ = ["Known"]

_FORMER = 100
"""How far back through appends a version still counts as the same list of values, to which some were added."""


class Known:
    """The values that references may have, read once.

    Args:
        workspace: Where the other tables are.
        table: The table that is checked.
        rows: Its rows that come; a reference to the table itself looks them up too.
        keeps: Whether what the table holds already stays in it.
    """

    def __init__(self, workspace: Workspace, table: str, rows: pl.DataFrame | pl.LazyFrame, *, keeps: bool) -> None:
        self._workspace = workspace
        self._table = table
        self._rows = rows
        self._keeps = keeps
        self._values: dict[tuple[str, str], pl.Series] = {}
        self._heads: dict[str, TableVersion | None] = {}

    def values(self, check: References) -> pl.Series:
        """The distinct values, without null.

        Raises:
            NotFound: The other table has no version.
            InvalidDeclaration: It has no such column.
        """
        where = (check.table, check.other)
        if where not in self._values:
            frames = [self._column(check, rows) for rows in self._sources(check)]
            self._values[where] = pl.concat(frames, how="vertical_relaxed").to_series().unique()
        return self._values[where]

    def against(self, check: References) -> str:
        """The version of the other table in which values are looked up, "" for the table itself."""
        head = None if check.table == self._table else self._head(check.table)
        return head.version if head else ""

    def before(self, check: References) -> tuple[str, ...]:
        """That version and those before it that lacked some of its values and had no others."""
        if check.table == self._table:
            return ("",)
        version = self._head(check.table)
        found: list[str] = []
        while version is not None and len(found) < _FORMER:
            found.append(version.version)
            if version.change not in ("append", "compact") or not version.parent:
                break
            version = get(self._workspace, check.table, version.parent)
        return tuple(found)

    def _sources(self, check: References) -> Sequence[pl.LazyFrame]:
        head = self._head(check.table)
        if check.table == self._table:
            mine = [self._rows.lazy()]
            return [*mine, self._read(check.table)] if head is not None and self._keeps else mine
        if head is None:
            raise NotFound(
                f"The check '{check}' of the table {self._table!r} looks into {check.table!r}, which has no version.",
                fix=f"If it is declared, ingest it first: `slipway data ingest {check.table}`.",
            )
        return [self._read(check.table)]

    def _column(self, check: References, rows: pl.LazyFrame) -> pl.DataFrame:
        schema = rows.collect_schema()
        if check.other not in schema:
            raise InvalidDeclaration(
                f"The check '{check}' of the table {self._table!r} names the column {check.other!r}, which "
                f"{check.table!r} does not have.",
                why=near(check.other, schema, what="columns"),
            )
        return rows.select(pl.col(check.other).drop_nulls().unique()).collect(engine="streaming")

    def _read(self, table: str) -> pl.LazyFrame:
        with reads.filled([]):  # a look-up is no source of the rows
            head = self._head(table)
            return read(self._workspace, table, head.version if head else None)

    def _head(self, table: str) -> TableVersion | None:
        if table not in self._heads:
            with self._workspace.ledger.read() as tx:
                self._heads[table] = find_head(tx, self._workspace.project, table)
        return self._heads[table]
