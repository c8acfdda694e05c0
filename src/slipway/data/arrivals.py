"""Rows that arrive from a source: read in bounded memory, cleaned, each key once, and told apart from what is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from slipway import plugins
from slipway.data.calls import called, failed
from slipway.data.declare import Table
from slipway.data.marks import Value
from slipway.errors import BackendError, InvalidInput, SlipwayError, StepFailed
from slipway.hashing import digest_file
from slipway.ports.source import Ask, Source, scrubbed
from slipway.ports.workspace import Workspace
from slipway.records.sources import CustomSource
from slipway.records.tables import TableVersion
from slipway.schema.plugged import called as plugged_in
from slipway.schema.types import in_utc
from slipway.tables.catalog import manifest_of
from slipway.tables.versions import scan

__all__ = ["Arrived", "arrived", "is_full", "no_room", "unseen"]

T = TypeVar("T")

_COPY = "slipway copy"


def _nothing() -> None:
    """The check of rows that cannot change any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What came from a table's source, uncleaned.

    Args:
        table: The declaration.
        raw: The rows as they came.
        scratch: The folder for what is kept while they are used.
        digest: Of what was read.
        marker: What the source says of its state.
        check: Raises where the source changed while it was read.
        inputs: Lineage nodes of tables that the function read; known once the rows are cleaned.
    """

    table: Table
    raw: pl.LazyFrame
    scratch: Path
    digest: str
    marker: str = ""
    check: Callable[[], None] = _nothing
    inputs: list[str] = field(default_factory=list)

    def run(self, query: Callable[[pl.LazyFrame], T]) -> T:
        """Run a query over the rows as they came.

        Raises:
            InvalidInput: They cannot be read to the end.
        """
        try:
            return query(self.raw)
        except SlipwayError:
            raise
        except (pl.exceptions.PolarsError, OSError) as problem:
            raise self._unreadable(problem) from problem

    def _unreadable(self, problem: Exception) -> InvalidInput:
        self.check()  # a source that changes under the reader is the better explanation
        return InvalidInput(
            f"The rows from {self.table.feed.place(self.table.name)} cannot be read: {scrubbed(problem, ())}.",
            why="Nothing was stored.",
            fix="Look at the source: a row is damaged, or of another form than the others.",
        )

    def count(self) -> int:
        """How many rows came."""
        return int(self.run(lambda rows: rows.select(pl.len()).collect(engine="streaming").item()))

    def cleaned(self, workspace: Workspace, former: TableVersion | None, *, is_partial: bool) -> pl.LazyFrame:
        """The rows as the table shall hold them, on disk: they are used more than once.

        Raises:
            StepFailed: The table's function raised.
            InvalidInput: There are no columns, a key is null, or the function returned no frame.
        """
        table = self.table
        rows = self.raw
        if not rows.collect_schema():
            raise InvalidInput(
                f"The source of {table.name!r} gave no rows, and its format names no columns without them.",
                why="A table that was never filled has no columns then, and one that has rows would lose them.",
                fix="Sync again when the source has rows.",
            )
        if table.feed.watermark and table.key:  # of two rows of a key the one with the greater watermark stands
            rows = rows.sort(table.feed.watermark, maintain_order=True, nulls_last=False)
        if table.feed.takes == "rows":
            rows = self._function_of(rows)
        rows = _typed(workspace, table, rows, former)
        kept = self.scratch / "cleaned.parquet"
        self._sink(rows, kept)
        rows = pl.scan_parquet(kept, glob=False, hive_partitioning=False)
        _tell_of_future(workspace, table, rows)
        return self._each_key_once(workspace, rows, is_partial) if table.key else rows

    def _function_of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        made, inputs = called(self.table, rows)
        self.inputs.extend(inputs)
        try:
            made.collect_schema()
        except pl.exceptions.PolarsError as problem:
            raise failed(self.table, problem) from problem
        return made.lazy()

    def _sink(self, rows: pl.LazyFrame, target: Path) -> None:
        try:
            rows.sink_parquet(target, compression="lz4")
        except SlipwayError:
            raise
        except Exception as problem:  # the user's own expressions may raise anything
            if is_full(problem):
                raise no_room(self.table.name, self.scratch) from problem
            if self.table.feed.takes == "rows":
                self.run(lambda raw: raw.sink_parquet(self.scratch / "probe.parquet"))  # or is it the source itself?
                raise failed(self.table, problem) from problem
            raise self._unreadable(problem) from problem

    def _each_key_once(self, workspace: Workspace, rows: pl.LazyFrame, is_partial: bool) -> pl.LazyFrame:
        table = self.table
        schema = rows.collect_schema()
        missing = [name for name in table.key if name not in schema]
        if missing or not (table.feed.watermark or is_partial):
            return rows  # written whole: what is wrong with a key is said there
        null = pl.any_horizontal(pl.col(name).is_null() for name in table.key)
        found = rows.select(
            null.sum().alias("nulls"), pl.struct(table.key).n_unique().alias("keys"), pl.len().alias("n")
        )
        got = found.collect(engine="streaming").row(0, named=True)
        if got["nulls"]:
            raise InvalidInput(
                f"{got['nulls']:,} of {got['n']:,} rows for {table.name!r} have no {' or '.join(table.key)}.",
                why="A row without its key replaces nothing, and would come again with each sync.",
                fix=f"Drop them in {table.name}(rows): rows.drop_nulls({list(table.key)}).",
            )
        if got["keys"] == got["n"]:
            return rows
        workspace.say(f"  {got['n'] - got['keys']:,} rows have the key of a newer one: the newest of each stands")
        return rows.unique(subset=list(table.key), keep="last", maintain_order=True)


def arrived(table: Table, ask: Ask, folder: Path, scratch: Path) -> Arrived | None:
    """Read a table's source, or ask its function; None when the source is what it was.

    Raises:
        SlipwayError: See `Source.read`.
        StepFailed: The function raised.
    """
    source = table.feed.source
    if source is None:
        given = (ask.since,) if table.feed.takes == "since" else ()
        made, inputs = called(table, *given)
        kept = scratch / "returned.parquet"
        came = Arrived(table=table, raw=made.lazy(), scratch=scratch, digest="", inputs=list(inputs))
        came._sink(made.lazy(), kept)
        raw = pl.scan_parquet(kept, glob=False, hive_partitioning=False)
        dtype = raw.collect_schema().get(ask.column)
        if ask.since is not None and dtype is not None:
            raw = raw.filter(pl.col(ask.column).is_null() | (in_utc(ask.column, dtype) >= pl.lit(ask.since)))
        return Arrived(table=table, raw=raw, scratch=scratch, digest=digest_file(kept), inputs=list(inputs))
    if isinstance(source, CustomSource):
        reader: Source = plugged_in("source", source.plugin, folder)
    else:
        reader = plugins.load("source", str(type(source).__struct_config__.tag))(source, folder)
    own = scratch / "source"
    own.mkdir()
    reading = reader.read(ask, own)
    if reading is None:
        return None
    return Arrived(
        table=table,
        raw=reading.rows,
        scratch=scratch,
        digest=reading.digest,
        marker=reading.marker,
        check=reading.check,
    )


def unseen(workspace: Workspace, table: Table, rows: pl.LazyFrame, former: TableVersion, since: Value) -> pl.LazyFrame:
    """Of rows without a key those that the table does not hold yet. Equal rows are counted, so that none is lost.

    Raises:
        InvalidInput: The function dropped the watermark, so that nobody can tell.
    """
    column = table.feed.watermark
    names = rows.collect_schema().names()
    there = scan(workspace, former, manifest_of(workspace, former))
    if column not in names or column not in there.collect_schema():
        raise InvalidInput(
            f"The table {table.name!r} has neither a key nor its watermark {column!r} as a column.",
            why="Nobody can tell then which rows it has.",
            fix=f"Keep {column!r} in {table.name}(rows), or name a key: @sw.table(key=...).",
        )
    schema = there.collect_schema()
    if set(names) != set(schema.names()):
        return rows  # refused where it is written, in words
    try:
        fitting = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items()).collect()
        old = there.filter(in_utc(column, schema[column]) >= pl.lit(since)).collect()
    except pl.exceptions.PolarsError:
        return rows  # likewise
    count = pl.int_range(pl.len()).over(schema.names()).alias(_COPY)
    new = fitting.with_columns(count).join(
        old.with_columns(count), on=[*schema.names(), _COPY], how="anti", nulls_equal=True, maintain_order="left"
    )
    return new.drop(_COPY).lazy()


def is_full(problem: BaseException) -> bool:
    """Whether something failed because the disk is full and does not say so itself: readers blame what they read."""
    if isinstance(problem, BackendError | StepFailed):
        return False
    return getattr(problem, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(problem)


def no_room(table: str, scratch: Path) -> BackendError:
    """The error of a disk that filled up while rows were read."""
    return BackendError(
        f"The rows for the table {table!r} could not be kept while they were read: no space is left in {scratch.parent}.",
        why="Nothing was stored.",
        fix="Make room, then sync again.",
    )


def _typed(workspace: Workspace, table: Table, rows: pl.LazyFrame, former: TableVersion | None) -> pl.LazyFrame:
    """Columns that hold nothing but nulls get a type: the table's own, else text."""
    schema = rows.collect_schema()
    untyped = [name for name, dtype in schema.items() if isinstance(dtype, pl.Null)]
    if untyped:
        known = {} if former is None else scan(workspace, former, manifest_of(workspace, former)).collect_schema()
        workspace.say(f"  no row has a value of {', '.join(untyped)}")
        rows = rows.with_columns(pl.col(name).cast(known.get(name) or pl.String()) for name in untyped)
    dtype = schema.get(table.time)
    if isinstance(dtype, pl.String):
        raise InvalidInput(
            f"The time column {table.time!r} of {table.name!r} comes from its source as text.",
            fix=f"Read it in {table.name}(rows): "
            f"rows.with_columns(pl.col({table.time!r}).str.to_datetime(time_zone='UTC')).",
            field=table.time,
        )
    return rows


def _tell_of_future(workspace: Workspace, table: Table, rows: pl.LazyFrame) -> None:
    dtype = rows.collect_schema().get(table.time)
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        return
    ahead = rows.filter(in_utc(table.time, dtype) > pl.lit(workspace.clock.now())).select(pl.len())
    count = int(ahead.collect(engine="streaming").item())
    if count:
        workspace.say(f"  warning: {count:,} rows have a {table.time} in the future: kept")
