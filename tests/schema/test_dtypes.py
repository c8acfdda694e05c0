import json

import polars as pl
import pytest

from slipway.errors import InvalidInput
from slipway.schema.dtypes import dtype_of, plain_dtype

DTYPES: list[pl.DataType] = [
    pl.Int8(),
    pl.UInt64(),
    pl.Int128(),
    pl.Float32(),
    pl.Boolean(),
    pl.String(),
    pl.Binary(),
    pl.Date(),
    pl.Time(),
    pl.Null(),
    pl.Categorical(),
    pl.Enum(["b", "a"]),
    pl.Decimal(10, 2),
    pl.Datetime("us"),
    pl.Datetime("ns", "America/New_York"),
    pl.Duration("ms"),
    pl.List(pl.Int64),
    pl.Array(pl.Float32, 3),
    pl.Struct({"a": pl.List(pl.Enum(["x"])), "b": pl.Struct({"c": pl.Datetime("us", "UTC")})}),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_type_comes_back_from_plain_values_and_from_json(dtype: pl.DataType) -> None:
    plain = plain_dtype(dtype, "x")
    assert dtype_of(plain) == dtype
    assert dtype_of(json.loads(json.dumps(plain))) == dtype


def test_types_are_told_apart() -> None:
    assert len({str(plain_dtype(dtype, "x")) for dtype in DTYPES}) == len(DTYPES)


def test_what_has_no_plain_form_is_named() -> None:
    with pytest.raises(InvalidInput, match="Column 'x' has the type Unknown"):
        plain_dtype(pl.Unknown(), "x")
