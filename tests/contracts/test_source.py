"""Each source against the port's suite: real files, a real web server, SQLite, and PostgreSQL where one answers."""

import io
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import deltalake
import httpx
import polars as pl
import pytest
import sqlalchemy

import s3_here
from slipway.backends.api_source import ApiReader
from slipway.backends.delta_source import DeltaReader
from slipway.backends.files_source import FilesReader
from slipway.backends.sql_source import SqlReader
from slipway.conformance.source import ROWS, SourceSuite
from slipway.errors import NotFound, SlipwayError, Unavailable
from slipway.ports.source import Ask, Source
from slipway.records.sources import ApiSource, DeltaSource, FilesSource, SqlSource
from web_server import serving

COLUMNS = {"id": pl.Int64, "name": pl.String, "amount": pl.Float64, "seen": pl.Int64}
POSTGRES = os.environ.get("SLIPWAY_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/test")


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS)


def halved(path: Path) -> None:
    data = path.read_bytes()
    half = len(data) // 2
    # Within a row and before its last field: a text file that was cut between two rows looks whole.
    end = data.find(b"\n", half) + 3 if b"\n" in data[half:] and b"PAR1" not in data[:4] else half
    path.write_bytes(data[:end])


class FilesOf(SourceSuite):
    suffix: str

    def write(self, rows: list[dict[str, Any]], path: Path) -> None:
        raise NotImplementedError

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        (folder / "data").mkdir(exist_ok=True)
        self.write(rows, folder / "data" / f"rows{self.suffix}")
        return FilesReader(FilesSource(paths=(f"data/rows{self.suffix}",)), folder)

    def lose(self, folder: Path) -> None:
        (folder / "data" / f"rows{self.suffix}").unlink()

    def cut(self, folder: Path) -> None:
        halved(folder / "data" / f"rows{self.suffix}")


class TestParquet(FilesOf):
    suffix = ".parquet"

    def write(self, rows: list[dict[str, Any]], path: Path) -> None:
        frame(rows).write_parquet(path)


class TestDelta(SourceSuite):
    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        deltalake.write_deltalake(folder / "lake", frame(rows).to_arrow(), mode="overwrite")
        return DeltaReader(DeltaSource(path="lake"), folder)

    def lose(self, folder: Path) -> None:
        for path in (folder / "lake").glob("*.parquet"):
            path.unlink()

    def cut(self, folder: Path) -> None:
        for path in (folder / "lake").glob("*.parquet"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def test_a_version_stays_what_it_is_while_others_write(self, tmp_path: Path) -> None:
        self.make(tmp_path, ROWS)
        fixed = DeltaReader(DeltaSource(path="lake", version=0), tmp_path)
        first = self.read(tmp_path, fixed)
        self.make(tmp_path, ROWS[:1])
        assert first.rows.collect().height == 4
        assert fixed.read(Ask(marker=first.marker), self.scratch(tmp_path)) is None
        assert self.read(tmp_path, DeltaReader(DeltaSource(path="lake"), tmp_path)).rows.collect().height == 1

    def test_a_vacuum_meanwhile_is_noticed(self, tmp_path: Path) -> None:
        first = self.read(tmp_path, self.make(tmp_path, ROWS))
        self.make(tmp_path, ROWS[:1])
        deltalake.DeltaTable(tmp_path / "lake").vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False
        )
        with pytest.raises(Unavailable, match="was vacuumed while it was read"):
            first.check()
        with pytest.raises(NotFound, match="1 of 1 files of version 0 are gone"):
            self.read(tmp_path, DeltaReader(DeltaSource(path="lake", version=0), tmp_path))


class TestCsv(FilesOf):
    suffix = ".csv"

    def write(self, rows: list[dict[str, Any]], path: Path) -> None:
        frame(rows).write_csv(path)


class TestJsonLines(FilesOf):
    suffix = ".jsonl"

    def write(self, rows: list[dict[str, Any]], path: Path) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class TestJsonList(FilesOf):
    suffix = ".json"

    def write(self, rows: list[dict[str, Any]], path: Path) -> None:
        path.write_text(json.dumps(rows))


class TestHttpFile(SourceSuite):
    address: str

    @pytest.fixture(autouse=True)
    def server(self, tmp_path: Path) -> Iterator[None]:
        with serving(tmp_path) as self.address:
            yield

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        frame(rows).write_csv(folder / "rows.csv")
        return FilesReader(FilesSource(paths=(f"{self.address}/files/rows.csv?token=abc",)), folder)

    def lose(self, folder: Path) -> None:
        (folder / "rows.csv").unlink()

    def cut(self, folder: Path) -> None:
        halved(folder / "rows.csv")


class ApiOf(TestHttpFile):
    how: ClassVar[dict[str, Any]]

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        (folder / "rows.json").write_text(json.dumps(rows))
        more = dict(self.how)
        return ApiReader(ApiSource(url=self.address + more.pop("path"), **more), folder)

    def lose(self, folder: Path) -> None:
        (folder / "rows.json").unlink()

    def cut(self, folder: Path) -> None:
        halved(folder / "rows.json")


class TestApiList(ApiOf):
    how: ClassVar[dict[str, Any]] = {"path": "/api/list"}


class TestApiNext(ApiOf):
    how: ClassVar[dict[str, Any]] = {"path": "/api/next?size=3", "rows": "items", "next": "next"}


class TestApiCursor(ApiOf):
    how: ClassVar[dict[str, Any]] = {
        "path": "/api/cursor?size=3",
        "rows": "data.items",
        "next": "paging.after",
        "cursor": "after",
    }


class TestApiPages(ApiOf):
    how: ClassVar[dict[str, Any]] = {"path": "/api/pages?size=3", "page": "page", "since": "updated_since"}


class TestApiLink(ApiOf):
    how: ClassVar[dict[str, Any]] = {"path": "/api/link?size=3"}


def fill(engine: sqlalchemy.Engine, rows: list[dict[str, Any]], table: str) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"drop table if exists {table}"))
        kinds = "id integer, name text, amount double precision, seen bigint"
        connection.execute(sqlalchemy.text(f"create table {table} ({kinds})"))
        if rows:
            insert = sqlalchemy.text(f"insert into {table} values (:id, :name, :amount, :seen)")
            connection.execute(insert, rows)
    engine.dispose()


class TestSqlite(SourceSuite):
    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        fill(sqlalchemy.create_engine(f"sqlite:///{folder / 'shop.db'}"), rows, "orders")
        return SqlReader(SqlSource(url="sqlite:///shop.db", query="orders"), folder)

    def lose(self, folder: Path) -> None:
        with sqlite3.connect(folder / "shop.db") as connection:
            connection.execute("drop table orders")
        connection.close()

    def cut(self, folder: Path) -> None:
        halved(folder / "shop.db")


@pytest.mark.full
class TestPostgres(SourceSuite):
    table: str

    @pytest.fixture(autouse=True)
    def database(self) -> Iterator[None]:
        pytest.importorskip("psycopg", reason="needs psycopg: make test-all installs it")
        self.engine = sqlalchemy.create_engine(POSTGRES, poolclass=sqlalchemy.NullPool)
        try:
            self.engine.connect().close()
        except sqlalchemy.exc.OperationalError:
            pytest.skip(
                f"needs PostgreSQL at {POSTGRES}: docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres"
            )
        self.table = f"slipway_orders_{os.getpid()}"
        yield
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"drop table if exists {self.table}"))
        self.engine.dispose()

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        fill(self.engine, rows, self.table)
        return SqlReader(SqlSource(url=POSTGRES, query=f"select * from {self.table}"), folder)

    def lose(self, folder: Path) -> None:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"drop table {self.table}"))

    def cut(self, folder: Path) -> None:
        """A database has no half tables; a query that fails in the middle comes nearest."""
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"alter table {self.table} rename to {self.table}_all"))
            some = f"select id, name, amount, 10 / (id - 4) as seen from {self.table}_all"
            connection.execute(sqlalchemy.text(f"create view {self.table} as {some}"))

    @pytest.fixture(autouse=True)
    def after(self, database: None) -> Iterator[None]:
        yield
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"drop table if exists {self.table}_all cascade"))


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    with s3_here.running() as url:
        assert httpx.put(f"{url}/shop", headers={"x-amz-acl": "public-read-write"}).is_success
        yield url


@pytest.mark.full
class TestS3(SourceSuite):
    """Against a server that speaks S3 over HTTP."""

    @pytest.fixture(autouse=True)
    def bucket(self, object_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {"ENDPOINT_URL": object_store, "ACCESS_KEY_ID": "S3RVER", "SECRET_ACCESS_KEY": "S3RVER"}
        for name, value in {**given, "ALLOW_HTTP": "true", "REGION": "us-east-1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        self.path = f"s3://shop/{os.getpid()}/rows"

    def make(self, folder: Path, rows: list[dict[str, Any]]) -> Source:
        # Two files, of which one has no rows: a pattern is read as one table.
        frame(rows).write_parquet(f"{self.path}/a.parquet")
        frame([]).write_parquet(f"{self.path}/b.parquet")
        return FilesReader(FilesSource(paths=(f"{self.path}/*.parquet",)), folder)

    def lose(self, folder: Path) -> None:
        self.path = f"s3://shop/{os.getpid()}/nowhere"

    def cut(self, folder: Path) -> None:
        endpoint, path = os.environ["AWS_ENDPOINT_URL"], self.path.removeprefix("s3:/")
        whole = io.BytesIO()
        frame(ROWS).write_parquet(whole)
        data = whole.getvalue()
        assert httpx.put(f"{endpoint}{path}/a.parquet", content=data[: len(data) // 2]).is_success

    def test_what_has_vanished_is_an_error_in_words(self, tmp_path: Path) -> None:
        source = FilesReader(FilesSource(paths=(f"{self.path}-none/*.parquet",)), tmp_path)
        with pytest.raises(SlipwayError, match="none"):
            self.read(tmp_path, source)

    def test_csv_json_and_lines_are_read_too(self, tmp_path: Path) -> None:
        frame(ROWS).write_csv(f"{self.path}.csv")
        frame(ROWS).write_ndjson(f"{self.path}.jsonl")
        listed = io.BytesIO()
        frame(ROWS).write_json(listed)
        pl.DataFrame({"list": [listed.getvalue().decode()]}).lazy().sink_csv(
            f"{self.path}.json", include_header=False, quote_style="never"
        )
        for name in ("csv", "json", "jsonl"):
            got = self.read(tmp_path, FilesReader(FilesSource(paths=(f"{self.path}.{name}",)), tmp_path))
            assert got.rows.collect().to_dicts() == ROWS


def test_the_rows_are_what_the_suites_say() -> None:
    assert frame(ROWS).to_dicts() == ROWS
