"""The SQLite ledger's tables: forward-only migrations, each a tuple of steps, never edited once released.

A step is a statement, or a function where the content itself changes its form.
"""

import math
from collections.abc import Callable
from itertools import groupby, islice

from slipway.backends import sql_points
from slipway.backends.sql_driver import Driver
from slipway.backends.sql_fields import field_number
from slipway.records.runs import MetricPoint

__all__ = ["MIGRATIONS", "SCHEMA_VERSION"]

_MOVED_AT_ONCE = 10_000

Step = str | Callable[[Driver], None]

_FIRST: tuple[Step, ...] = (
    """CREATE TABLE entries (
        kind TEXT NOT NULL, id TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
        state TEXT NOT NULL, parent TEXT NOT NULL, created_us INTEGER NOT NULL, etag INTEGER NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID""",
    "CREATE INDEX entries_by_time ON entries (kind, project, created_us, id)",
    "CREATE INDEX entries_by_name ON entries (kind, project, name, created_us, id)",
    "CREATE INDEX entries_by_parent ON entries (kind, parent, created_us, id) WHERE parent <> ''",
    """CREATE TABLE refs (
        project TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
        PRIMARY KEY (project, kind, name)) WITHOUT ROWID""",
    """CREATE TABLE links (
        source TEXT NOT NULL, target TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (source, target, role)) WITHOUT ROWID""",
    "CREATE INDEX links_by_target ON links (target, source, role)",
    """CREATE TABLE points (
        run_id TEXT NOT NULL, key TEXT NOT NULL, step INTEGER NOT NULL, at_us INTEGER NOT NULL,
        special INTEGER NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (run_id, key, step, at_us, special, value)) WITHOUT ROWID""",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, project TEXT NOT NULL, subject TEXT NOT NULL, verb TEXT NOT NULL,
        body BLOB NOT NULL)""",
    "CREATE INDEX events_by_subject ON events (subject, seq)",
    'CREATE TABLE roots ("index" INTEGER PRIMARY KEY, body BLOB NOT NULL)',
    "CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)


def _move_points(driver: Driver) -> None:
    """Points become blocks; those of a run that has no record could not be asked for and are left out."""
    rows = driver.execute(
        "SELECT e.no, e.project, e.created_us, p.key, p.value, p.special, p.step, p.at_us FROM points p "
        "JOIN entries e ON e.kind='run' AND e.id=p.run_id ORDER BY p.run_id, p.key, p.step, p.at_us"
    )
    for (no, project, created_us, key), group in groupby(rows, key=lambda row: row[:4]):
        number = field_number(driver, project, "run", "metric", key)
        while part := list(islice(group, _MOVED_AT_ONCE)):
            points = [
                MetricPoint(key, value if special else math.nan, step, at) for *_, value, special, step, at in part
            ]
            sql_points.write(driver, {key: number}.__getitem__, no, created_us, points)


_SECOND: tuple[Step, ...] = (
    # Entries get a number, by which everything that is searched refers to them.
    """CREATE TABLE numbered (
        no INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
        number INTEGER NOT NULL, state TEXT NOT NULL, parent TEXT NOT NULL, created_us INTEGER NOT NULL,
        etag INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (kind, id))""",
    """INSERT INTO numbered (kind, id, project, name, number, state, parent, created_us, etag, body)
        SELECT kind, id, project, name, number, state, parent, created_us, etag, body FROM entries
        ORDER BY created_us, kind, id""",
    "DROP TABLE entries",
    "ALTER TABLE numbered RENAME TO entries",
    "CREATE INDEX entries_by_time ON entries (kind, project, created_us, id)",
    "CREATE INDEX entries_by_name ON entries (kind, project, name, created_us, id)",
    "CREATE INDEX entries_by_parent ON entries (kind, parent, created_us, id) WHERE parent <> ''",
    # The names of fields, once a project: every index below is of one project's records of one kind.
    """CREATE TABLE fields (
        key INTEGER PRIMARY KEY, project TEXT NOT NULL, kind TEXT NOT NULL, space TEXT NOT NULL, name TEXT NOT NULL,
        UNIQUE (project, kind, space, name))""",
    """CREATE TABLE facets (
        no INTEGER NOT NULL, key INTEGER NOT NULL, item INTEGER NOT NULL, number REAL, text TEXT,
        created_us INTEGER NOT NULL, PRIMARY KEY (no, key, item)) WITHOUT ROWID""",
    "CREATE INDEX facets_by_value ON facets (key, number, text, created_us, no)",
    """CREATE TABLE series (
        no INTEGER NOT NULL, key INTEGER NOT NULL, step INTEGER NOT NULL, at_us INTEGER NOT NULL, number REAL,
        created_us INTEGER NOT NULL, PRIMARY KEY (no, key)) WITHOUT ROWID""",
    "CREATE INDEX series_by_value ON series (key, number, created_us, no)",
    """CREATE TABLE blocks (
        no INTEGER NOT NULL, key INTEGER NOT NULL, level INTEGER NOT NULL, seq INTEGER NOT NULL,
        points INTEGER NOT NULL, first_step INTEGER NOT NULL, first_at INTEGER NOT NULL, first_value REAL,
        last_step INTEGER NOT NULL, last_at INTEGER NOT NULL, last_value REAL, low REAL, high REAL,
        PRIMARY KEY (no, key, level, seq)) WITHOUT ROWID""",
    # Beside the headers, not in them: a chart reads all headers and few bodies.
    """CREATE TABLE bodies (
        no INTEGER NOT NULL, key INTEGER NOT NULL, level INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (no, key, level, seq)) WITHOUT ROWID""",
    _move_points,
    "DROP TABLE points",
)

MIGRATIONS: tuple[tuple[Step, ...], ...] = (_FIRST, _SECOND)
SCHEMA_VERSION = len(MIGRATIONS)
