from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest

from slipway.errors import InvalidInput
from slipway.records.schema import Field
from slipway.schema.types import fields_of, frame_of, polars_schema


def test_columns_become_fields_with_nulls_and_categories() -> None:
    frame = pl.DataFrame(
        {"n": [1, 2], "x": [1.0, None], "s": ["a", "b"], "e": ["b", "a"], "c": ["z", "y"]},
        schema_overrides={"n": pl.Int16, "x": pl.Float32, "e": pl.Enum(["b", "a"]), "c": pl.Categorical},
    ).with_columns(at=pl.lit(datetime(2013, 1, 1, tzinfo=UTC)), wall=pl.lit(datetime(2013, 1, 1)))
    assert fields_of(frame) == (
        Field("n", "int", False),
        Field("x", "float", True),
        Field("s", "string", False),
        Field("e", "category", False, ("b", "a")),
        Field("c", "category", False, ("y", "z")),
        Field("at", "datetime", False),
        Field("wall", "object", False),
    )


def test_a_lazy_frame_has_the_same_types_but_nobody_looked_for_nulls() -> None:
    frame = pl.DataFrame({"n": [1], "c": ["z"]}, schema_overrides={"c": pl.Categorical})
    assert fields_of(frame.lazy()) == (Field("n", "int"), Field("c", "category", True, ("z",)))


def test_fields_become_polars_types_that_give_the_same_fields() -> None:
    fields = (
        Field("b", "bool"),
        Field("n", "int"),
        Field("x", "float"),
        Field("s", "string"),
        Field("c", "category", True, ("b", "a")),
        Field("at", "datetime"),
        Field("d", "date"),
        Field("u", "duration"),
        Field("o", "object"),
    )
    assert fields_of(pl.DataFrame(schema=polars_schema(fields))) == fields


def test_pandas_frames_are_read_and_their_nan_is_null() -> None:
    frame = frame_of(pd.DataFrame({"x": [1.0, float("nan")], "s": ["a", None]}, index=[5, 6]))
    assert frame.to_dict(as_series=False) == {"x": [1.0, None], "s": ["a", None]}


def test_what_is_no_frame_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^What flights\(\) returned is a builtins\.list\."):
        frame_of([1, 2], "What flights() returned")


def test_a_pandas_column_of_mixed_types_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one type each"):
        frame_of(pd.DataFrame({"x": pd.Series([1, "a", object()], dtype=object)}))


NOON = datetime(2020, 1, 1, 12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([date(2020, 1, 1), NOON], "dates and datetimes without a time zone"),
        ([date(2020, 1, 1), None, NOON.replace(tzinfo=UTC)], "dates and datetimes with a time zone"),
        ([NOON, pd.NaT, NOON.replace(tzinfo=UTC)], "datetimes with a time zone and datetimes without a time zone"),
        ([timedelta(1), 5], "durations and values of int"),
        ([b"a", "b"], "bytes and values of str"),
    ],
)
def test_a_pandas_column_is_not_changed_into_the_kind_of_its_first_value(values: list[Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=f"the column 'x' holds {words}"):
        frame_of(pd.DataFrame({"x": pd.Series(values, dtype=object)}))


@pytest.mark.parametrize(
    "values",
    [
        [date(2020, 1, 1), None, pd.NaT, pd.NA],
        [NOON, pd.Timestamp(NOON), None],
        [pd.Timestamp("2020-01-01T00:00Z"), NOON.astimezone(timezone(timedelta(hours=5)))],
        [timedelta(1), pd.Timedelta(1, "h"), None],
    ],
)
def test_a_pandas_column_of_one_kind_and_gaps_is_read(values: list[Any]) -> None:
    frame = frame_of(pd.DataFrame({"x": pd.Series(values, dtype=object)}))
    assert frame["x"].to_list() == [None if pd.isna(value) else value for value in values]


@pytest.mark.parametrize("values", [pd.Series([2**70, 1], dtype=object), pd.Series([1 + 2j])])
def test_a_pandas_column_of_a_type_that_no_table_has_is_refused(values: Any) -> None:
    with pytest.raises(InvalidInput, match="one type each"):
        frame_of(pd.DataFrame({"x": values}))


def test_two_pandas_columns_of_one_name_are_told_by_it() -> None:
    with pytest.raises(InvalidInput, match="with two columns 'v'") as caught:
        frame_of(pd.DataFrame([[1, 2, 3]], columns=["id", "v", "v"]))
    assert caught.value.fix.startswith("Rename or drop one")
