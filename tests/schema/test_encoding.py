"""Training rows and requests become the same numbers."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.records.schema import Field, Signature
from slipway.schema.encoding import encode_frame, encode_rows, is_null

SIGNATURE = Signature(
    (
        Field("distance", "int"),
        Field("wind", "float"),
        Field("wet", "bool"),
        Field("carrier", "category", True, ("AA", "UA", "")),
    ),
    (),
)
SCHEMA = {"distance": pl.Int64, "wind": pl.Float64, "wet": pl.Boolean, "carrier": pl.String}

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_subnormal=True),
        st.none() | st.booleans(),
        st.none() | st.sampled_from(["AA", "UA", "", "unknown"]),
    )
)


@given(rows)
@settings(deadline=None)
def test_a_frame_and_its_rows_give_the_same_bits(values: list[tuple]) -> None:
    frame = pl.DataFrame(values, schema=SCHEMA, orient="row")
    shuffled = frame.select("carrier", "wet", "distance", "wind").with_columns(extra=pl.lit("other"))
    assert encode_rows(SIGNATURE, frame.rows()).tobytes() == encode_frame(SIGNATURE, shuffled).tobytes()


@given(rows)
@settings(deadline=None, max_examples=40)
def test_rows_beside_it_never_change_a_row(values: list[tuple]) -> None:
    many = values * 3 + [(1, 2.0, True, "AA")] * 9
    alone = np.concatenate([encode_rows(SIGNATURE, [row]) for row in many])
    assert encode_rows(SIGNATURE, many).tobytes() == alone.tobytes()


@given(rows)
@settings(deadline=None, max_examples=40)
def test_pandas_gives_the_same_bits(values: list[tuple]) -> None:
    frame = pl.DataFrame(values, schema=SCHEMA, orient="row")
    other = pd.DataFrame(
        {
            "distance": pd.Series([v[0] for v in values], dtype="Int64"),
            "wind": pd.Series([v[1] for v in values], dtype="float64"),
            "wet": pd.Series([v[2] for v in values], dtype="boolean"),
            "carrier": pd.Series([v[3] for v in values], dtype="str"),
        }
    )
    assert encode_frame(SIGNATURE, other).tobytes() == encode_frame(SIGNATURE, frame).tobytes()


def test_what_each_type_becomes() -> None:
    encoded = encode_rows(SIGNATURE, [[3, 2.5, True, "UA"], [None, None, None, None], [1, 7, False, "ZZ"]])
    assert encoded.dtype == np.float64
    assert encoded[0].tolist() == [3.0, 2.5, 1.0, 1.0]
    assert np.isnan(encoded[1]).all()
    assert encoded[2, :3].tolist() == [1.0, 7.0, 0.0]
    assert math.isnan(encoded[2, 3])


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["UA", "AA"])])
def test_codes_are_those_of_the_signature_whatever_the_frame_calls_them(dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"carrier": ["UA", "AA", None]}, schema={"carrier": dtype})
    only = Signature((SIGNATURE.inputs[3],), ())
    assert encode_frame(only, frame)[:2, 0].tolist() == [1.0, 0.0]


def test_a_text_for_a_number_names_row_and_input() -> None:
    with pytest.raises(
        InvalidInput, match=r"Row 1 gives '7' for 'wind'.*takes it as float.*Give a number or null"
    ) as e:
        encode_rows(SIGNATURE, [[1, 1.0, True, "AA"], [1, "7", True, "AA"]])
    assert e.value.field == "wind"
    good = [1, 1.0, True, "AA"]
    with pytest.raises(InvalidInput, match="Row 30 gives '7' for 'wind'"):
        encode_rows(SIGNATURE, [*[good] * 30, [1, "7", True, "AA"]])
    with pytest.raises(InvalidInput, match=r"Row 8 gives .* for 'distance'"):
        encode_rows(SIGNATURE, [*[good] * 8, [10**400, 1.0, True, "AA"]])
    assert encode_rows(SIGNATURE, [*[good] * 30, [np.int64(1), np.float32(1), np.bool_(True), "AA"]])[30].tolist() == [
        1.0, 1.0, 1.0, 0.0,
    ]  # fmt: skip


def test_a_number_for_a_category_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Row 0 gives 3 for 'carrier'"):
        encode_rows(SIGNATURE, [[1, 1.0, True, 3]])
    with pytest.raises(InvalidInput, match="column 'carrier' is of type Int64"):
        encode_frame(SIGNATURE, pl.DataFrame({"carrier": [1], "wet": [True], "wind": [1.0], "distance": [1]}))


def test_a_short_row_and_a_missing_column_are_named() -> None:
    with pytest.raises(InvalidInput, match="Row 0 has 2 values"):
        encode_rows(SIGNATURE, [[1, 2.0]])
    with pytest.raises(InvalidInput, match=r"no column 'distance'.*Did you mean 'distances'"):
        encode_frame(SIGNATURE, pl.DataFrame({"distances": [1]}))


@pytest.mark.parametrize("kind", ["datetime", "date", "duration", "object", "string"])
def test_types_without_a_number_are_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match="Derive a feature from it"):
        encode_rows(Signature((Field("at", kind),), ()), [])  # type: ignore[arg-type]


def test_what_counts_as_missing() -> None:
    assert all(is_null(value) for value in (None, float("nan"), np.float64("nan"), pd.NA, pd.NaT))
    assert not any(is_null(value) for value in (0, False, "", "nan", 0.0, float("inf"), np.int64(0)))
