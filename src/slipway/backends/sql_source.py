"""SQL databases as a source, through SQLAlchemy and the user's driver: read by a server-side cursor, batch by batch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import sqlalchemy
from sqlalchemy import exc

from slipway.backends.source_rows import EXACT, joined
from slipway.errors import InvalidInput, InvalidSetting, MissingExtra, NotFound, Unavailable, near
from slipway.hashing import digest, digest_file
from slipway.ports.secrets import is_kept_elsewhere, read_secret
from slipway.ports.source import Ask, Reading, masked, scrubbed, secrets_of
from slipway.records.sources import SqlSource

__all__ = ["BATCH_ROWS", "SqlReader"]

BATCH_ROWS = 50_000
_CONNECT_WITHIN_S = 10
_NAME = re.compile(r"[\w$]+(\.[\w$]+)*\Z")
_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")
_PLAIN = (bool, int, float, str, bytes, date, time, timedelta, Decimal)


class SqlReader:
    """See `Source`. Rows come sorted by the watermark and the table's key, where the query has these columns.

    Args:
        spec: The declaration.
        folder: Where a relative path of an SQLite file begins.
    """

    def __init__(self, spec: SqlSource, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        """See `Source.read`."""
        address = read_secret(self._spec.url)
        shown = masked(self._spec.url)
        secrets = secrets_of([address], [address] if is_kept_elsewhere(self._spec.url) else [])
        with (
            _engine(address, self._folder, shown, secrets) as engine,
            _connected(engine, shown, secrets) as connection,
        ):
            batches = _written(connection, self._spec.query, ask, scratch, _Words(shown, secrets))
        content = "".join(map(digest_file, batches))
        return Reading(rows=joined(batches, f"the query to {shown}"), digest=digest(content.encode()))


class _Words:
    """Makes errors of one source."""

    def __init__(self, shown: str, secrets: tuple[str, ...]) -> None:
        self.shown = shown
        self._secrets = secrets

    def refused(self, problem: Exception) -> InvalidInput:
        told = scrubbed(getattr(problem, "orig", None) or problem, self._secrets)
        return InvalidInput(
            f"The query to {self.shown} cannot be run: {told}.", fix="Try it in the database's own shell."
        )

    def broken(self, problem: Exception, rows: int) -> Unavailable:
        told = scrubbed(getattr(problem, "orig", None) or problem, self._secrets)
        return Unavailable(
            f"{self.shown} stopped answering after {rows:,} rows: {told}.",
            why="Nothing of them was stored.",
            fix="Sync again when the database answers.",
        )


@contextmanager
def _engine(address: str, folder: Path, shown: str, secrets: tuple[str, ...]) -> Iterator[sqlalchemy.Engine]:
    try:
        url = sqlalchemy.make_url(address)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            path = folder / url.database
            if not path.is_file():
                raise NotFound(
                    f"There is no SQLite file {path}.", fix="A relative path begins in slipway.toml's folder."
                )
            url = url.set(database=str(path))
        more = {"connect_timeout": _CONNECT_WITHIN_S} if url.drivername == "postgresql+psycopg" else {}
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=more, hide_parameters=True)
    except exc.NoSuchModuleError as problem:
        raise InvalidSetting(
            f"SQLAlchemy knows no database as {shown} names it.", fix='For example "postgresql+psycopg://..." .'
        ) from problem
    except exc.ArgumentError:
        raise InvalidSetting(f"{shown} does not hold a database's URL.", fix="See SQLAlchemy's docs on URLs.") from None
    except ImportError as problem:
        raise MissingExtra(
            f"The database of {shown} needs the module {problem.name!r}, which is not installed.",
            fix="Install its driver; for PostgreSQL: pip install 'slipway[postgres]'",
        ) from problem
    except ValueError as problem:
        raise InvalidSetting(
            f"{shown} does not hold a database's URL: {scrubbed(problem, secrets)}.", fix="Check its port."
        ) from None
    sqlalchemy.event.listen(engine, "handle_error", _close_lost)
    try:
        yield engine
    finally:
        engine.dispose()


def _close_lost(context: Any) -> None:
    """Close the cursor of a connection that broke: SQLAlchemy leaves it open, and a driver may complain of that."""
    cursor = getattr(context.execution_context, "cursor", None)
    if context.is_disconnect and cursor is not None:
        with suppress(context.dialect.loaded_dbapi.Error):
            cursor.close()


@contextmanager
def _connected(engine: sqlalchemy.Engine, shown: str, secrets: tuple[str, ...]) -> Iterator[sqlalchemy.Connection]:
    try:
        connection = engine.connect()
    except exc.SQLAlchemyError as problem:
        told = scrubbed(getattr(problem, "orig", None) or problem, secrets)
        raise Unavailable(
            f"{shown} cannot be reached: {told}.", fix="Check that it runs, and the user and password in its URL."
        ) from None  # the driver's own words may hold the password
    with connection:
        yield connection


def _written(connection: sqlalchemy.Connection, query: str, ask: Ask, scratch: Path, words: _Words) -> list[Path]:
    """Run the query and write what comes as Parquet, a batch a file; returns the files, at least one."""
    rows, is_begun = 0, False
    batches: list[Path] = []
    try:
        statement, values = _statement(connection, query, ask, words.shown)
        result = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(statement, values)
        is_begun = True
        names = list(result.keys())
        _check_once(names, words.shown)
        for rows_of_batch in result.partitions(BATCH_ROWS):
            batch = _frame(names, rows_of_batch, words.shown)
            batches.append(scratch / f"{len(batches):06d}.parquet")
            batch.write_parquet(batches[-1], compression="lz4")
            rows += batch.height
        if not batches:
            batches.append(scratch / "000000.parquet")
            pl.DataFrame(schema=dict.fromkeys(names, pl.Null)).write_parquet(batches[-1])
    except exc.ResourceClosedError:
        raise InvalidInput(
            f"The query to {words.shown} gives no rows: it is no select.",
            why="Nothing was changed.",
            fix="Give a select.",
        ) from None
    except exc.SQLAlchemyError as problem:
        is_lost = isinstance(problem, exc.DBAPIError) and problem.connection_invalidated
        # The chained error of a driver holds the query at most; parameters are hidden, the address is not in it.
        raise (words.broken(problem, rows) if is_lost or is_begun else words.refused(problem)) from None
    return batches


def _statement(
    connection: sqlalchemy.Connection, query: str, ask: Ask, shown: str
) -> tuple[sqlalchemy.TextClause, dict[str, Any]]:
    quote = connection.dialect.identifier_preparer.quote
    if _NAME.match(query):
        query = "select * from " + ".".join(quote(part) for part in query.split("."))
    plain = _COLON.sub(r"\\:", query)
    if not ask.column and not ask.order:
        return sqlalchemy.text(plain), {}
    nested = f"select * from ({plain}\n) slipway_rows"  # it may end in a comment
    known = list(connection.execute(sqlalchemy.text(f"{nested} where 1 = 0")).keys())
    if ask.column and ask.column not in known:
        raise InvalidInput(
            f"The watermark {ask.column!r} is no column of the query to {shown}.",
            why=near(ask.column, known, what="columns"),
            field=ask.column,
        )
    order = [name for name in dict.fromkeys((ask.column, *ask.order)) if name in known]
    if not order:
        return sqlalchemy.text(plain), {}
    where = f" where {quote(ask.column)} >= :slipway_since" if ask.since is not None else ""
    values = {} if ask.since is None else {"slipway_since": ask.since}
    return sqlalchemy.text(f"{nested}{where} order by {', '.join(map(quote, order))}"), values


def _check_once(names: list[str], shown: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(
            f"The query to {shown} has two columns {twice[0]!r}.", fix="Name one otherwise: ... as other_name."
        )


def _frame(names: list[str], rows: Sequence[Sequence[Any]], shown: str) -> pl.DataFrame:
    columns = zip(*rows, strict=True)
    return pl.DataFrame([_series(name, list(values), shown) for name, values in zip(names, columns, strict=True)])


class _Unfit(Exception):
    """Values of a kind that no column holds."""


def _series(name: str, values: list[Any], shown: str) -> pl.Series:
    first = next((value for value in values if value is not None), None)
    try:
        if isinstance(first, datetime) and first.tzinfo is not None:
            values = [None if value is None else value.astimezone(UTC) for value in values if _aware(value)]
        elif isinstance(first, dict | list | tuple):
            values = [None if value is None else json.dumps(value, default=str) for value in values]
        elif isinstance(first, UUID | Enum):
            values = [None if value is None else str(getattr(value, "value", value)) for value in values]
        elif isinstance(first, memoryview | bytearray):
            values = [None if value is None else bytes(value) for value in values]
        elif isinstance(first, int | float) and not isinstance(first, bool):
            if any(isinstance(value, float) for value in values):
                if any(isinstance(value, int) and abs(value) > EXACT for value in values):
                    raise _Unfit("whole numbers beyond 2^53 would not be what they were as fractions")
                values = [None if value is None else float(value) for value in values]
        elif first is not None and not isinstance(first, _PLAIN):
            raise _Unfit(f"nobody here knows {type(first).__module__}.{type(first).__qualname__}")
        return pl.Series(name, values, strict=True)
    except (_Unfit, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as problem:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise InvalidInput(
            f"The column {name!r} of the query to {shown} cannot be kept: it holds {' and '.join(kinds)}.",
            why=scrubbed(problem, ()) + ".",
            fix=f"Cast it in the query: cast({name} as varchar).",
            field=name,
        ) from problem


def _aware(value: datetime | None) -> bool:
    if value is not None and value.tzinfo is None:
        raise _Unfit("some of its times have a time zone and some have none")
    return True
