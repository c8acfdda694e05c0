"""What sources do when the world misbehaves: a real web server that is busy, cuts, refuses, redirects or says nothing."""

import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from slipway.backends import http_download
from slipway.backends.api_source import ApiReader
from slipway.backends.files_source import FilesReader
from slipway.backends.sql_source import SqlReader
from slipway.errors import (
    BackendError,
    InvalidInput,
    InvalidSetting,
    MissingExtra,
    NotFound,
    SlipwayError,
    Unavailable,
)
from slipway.ports.source import Ask, Reading, masked, scrubbed, secrets_of
from slipway.records.sources import ApiSource, FilesSource, SqlSource
from web_server import TOKEN, serving

CSV = "id,name\n1,a\n2,b\n"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "rows.json").write_text(json.dumps([{"id": 1, "seen": 5}, {"id": 2, "seen": 6}]))
    with serving(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_download, "_WAIT_S", 0.0)


def files(folder: Path, *paths: str, ask: Ask | None = None, format: str = "") -> Reading | None:
    scratch = folder / f"scratch{len(list(folder.glob('scratch*')))}"
    scratch.mkdir()
    return FilesReader(FilesSource(paths=paths, format=format), folder).read(ask or Ask(), scratch)


def rows(folder: Path, *paths: str, format: str = "") -> list[dict[str, Any]]:
    got = files(folder, *paths, format=format)
    assert got is not None
    return got.rows.collect().to_dicts()


def api(folder: Path, url: str, ask: Ask | None = None, **how: Any) -> list[dict[str, Any]]:
    scratch = folder / f"scratch{len(list(folder.glob('scratch*')))}"
    scratch.mkdir()
    got = ApiReader(ApiSource(url=url, **how), folder).read(ask or Ask(), scratch)
    assert got is not None
    return got.rows.collect().to_dicts()


def sql(folder: Path, url: str, query: str, ask: Ask | None = None) -> pl.DataFrame:
    scratch = folder / f"scratch{len(list(folder.glob('scratch*')))}"
    scratch.mkdir()
    got = SqlReader(SqlSource(url=url, query=query), folder).read(ask or Ask(), scratch)
    assert got is not None
    return got.rows.collect()


def asked(folder: Path) -> list[str]:
    return (folder / "asked.txt").read_text().split()


def test_a_busy_server_is_asked_three_times(tmp_path: Path, address: str) -> None:
    assert len(rows(tmp_path, f"{address}/flaky/2/rows.csv")) == 2
    assert len(asked(tmp_path)) == 3
    with pytest.raises(Unavailable, match=r"could not be read in 3 tries: the server answered 503\."):
        rows(tmp_path, f"{address}/flaky/9/rows.csv")
    assert len(asked(tmp_path)) == 6


def test_a_body_that_breaks_off_is_never_taken_for_the_whole(tmp_path: Path, address: str) -> None:
    with pytest.raises(Unavailable, match="Nothing of it was kept"):
        rows(tmp_path, f"{address}/cut/rows.csv")
    assert len(asked(tmp_path)) == 3


@pytest.mark.parametrize(
    ("path", "kind", "sentence"),
    [
        ("denied/rows.csv", BackendError, "refuses to be read: the server answered 403"),
        ("files/none.csv", NotFound, "There is nothing at"),
        ("files/rows", InvalidInput, "format of .* cannot be told"),
    ],
)
def test_what_is_denied_or_not_there_is_said_at_once(
    tmp_path: Path, address: str, path: str, kind: type[SlipwayError], sentence: str
) -> None:
    (tmp_path / "rows").write_text(CSV)
    with pytest.raises(kind, match=sentence):
        rows(tmp_path, f"{address}/{path}")
    assert len(asked(tmp_path)) == 1


def test_a_server_that_says_nothing_is_not_waited_for(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_download, "_TIMEOUT", httpx.Timeout(0.1))
    with pytest.raises(Unavailable, match="could not be read in 3 tries: timed out"):
        rows(tmp_path, f"{address}/silent/rows.csv")


def test_nobody_listening_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not be read in 3 tries"):
        rows(tmp_path, "http://127.0.0.1:9/rows.csv")


def test_what_has_not_changed_is_asked_for_by_its_etag(tmp_path: Path, address: str) -> None:
    (tmp_path / "more.csv").write_text("id,name\n3,c\n")
    paths = (f"{address}/files/rows.csv", "more.csv")
    first = files(tmp_path, *paths)
    assert first is not None
    assert files(tmp_path, *paths, ask=Ask(marker=first.marker)) is None
    (tmp_path / "more.csv").write_text("id,name\n3,c\n4,d\n")
    got = files(tmp_path, *paths, ask=Ask(marker=first.marker))
    assert got is not None
    assert got.rows.collect()["id"].to_list() == [1, 2, 3, 4]


def test_several_files_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,a\n")
    (tmp_path / "b.csv").write_text("name,id,more\nb,2,x\n")
    (tmp_path / "notes.txt").write_text("no rows\n")
    assert rows(tmp_path, "*.csv") == [{"id": 1, "name": "a", "more": None}, {"id": 2, "name": "b", "more": "x"}]
    with pytest.raises(NotFound, match=r"No file matches '\*.parquet'"):
        rows(tmp_path, "*.parquet")
    with pytest.raises(NotFound, match=r"Did you mean 'a.csv'"):
        rows(tmp_path, "aa.csv")
    with pytest.raises(InvalidInput, match="is a folder"):
        rows(tmp_path, ".")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "id,name,at\n1,a,2020\n2,b", "ends within a row: ...'2,b'"),
        ("a.csv", "", "is empty"),
        ("a.jsonl", '{"id": 1}\n{"id": 2, "na', "ends within a row"),
        ("a.jsonl", '{"id": 1}\n{"id": 2, "na\n{"id": 3}\n', "cannot be read as jsonl"),
        ("a.json", '[{"id": 1}, {"id"', "cannot be read as json"),
        ("a.parquet", "PAR1 and no more", "cannot be read as parquet"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=f"^{name} {sentence}"):
        rows(tmp_path, name)


def test_a_last_line_without_its_end_is_fine_where_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,name\n1,a\n2,"b\nb"')
    assert rows(tmp_path, "a.csv")[-1] == {"id": 2, "name": "b\nb"}


def test_a_file_that_changes_while_its_rows_are_used_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    got = files(tmp_path, "a.csv")
    assert got is not None
    got.check()
    (tmp_path / "a.csv").write_text(CSV + "3,c\n")
    with pytest.raises(Unavailable, match="changed while it was read"):
        got.check()


@pytest.mark.full  # Polars itself tries for twelve seconds
def test_an_object_store_that_is_not_there_is_said_without_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "who")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(Unavailable, match=r"s3://shop/orders\.parquet cannot be read") as told:
        rows(tmp_path, "s3://shop/orders.parquet")
    assert "hunter2" not in str(told.value)


def test_headers_stay_with_the_server_that_they_are_for(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    headers = {"Authorization": "env:SHOP_TOKEN"}
    assert len(api(tmp_path, f"{address}/api/private", rows="items", headers=headers)) == 2
    with pytest.raises(BackendError, match="the server answered 401"):
        api(tmp_path, f"{address}/api/private", rows="items")
    with pytest.raises(InvalidInput, match="on another server"):
        api(tmp_path, f"{address}/api/away", rows="items", next="next", headers=headers)
    with pytest.raises(BackendError, match=r"redirects to http://127\.0\.0\.2"):
        api(tmp_path, f"{address}/elsewhere/x?to=http://127.0.0.2:1/", headers=headers)


@pytest.mark.parametrize(
    ("path", "how", "sentence"),
    [
        ("/api/next", {"rows": "item"}, "is no list of objects at 'item'. Did you mean 'items'"),
        ("/api/next", {}, "is no list of objects as a whole"),
        ("/files/rows.csv", {}, "is no JSON"),
        ("/api/loop", {"rows": "items", "next": "next"}, "names a page again"),
    ],
)
def test_an_answer_that_does_not_fit_is_said(
    tmp_path: Path, address: str, path: str, how: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        api(tmp_path, address + path, **how)


def test_an_api_is_asked_for_what_is_newer(tmp_path: Path, address: str) -> None:
    found = api(tmp_path, f"{address}/api/pages", Ask(column="seen", since=6), page="page", since="updated_since")
    assert found == [{"id": 2, "seen": 6}]
    assert asked(tmp_path)[0] == "/api/pages?updated_since=6&page=1"


def test_no_secret_is_in_a_message_or_a_log(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="httpx")
    monkeypatch.setenv("WHERE", f"{address}/files/none.csv?api_key=hunter2")
    with pytest.raises(NotFound) as told:
        rows(tmp_path, "env:WHERE")
    assert "api_key=***" in str(told.value)
    assert "hunter2" not in caplog.text + str(told.value)
    assert "none.csv" in caplog.text
    for text in (
        "postgresql+psycopg://ada:hunter2@127.0.0.1:9/shop",
        "mysql://ada:hunter2@",
        "hunter2",
        "x://a:hunter2@b:z/",
    ):
        monkeypatch.setenv("SHOP_DB", text)
        with pytest.raises(SlipwayError) as refused:
            sql(tmp_path, "env:SHOP_DB", "orders")
        problem: BaseException | None = refused.value
        while problem is not None:
            assert "hunter2" not in str(problem), text
            problem = problem.__cause__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:hunter2@host/db", "postgresql://ada:***@host/db"),
        ("postgresql://ada:hun/t@er2@host/db", "postgresql://ada:***@host/db"),
        ("https://host:80/a@b?x=1", "https://host:80/a@b?x=1"),
        ("https://u:pw@host/a?api_token=zz&b=2", "https://u:***@host/a?api_token=***&b=2"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("env:SHOP_DB", "env:SHOP_DB"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown
    for secret in secrets_of([url]):
        assert secret not in shown
        assert scrubbed(f"cannot open {url}", secrets_of([url])) == f"cannot open {shown}"


def shop(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("url", "query", "kind", "sentence"),
    [
        ("sqlite:///none.db", "orders", NotFound, "There is no SQLite file"),
        ("sqlite:///shop.db", "select from", InvalidInput, "cannot be run: near"),
        ("sqlite:///shop.db", "none", InvalidInput, "no such table"),
        ("sqlite:///shop.db", "select id, id from orders", InvalidInput, "two columns 'id'"),
        ("sqlite:///shop.db", "select name from orders", InvalidInput, "column 'name' .* holds int and str"),
        ("strange://host/db", "orders", InvalidSetting, "knows no database"),
        ("env:NOT_SET", "orders", InvalidSetting, "environment variable NOT_SET is not set"),
        ("oracle+oracledb://host/db", "orders", MissingExtra, "needs the module 'oracledb'"),
    ],
)
def test_a_query_that_cannot_be_read_is_said(
    tmp_path: Path, url: str, query: str, kind: type[SlipwayError], sentence: str
) -> None:
    shop(tmp_path, "create table orders (id integer, name)", "insert into orders values (1, 'a'), (2, 3)")
    with pytest.raises(kind, match=sentence):
        sql(tmp_path, url, query)


def test_a_query_may_hold_colons_and_percent_signs(tmp_path: Path) -> None:
    shop(tmp_path, "create table orders (id integer, at text)", "insert into orders values (1, '10:30'), (2, ' :x')")
    query = "select id, at, ':b' as b from orders where at like '% :x' or at = '10:30'"
    found = sql(tmp_path, "sqlite:///shop.db", query, Ask(column="id", since=2))
    assert found.to_dicts() == [{"id": 2, "at": " :x", "b": ":b"}]


def test_batches_of_one_column_become_one_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.backends.sql_source.BATCH_ROWS", 2)
    shop(
        tmp_path,
        "create table t (id integer, a, b)",
        "insert into t values (1, null, 1), (2, null, 2), (3, 'x', 1.5), (4, null, 2), (5, 'y', null)",
    )
    found = sql(tmp_path, "sqlite:///shop.db", "t", Ask(order=("id",)))
    assert found["a"].to_list() == [None, None, "x", None, "y"]
    assert found["b"].to_list() == [1.0, 2.0, 1.5, 2.0, None]
    shop(tmp_path, "insert into t values (6, null, null), (7, 8, null)")
    with pytest.raises(InvalidInput, match=r"'a' .* holds String in some rows and Int64 in others"):
        sql(tmp_path, "sqlite:///shop.db", "t", Ask(order=("id",)))


LIMITED = """
import resource, sys
from pathlib import Path
from slipway import plugins
from slipway.ports.source import Ask
from slipway.records.sources import FilesSource, SqlSource
kind, folder = sys.argv[1], Path(sys.argv[2])
spec = SqlSource(url="sqlite:///shop.db", query="t") if kind == "sql" else FilesSource(paths=("t.csv",))
reader = plugins.load("source", kind)(spec, folder)
(folder / kind).mkdir()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
got = reader.read(Ask(), folder / kind)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.full
def test_memory_is_bounded_by_batches(tmp_path: Path) -> None:
    """600,000 rows of 200 bytes of text are 120 MB at the least; reading them takes less than that."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table t (id integer, text text)")
        connection.executemany("insert into t values (?, ?)", ((i, f"{i:0200d}") for i in range(600_000)))
    connection.close()
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, "sql", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) < 100
    assert len(list((tmp_path / "sql").glob("*.parquet"))) == 12


@pytest.mark.full
def test_the_types_of_postgresql_come_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg: make test-all installs it")
    url = "postgresql://127.0.0.1:5432/test"
    try:
        sql(tmp_path, url, "select 1 as one")
    except Unavailable:
        pytest.skip("needs PostgreSQL: docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres")
    query = """
        select 1::int as i, 1.50::numeric as n, true as b, 'x'::text as t, '{"a": [1]}'::jsonb as j, array[1, 2] as l,
            timestamptz '2020-01-01 10:00+02' as at, timestamp '2020-01-01 10:00' as wall, date '2020-01-02' as d,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, interval '2 hours' as v, '\\xff'::bytea as y, null as z
    """
    found = sql(tmp_path, url, query).row(0, named=True)
    assert found["at"] == datetime(2020, 1, 1, 8, tzinfo=UTC)
    assert (found["i"], found["n"], found["b"], found["t"]) == (1, Decimal("1.50"), True, "x")
    assert (json.loads(found["j"]), json.loads(found["l"])) == ({"a": [1]}, [1, 2])
    assert found["wall"] == datetime(2020, 1, 1, 10)
    assert (found["u"], found["y"], found["z"]) == ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b"\xff", None)
    with pytest.raises(InvalidInput, match="cannot be run: relation"):
        sql(tmp_path, url, "select * from nowhere_at_all")
