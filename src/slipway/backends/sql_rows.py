"""A ledger's rows as they lie in its tables, in SQL over a database's driver."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from slipway.backends.sql_driver import Driver
from slipway.ports.ledger_rows import Row

__all__ = ["SqlRows"]


class _Table(NamedTuple):
    """A table: its columns, how many of them are its key, and whether the database numbers its rows."""

    columns: tuple[str, ...]
    keys: int
    is_numbered: bool = False
    where: str = ""


_OWN = "NOT (project='' AND kind='store' AND name IN ('blobs', 'copying'))"
_TABLES = {
    "entries": _Table(
        ("no", "kind", "id", "project", "name", "number", "state", "parent", "created_us", "etag", "body"), 1, True
    ),
    "fields": _Table(("key", "project", "kind", "space", "name"), 1, True),
    "facets": _Table(("no", "key", "item", "number", "text", "created_us"), 3),
    "series": _Table(("no", "key", "step", "at_us", "number", "created_us"), 2),
    "blocks": _Table(
        (
            *("no", "key", "level", "seq", "points", "first_step", "first_at", "first_value"),
            *("last_step", "last_at", "last_value", "low", "high"),
        ),
        4,
    ),
    "bodies": _Table(("no", "key", "level", "seq", "body"), 4),
    "refs": _Table(("project", "kind", "name", "target"), 3, where=_OWN),
    "links": _Table(("source", "target", "role"), 3),
    "events": _Table(("seq", "project", "subject", "verb", "body"), 1),
    "roots": _Table(('"index"', "body"), 1),
}


class SqlRows:
    """See `LedgerRows`.

    Args:
        driver: An open transaction of a database.
    """

    tables = tuple(_TABLES)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def count(self, table: str) -> int:
        """See `LedgerRows.count`."""
        where = _TABLES[table].where
        found = self._driver.execute(f"SELECT count(*) FROM {table}{f' WHERE {where}' if where else ''}").fetchone()
        return int(found[0])

    def page(self, table: str, after: Row | None, limit: int) -> list[Row]:
        """See `LedgerRows.page`."""
        about = _TABLES[table]
        key = ", ".join(about.columns[: about.keys])
        tests = [about.where] if about.where else []
        if after is not None:
            tests.append(f"({key}) > ({', '.join('?' * about.keys)})")
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        rows = self._driver.execute(
            f"SELECT {', '.join(about.columns)} FROM {table}{where} ORDER BY {key} LIMIT ?", (*(after or ()), limit)
        )
        is_body = tuple(column == "body" for column in about.columns)
        return [tuple(map(_plain, row, is_body)) for row in rows]

    def key(self, table: str, row: Row) -> Row:
        """See `LedgerRows.key`."""
        return row[: _TABLES[table].keys]

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """See `LedgerRows.add`."""
        about = _TABLES[table]
        numbered = self._driver.dialect.numbered if about.is_numbered else ""
        self._driver.execute_many(
            f"INSERT INTO {table} ({', '.join(about.columns)}){numbered} VALUES ({', '.join('?' * len(about.columns))})",
            rows,
        )

    def remove(self, table: str, rows: Sequence[Row]) -> None:
        """See `LedgerRows.remove`."""
        about = _TABLES[table]
        tests = " AND ".join(f"{column}=?" for column in about.columns[: about.keys])
        self._driver.execute_many(f"DELETE FROM {table} WHERE {tests}", [self.key(table, row) for row in rows])

    def settle(self) -> None:
        """See `LedgerRows.settle`."""
        for table, about in _TABLES.items():
            if about.is_numbered and self._driver.dialect.settle:
                self._driver.execute(self._driver.dialect.settle.format(table=table, key=about.columns[0]))


def _plain(value: Any, is_body: bool) -> Any:
    """A value as every database gives it back: SQLite knows neither NaN nor a zero with a sign."""
    if isinstance(value, float):
        return None if value != value else value + 0.0
    if isinstance(value, memoryview):
        return bytes(value)
    return value.encode() if is_body and isinstance(value, str) else value  # a text, where somebody edited it by SQL
