"""A ledger in PostgreSQL as one file, by COPY: it needs no program of PostgreSQL, and another server version reads it.

A zip of one text a table, and `schema.json`: the schema's version, and each table's columns in the order of its text.
Source: https://www.postgresql.org/docs/current/sql-copy.html (text format).
"""

import zipfile
from pathlib import Path
from typing import Any

import msgspec

from slipway.backends.postgres_schema import SCHEMA_VERSION
from slipway.errors import BackendError, Conflict, Corrupt

__all__ = ["read", "write"]

_TABLES = ("entries", "refs", "links", "events", "roots", "fields", "facets", "series", "blocks", "bodies")
"""All but the leases, which name processes, and the schema's version, which is written beside."""
_NUMBERED = (("entries", "no"), ("fields", "key"))
_HEAD = "schema.json"
_PIECE_BYTES = 1 << 20


class _Head(msgspec.Struct):
    version: int
    columns: dict[str, list[str]]


def write(connection: Any, path: Path) -> None:
    """Write all tables of the connection's transaction into a file.

    Args:
        connection: Of a transaction that sees one moment.
        path: The new file.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        head = _Head(SCHEMA_VERSION, {table: _columns(connection, table) for table in _TABLES})
        archive.writestr(_HEAD, msgspec.json.encode(head))
        for table in _TABLES:
            statement = f"COPY {table} ({_quoted(head.columns[table])}) TO STDOUT"
            with (
                archive.open(table, "w", force_zip64=True) as file,
                connection.cursor() as cursor,
                cursor.copy(statement) as rows,
            ):
                for piece in rows:
                    file.write(piece)


def read(connection: Any, path: Path, shown: str) -> None:
    """Put what a file holds into the tables of the connection's transaction.

    Args:
        connection: Of a transaction that writes; nobody else does.
        path: What `write` wrote.
        shown: What the database is called.

    Raises:
        Conflict: The tables are not empty.
        Corrupt: It is no such file.
        BackendError: It is of another schema.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            head = msgspec.json.decode(archive.read(_HEAD), type=_Head)
            if head.version != SCHEMA_VERSION:
                raise BackendError(
                    f"The copy {path} is of the schema {head.version}, this Slipway knows {SCHEMA_VERSION}.",
                    fix="Restore it with the Slipway that made it; a newer one migrates it when it is opened.",
                )
            for table in _TABLES:
                if connection.execute(f"SELECT EXISTS (SELECT FROM {table})").fetchone()[0]:
                    raise Conflict(
                        f"The {shown} is not empty: its table {table} has rows.",
                        why="What is there would be mixed with what the backup holds.",
                        fix="Name an empty database, or one with an empty schema: --ledger postgresql://...",
                    )
            for table in _TABLES:
                statement = f"COPY {table} ({_quoted(head.columns[table])}) FROM STDIN"
                with (
                    archive.open(table) as file,
                    connection.cursor() as cursor,
                    cursor.copy(statement) as rows,
                ):
                    while piece := file.read(_PIECE_BYTES):
                        rows.write(piece)
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as problem:
        raise Corrupt(f"{path} is no copy of a ledger: {problem}.", fix="Name another backup.") from problem
    for table, number in _NUMBERED:
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{number}'), m) FROM "
            f"(SELECT max({number}) AS m FROM {table}) AS found WHERE m IS NOT NULL"
        )


def _columns(connection: Any, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema=current_schema() AND table_name=%s "
        "ORDER BY ordinal_position",
        (table,),
    )
    return [name for (name,) in rows.fetchall()]


def _quoted(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
