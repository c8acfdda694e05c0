"""A PostgreSQL for tests: the one on this machine, in a schema of the test's own, dropped afterwards."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# The tests of sources name SQLAlchemy's driver in it.
URL = os.environ.get("SLIPWAY_TEST_POSTGRES", "postgresql://127.0.0.1:5432/test").replace("+psycopg", "")


def connection():
    """A connection to it; the test is skipped where none answers."""
    psycopg = pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")
    try:
        return psycopg.connect(URL, connect_timeout=5, autocommit=True)
    except psycopg.OperationalError:
        pytest.skip(
            f"no PostgreSQL answers at {URL}; start one: docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust "
            "-e POSTGRES_DB=test postgres, and name it: SLIPWAY_TEST_POSTGRES=postgresql://postgres@127.0.0.1:5432/test"
        )


def within(schema: str) -> str:
    """The URL of a schema."""
    return f"{URL}{'&' if '?' in URL else '?'}options=-csearch_path%3D{schema}"


@contextmanager
def cleaned() -> Iterator[str]:
    """The URL of an empty schema, which is gone afterwards."""
    schema = f"slipway_test_{uuid.uuid4().hex}"
    with connection() as open_connection:
        open_connection.execute(f"CREATE SCHEMA {schema}")
    try:
        yield within(schema)
    finally:
        with connection() as open_connection:
            open_connection.execute(f"DROP SCHEMA {schema} CASCADE")


def emptied(url: str) -> None:
    """Remove all records from a schema; the numbers of fields, which processes remember, stay."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url) as open_connection:
        open_connection.execute("SET LOCAL synchronous_commit = off")
        for table in ("entries", "facets", "series", "blocks", "bodies"):
            open_connection.execute(f"DELETE FROM {table}")
