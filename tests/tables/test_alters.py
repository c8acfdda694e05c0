from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.records.tables import AboutTable
from slipway.schema.fingerprints import of_frame
from slipway.tables.alters import alter
from slipway.tables.catalog import manifest_of
from slipway.tables.part_folders import table_folder
from slipway.tables.upserts import upsert
from slipway.tables.versions import Origin, append, overwrite, read, verify


def start(workspace: Workspace) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"id": [1, 2], "n": [3, None], "x": [0.5, 1.5], "day": [date(2013, 1, 1), None], "none": [None, None]},
        schema_overrides={"n": pl.Int32, "x": pl.Float32},
    )
    overwrite(workspace, "t", frame, key=("id",), origin=Origin(about=AboutTable(personal=("n", "x"))))
    return frame


def files(workspace: Workspace) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in table_folder(workspace, "t").iterdir()}


def test_columns_change_and_no_part_is_written(workspace: Workspace) -> None:
    frame = start(workspace)
    former = files(workspace)
    made = alter(
        workspace,
        "t",
        add={"note": "string"},
        rename={"n": "x", "x": "n"},
        drop=["day"],
        widen={"n": "int64", "none": "date"},
    )
    expected = frame.select(
        "id", pl.col("n").cast(pl.Int64).alias("x"), pl.col("x").alias("n"), pl.col("none").cast(pl.Date)
    ).with_columns(note=pl.lit(None, pl.String))
    assert read(workspace, "t").collect().equals(expected)
    assert read(workspace, "t").select("note").collect().equals(expected.select("note"))
    assert read(workspace, "t").filter(pl.col("n") > 1).collect().equals(expected.filter(pl.col("n") > 1))
    assert made.fingerprint == of_frame(expected)
    assert (made.change, made.added_rows, made.about.personal) == ("alter", 0, ("x", "n"))
    assert (
        made.source
        == "added note (string), renamed n to x, renamed x to n, dropped day, widened n to int64, widened none to date"
    )
    assert files(workspace) == former
    assert verify(workspace, "t") == made


def test_a_rename_reads_no_row(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = start(workspace)
    monkeypatch.setattr(pl.LazyFrame, "collect", None)
    made = alter(workspace, "t", rename={"x": "y", "id": "code"})
    monkeypatch.undo()
    assert read(workspace, "t").collect().equals(frame.rename({"x": "y", "id": "code"}))
    assert manifest_of(workspace, made).key == ("code",)
    assert made.fingerprint == of_frame(read(workspace, "t"))


def test_values_of_a_dropped_column_never_come_back(workspace: Workspace) -> None:
    start(workspace)
    alter(workspace, "t", drop=["x"])
    alter(workspace, "t", add={"x": "float32"})
    assert read(workspace, "t").collect()["x"].to_list() == [None, None]
    alter(workspace, "t", rename={"x": "y"})
    alter(workspace, "t", rename={"n": "x"})
    made = alter(workspace, "t", rename={"x": "n"}, drop=["y"])
    assert read(workspace, "t").collect()["n"].to_list() == [3, None]
    assert made.fingerprint == of_frame(read(workspace, "t"))
    assert manifest_of(workspace, made).field_ids == (1, 2, 4, 5)


def test_old_and_new_parts_are_one_table(workspace: Workspace) -> None:
    frame = start(workspace)
    alter(workspace, "t", add={"at": "datetime"}, rename={"n": "count"}, widen={"n": "int64", "day": "datetime"})
    at = datetime(2013, 1, 1, tzinfo=UTC)
    more = pl.DataFrame(
        {"id": [3], "count": [2**40], "x": [2.0], "day": [at], "none": [None], "at": [at]},
        schema_overrides={"x": pl.Float32, "day": pl.Datetime("us", "UTC"), "at": pl.Datetime("us", "UTC")},
    )
    append(workspace, "t", more)
    upsert(workspace, "t", more.with_columns(id=pl.lit(1, pl.Int64)))
    rows = read(workspace, "t").collect()
    assert rows["count"].to_list() == [2**40, None, 2**40]
    assert rows["day"].to_list() == [at, None, at]
    assert rows["at"].to_list() == [at, None, at]
    made = append(workspace, "t", more.head(0))
    assert made.fingerprint == of_frame(rows)
    assert frame.height == 2


def test_a_part_may_have_lost_all_of_its_columns(workspace: Workspace) -> None:
    overwrite(workspace, "t", pl.DataFrame({"a": [1, 2, 3]}))
    made = alter(workspace, "t", drop=["a"], add={"b": "int64"})
    assert read(workspace, "t").collect().equals(pl.DataFrame({"b": [None] * 3}, schema={"b": pl.Int64}))
    assert read(workspace, "t").select(pl.len()).collect().item() == 3
    assert made.rows == 3


def test_what_changes_nothing_makes_no_version(workspace: Workspace) -> None:
    start(workspace)
    first = alter(workspace, "t", rename={"x": "y"})
    assert alter(workspace, "t", widen={"n": "int32"}) == first
    assert alter(workspace, "t") == first


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"drop": ["id"]}, "cannot be dropped: it is its key"),
        ({"drop": ["idd"]}, "has no column 'idd'. Did you mean 'id'"),
        ({"add": {"x": "int64"}}, "would have two columns 'x'"),
        ({"rename": {"n": "x"}}, "would have two columns 'x'"),
        ({"add": {"z": "integer"}}, "'integer' is no type"),
        ({"widen": {"id": "int32"}}, "int32 does not hold all of its values"),
        ({"widen": {"id": "float64"}}, "float64 does not hold all"),
        ({"widen": {"x": "string"}}, "string does not hold all"),
    ],
)
def test_what_cannot_be_altered_is_said(workspace: Workspace, change: dict[str, object], sentence: str) -> None:
    start(workspace)
    with pytest.raises(InvalidInput, match=sentence):
        alter(workspace, "t", **change)  # type: ignore[arg-type]


def test_a_surprise_names_the_command_that_helps(workspace: Workspace) -> None:
    frame = start(workspace)
    for surprise, fix in [
        (frame.with_columns(gate=pl.lit("A")), "slipway data alter t --add gate:TYPE"),
        (frame.drop("x"), "slipway data alter t --drop x"),
        (frame.with_columns(n=pl.lit(2**40)), "slipway data alter t --widen n:int64"),
        (frame.with_columns(x=pl.lit(0.1)), "slipway data alter t --widen x:float64"),
        (frame.with_columns(n=pl.lit(1.5)), "slipway data alter t --widen n:float64"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            append(workspace, "t", surprise)
        assert fix in caught.value.fix
    assert append(workspace, "t", frame.with_columns(x=pl.lit(0.5))).rows == 4


def test_a_surprise_names_no_command_that_would_be_refused(workspace: Workspace) -> None:
    overwrite(workspace, "t", pl.DataFrame({"x": [0.5]}))
    with pytest.raises(InvalidInput, match="would not be the same") as caught:
        append(workspace, "t", pl.DataFrame({"x": [2**53 + 1]}))
    assert caught.value.fix == "Cast the column, or overwrite the table to change its types."


@pytest.mark.parametrize(
    ("kept", "fits", "loses"),
    [
        ([Decimal("1.10")], [Decimal("1.2"), None], [Decimal("1.234")]),
        ([Decimal("1.10")], [0.5, None], [0.125]),
        ([timedelta(seconds=1)], [timedelta(seconds=2)], [timedelta(microseconds=1)]),
        ([[1, 2]], [[1.0, None], None], [[1.5]]),
        ([{"a": 1}], [{"a": 2.0}], [{"a": 2.5}]),
    ],
)
def test_an_appended_value_is_not_rounded(
    workspace: Workspace, kept: list[Any], fits: list[Any], loses: list[Any]
) -> None:
    rows = pl.DataFrame({"x": kept})
    coarse = rows.with_columns(pl.col("x").dt.cast_time_unit("ms")) if rows["x"].dtype == pl.Duration else rows
    overwrite(workspace, "t", coarse)
    with pytest.raises(InvalidInput, match="a value would not be the same afterwards"):
        append(workspace, "t", pl.DataFrame({"x": loses}))
    append(workspace, "t", pl.DataFrame({"x": fits}))
    assert read(workspace, "t").collect()["x"].to_list() == kept + fits
