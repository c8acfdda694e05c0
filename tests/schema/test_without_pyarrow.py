"""Frames go from Polars to pandas and back without pyarrow as they do with it."""

import sys
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from slipway.errors import InvalidInput
from slipway.schema.types import frame_of

pd = pytest.importorskip("pandas", reason="pip install 'slipway[sklearn]'")
pytest.importorskip("pyarrow", reason="compared with: pip install 'slipway[arrow]'")
frames = pytest.importorskip("slipway.backends.pandas_frames")

AT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "whole": [1, 2, 3],
        "whole_gaps": [1, None, 3],
        "small": pl.Series([1, 2, 3], dtype=pl.Int8),
        "real": [0.5, None, float("nan")],
        "yes": [True, False, True],
        "yes_gaps": [True, None, False],
        "text": ["a", "b", "ä"],
        "text_gaps": ["a", None, ""],
        "day": [date(2026, 1, 1), None, date(1960, 2, 29)],
        "naive": [datetime(2026, 1, 1), None, datetime(1960, 1, 1)],
        "at": pl.Series([AT, None, AT + timedelta(hours=1)], dtype=pl.Datetime("us", "UTC")),
        "there": pl.Series([AT, None, AT + timedelta(hours=1)]).dt.convert_time_zone("Europe/Berlin"),
        "lasted": [timedelta(seconds=1), None, timedelta(days=-1)],
        "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "known": pl.Series(["b", "a", None], dtype=pl.Enum(["b", "a", "c"])),
    }
)


@pytest.mark.parametrize("name", FRAME.columns)
@pytest.mark.parametrize("rows", [3, 0])
def test_a_column_becomes_what_polars_makes_of_it_by_pyarrow(name: str, rows: int) -> None:
    given = FRAME.select(name).head(rows)
    if rows == 0 and FRAME[name].dtype == pl.Categorical:
        pytest.skip("which categories an empty column has is not told alike")
    pd.testing.assert_frame_equal(frames.from_polars(given), given.to_pandas(), check_categorical=False)


@pytest.mark.parametrize("name", FRAME.columns)
def test_and_back(name: str) -> None:
    given = FRAME.select(name).to_pandas()
    assert (
        frames.to_polars(given)
        .cast({pl.Enum: pl.Categorical})
        .equals(pl.from_pandas(given).cast({pl.Enum: pl.Categorical}), null_equal=True)
    )


def test_a_frame_is_taken_where_there_is_no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pd.DataFrame({"plan": ["a", None], "months": [1, 2]}, index=[5, 9])
    mixed = pd.DataFrame({"code": ["a", 1]})

    def refused(frame: object) -> None:
        raise ImportError("pyarrow is required")

    monkeypatch.setattr(pl, "from_pandas", refused)
    assert frame_of(given).to_dicts() == [{"plan": "a", "months": 1}, {"plan": None, "months": 2}]
    with pytest.raises(InvalidInput, match="mix types"):
        frame_of(mixed)


def test_nothing_that_runs_without_pyarrow_imports_it() -> None:
    assert "pyarrow" not in vars(sys.modules["slipway.backends.pandas_frames"])
