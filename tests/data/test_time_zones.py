"""Instants in a time zone other than UTC are synced, checked, upserted and compared like any others."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from slipway.data.checks import between
from slipway.data.declare import table
from slipway.data.sources import files
from slipway.data.sync import sync
from slipway.data.table_checks import fresh
from slipway.data.write import write
from slipway.errors import InvalidInput, StepFailed
from slipway.ports.workspace import Workspace
from slipway.tables.versions import head, read

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(*days: int, year: int = 2012) -> pl.Series:
    return pl.Series([datetime(year, 6, day) for day in days], dtype=pl.Datetime("us")).dt.replace_time_zone(
        "Europe/Berlin"
    )


@pytest.mark.parametrize("key", ["id", None])
def test_a_watermark_and_a_time_may_be_in_any_zone(
    workspace: Workspace, tmp_path: Path, said: list[str], key: str | None
) -> None:
    @table(key=key, time="at", watermark="at", source=files("rows.parquet"))
    def visits() -> Any: ...

    for days in ([1, 2], [1, 2, 3]):
        pl.DataFrame({"id": days, "at": berlin(*days)}).write_parquet(tmp_path / "rows.parquet")
        assert sync(workspace, visits, tmp_path).state == "made"
    assert head(workspace, "visits").data_until == datetime(2012, 6, 2, 22, tzinfo=UTC)
    pl.DataFrame({"id": [9, 3], "at": berlin(9, 3, year=2100)}).write_parquet(tmp_path / "rows.parquet")
    assert sync(workspace, visits, tmp_path).state == "made"
    assert any("2 rows have a at in the future" in words for words in said)
    assert sorted(read(workspace, "visits").collect()["id"]) == ([1, 2, 3, 9] if key else [1, 2, 3, 3, 9])


def test_a_function_is_asked_from_a_watermark_in_any_zone_on(workspace: Workspace, tmp_path: Path) -> None:
    asked: list[datetime | None] = []

    @table(key="id", watermark="at")
    def visits(since: datetime | None) -> pl.DataFrame:
        asked.append(since)
        return pl.DataFrame({"id": [1, 2], "at": berlin(1, 2)})

    for _ in range(2):
        sync(workspace, visits, tmp_path)
    assert asked == [None, datetime(2012, 6, 2, tzinfo=BERLIN)]


def test_a_watermark_without_a_zone_where_there_was_one_is_a_sentence(workspace: Workspace, tmp_path: Path) -> None:
    @table(key="id", watermark="at", source=files("rows.parquet"))
    def visits() -> Any: ...

    pl.DataFrame({"id": [1], "at": berlin(1)}).write_parquet(tmp_path / "rows.parquet")
    sync(workspace, visits, tmp_path)
    pl.DataFrame({"id": [1], "at": [datetime(2012, 6, 9)]}).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InvalidInput, match=r"The watermark 'at' of rows\.parquet is Datetime.* now, and was"):
        sync(workspace, visits, tmp_path)


@pytest.mark.parametrize("zone", [UTC, BERLIN])
def test_bounds_and_columns_may_be_in_different_zones(workspace: Workspace, zone: Any) -> None:
    bounds = between("at", datetime(2012, 6, 1, 12, tzinfo=zone), datetime(2012, 6, 9, tzinfo=zone), severity="warn")

    @table(key="id", time="at", checks=[bounds, fresh("at", "9999d")])
    def visits() -> Any: ...

    made = write(workspace, visits, pl.DataFrame({"id": [1, 2], "at": berlin(1, 2)}))
    assert next((check.failed_rows, check.passed) for check in made.checks) == (1, False)
    later = pl.DataFrame({"id": [2, 1], "at": berlin(1, 3)})
    write(workspace, visits, later, mode="upsert", newest_wins=True)
    assert read(workspace, "visits").collect()["at"].dt.day().to_list() == [3, 2]


def test_a_column_that_a_function_asks_for_in_vain_is_its_failure(workspace: Workspace, tmp_path: Path) -> None:
    pl.DataFrame({"id": [1]}).write_parquet(tmp_path / "rows.parquet")

    @table(source=files("rows.parquet"))
    def visits(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.with_columns(twice=pl.col("ids") * 2)

    with pytest.raises(StepFailed, match="'visits' raised ColumnNotFoundError"):
        sync(workspace, visits, tmp_path)
