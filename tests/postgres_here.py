"""A PostgreSQL for tests: the one on this machine, in a schema of the test's own, dropped afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

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


LEDGERS = ["sqlite", pytest.param("postgres", marks=pytest.mark.full)]
"""Parameters of a fixture `ledger_url`: the tests of a module that use a workspace run on both."""


@contextmanager
def ledger_of(database: str) -> Iterator[str]:
    """What `open_workspace` is told of one of `LEDGERS`: "" for the folder's own SQLite, or the URL of an empty schema."""
    if database == "sqlite":
        yield ""
        return
    with cleaned() as found:
        yield found


def emptied(url: str) -> None:
    """Remove all records from a schema; the numbers of fields, which processes remember, stay."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url) as open_connection:
        open_connection.execute("SET LOCAL synchronous_commit = off")
        for table in ("entries", "facets", "series", "blocks", "bodies"):
            open_connection.execute(f"DELETE FROM {table}")


class Cluster:
    """A PostgreSQL of the test's own, which can be killed and started again."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.programs = programs
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", str(home / "data"), "-A", "trust", "-U", "postgres")
        rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (home / "data" / "pg_hba.conf").write_text(rules)  # whoever else comes shows a password

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.home} -h 127.0.0.1"
        self._run("pg_ctl", "-D", str(self.home / "data"), "-w", "-o", options, "-l", str(self.home / "log"), "start")

    def kill(self) -> None:
        """End it as a crash does: it recovers when it starts again."""
        self._run("pg_ctl", "-D", str(self.home / "data"), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        done = subprocess.run(
            [self.programs / program, *arguments],
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A running PostgreSQL of a test's own; skipped where its programs are not installed."""
    pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")
    found = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if found is None:
        pytest.skip("PostgreSQL's own programs are not installed: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="slipway-postgres-"))
    home.chmod(0o777)
    made = Cluster(home, Path(found).parent)
    made.start()
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(home)
