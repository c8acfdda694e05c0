"""What files, queries and APIs hold beside plain rows: nothing is changed without a word, and every refusal is one."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.backends.api_source import ApiReader
from slipway.backends.delta_source import DeltaReader
from slipway.backends.files_source import FilesReader
from slipway.backends.sql_source import SqlReader
from slipway.errors import InvalidInput, Unavailable
from slipway.ports.source import Ask, Source
from slipway.records.sources import ApiSource, DeltaSource, FilesSource, SqlSource
from web_server import serving

LARGE = 2**53 + 1


def taken(source: Source, folder: Path, ask: Ask | None = None) -> pl.DataFrame:
    scratch = folder / f"scratch{len(list(folder.glob('scratch*')))}"
    scratch.mkdir()
    got = source.read(ask or Ask(), scratch)
    assert got is not None
    return got.rows.collect()


def files(folder: Path, *paths: str) -> pl.DataFrame:
    return taken(FilesReader(FilesSource(paths=paths, format=""), folder), folder)


def sql(folder: Path, query: str, order: tuple[str, ...] = ()) -> pl.DataFrame:
    return taken(SqlReader(SqlSource(url="sqlite:///shop.db", query=query), folder), folder, Ask(order=order))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table orders (id integer, v)")
        database.executemany("insert into orders values (?, ?)", [(1, LARGE), (2, 1.5)])
    database.close()
    return tmp_path


class TestCsv:
    def test_a_file_with_a_header_alone_takes_no_type_from_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("id,v\n1,2.5\n")
        (tmp_path / "b.csv").write_text("id,v\n")
        (tmp_path / "c.csv").write_text("id,v\n3,\n")
        got = files(tmp_path, "*.csv")
        assert got.schema == {"id": pl.Int64, "v": pl.Float64}
        assert got.rows() == [(1, 2.5), (3, None)]

    def test_columns_without_values_have_no_type_whatever_they_are_called(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("id,*,^v$\n1,,x\n2,,y\n")
        assert files(tmp_path, "a.csv").schema == {"id": pl.Int64, "*": pl.Null, "^v$": pl.String}

    @pytest.mark.parametrize("separator", [";", "\t", "|"])
    def test_fields_that_are_not_separated_by_commas_are_no_single_column(self, tmp_path: Path, separator: str) -> None:
        (tmp_path / "a.csv").write_text(f"id{separator}v\n1{separator}2\n")
        with pytest.raises(InvalidInput, match="fields are not separated by commas"):
            files(tmp_path, "a.csv")

    def test_lines_that_end_with_a_carriage_return_alone_are_no_header(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"id,v\r1,2\r")
        with pytest.raises(InvalidInput, match="carriage return alone"):
            files(tmp_path, "a.csv")
        (tmp_path / "a.csv").write_bytes(b"id,v\r\n1,2\r\n")
        assert files(tmp_path, "a.csv").rows() == [(1, 2)]


class TestColumnsThatDoNotGoTogether:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (pl.Series("at", [True]), pl.Series("at", [1]).cast(pl.Date)),
            (pl.Series("at", [datetime(2020, 1, 1)]), pl.Series("at", [datetime(2020, 1, 1, tzinfo=UTC)])),
            (
                pl.Series("at", [datetime(2020, 1, 1, tzinfo=UTC)]),
                pl.Series("at", [datetime(2020, 1, 1)]).dt.replace_time_zone("Europe/Berlin"),
            ),
        ],
    )
    def test_types_and_time_zones_that_differ_are_a_sentence(
        self, tmp_path: Path, one: pl.Series, other: pl.Series
    ) -> None:
        one.to_frame().write_parquet(tmp_path / "a.parquet")
        other.to_frame().write_parquet(tmp_path / "b.parquet")
        with pytest.raises(InvalidInput, match=r"The columns of a\.parquet and b\.parquet do not go together"):
            files(tmp_path, "*.parquet")

    def test_large_whole_numbers_do_not_become_other_ones_beside_fractions(self, tmp_path: Path) -> None:
        pl.DataFrame({"v": [LARGE]}).write_parquet(tmp_path / "a.parquet")
        pl.DataFrame({"v": [1.5]}).write_parquet(tmp_path / "b.parquet")
        with pytest.raises(InvalidInput, match=r"The column 'v' of a.* holds whole numbers beyond 2\^53"):
            files(tmp_path, "*.parquet")
        pl.DataFrame({"v": ["x"]}).write_parquet(tmp_path / "c.parquet")
        assert files(tmp_path, "*.parquet")["v"].to_list() == [str(LARGE), "1.5", "x"]
        pl.DataFrame({"v": [-(2**53)]}).write_parquet(tmp_path / "a.parquet")
        assert files(tmp_path, "a.parquet", "b.parquet")["v"].to_list() == [-(2.0**53), 1.5]


class TestQueries:
    def test_large_whole_numbers_do_not_become_other_ones_beside_fractions(
        self, shop: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(
            InvalidInput, match=r"'v' of the query to .* cannot be kept: it holds float and int"
        ) as told:
            sql(shop, "orders")
        assert "beyond 2^53" in told.value.why
        monkeypatch.setattr("slipway.backends.sql_source.BATCH_ROWS", 1)  # each in a batch of its own
        with pytest.raises(InvalidInput, match=r"The column 'v' of the query .* whole numbers beyond 2\^53"):
            sql(shop, "orders")

    def test_two_columns_of_a_name_are_refused_without_rows_too(self, shop: Path) -> None:
        with pytest.raises(InvalidInput, match="has two columns 'id'"):
            sql(shop, "select id, id from orders where id > 9")

    def test_a_query_may_end_in_a_comment(self, shop: Path) -> None:
        assert sql(shop, "select id from orders -- all of them", order=("id",))["id"].to_list() == [1, 2]

    def test_what_is_no_select_changes_nothing(self, shop: Path) -> None:
        with pytest.raises(InvalidInput, match="gives no rows: it is no select"):
            sql(shop, "delete from orders")
        assert sql(shop, "select id from orders").height == 2


class TestApis:
    def answers(self, folder: Path, rows: list[dict[str, Any]], **how: Any) -> pl.DataFrame:
        (folder / "rows.json").write_text(json.dumps(rows))
        with serving(folder) as address:
            return taken(ApiReader(ApiSource(url=f"{address}/files/rows.json", **how), folder), folder)

    def test_a_server_that_does_not_count_pages_is_not_asked_for_ever(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="same rows as page 1 and as page 2") as told:
            self.answers(tmp_path, [{"id": 1}], page="page")
        assert "'page'" in told.value.why
        assert len((tmp_path / "asked.txt").read_text().split()) == 2

    def test_large_whole_numbers_do_not_become_other_ones_beside_fractions(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"The column 'v' of http.* holds whole numbers beyond 2\^53"):
            self.answers(tmp_path, [{"v": 1.5}, {"v": LARGE}])
        assert self.answers(tmp_path, [{"v": 1}, {"v": LARGE}])["v"].to_list() == [1, LARGE]


def test_a_store_that_is_away_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(Unavailable, match=r"^The Delta table s3://shop/orders cannot be read: [^\x1b]*$"):
        taken(DeltaReader(DeltaSource(path="s3://shop/orders", version=None), tmp_path), tmp_path)
