"""A copy of an SQLite database that others write meanwhile, of one moment.

Source: https://www.sqlite.org/backup.html; in one step, so that no writer makes it begin again, and in the write-ahead mode
that no writer waits for.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["copy_database"]

_BUSY_S = 30.0


def copy_database(source: Path, target: Path) -> None:
    """Copy a database into a file of its own, without a journal beside it.

    Args:
        source: The database; it may be in use.
        target: The new file.

    Raises:
        sqlite3.Error: It is no database, is damaged, or stayed locked.
    """
    address = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, timeout=_BUSY_S, uri=True)) as opened,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        opened.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
