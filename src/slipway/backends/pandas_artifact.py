"""pandas frames and series as Parquet, index included."""

import io
from typing import Any

import pandas as pd
import pyarrow  # noqa: F401  # pandas writes Parquet by it

from slipway.errors import Corrupt, InvalidInput

__all__ = ["PandasArtifact"]


class PandasArtifact:
    """DataFrame and Series whose types Parquet keeps; what does not come back equal is refused."""

    @staticmethod
    def variant(value: Any) -> str:
        """See `ArtifactFormat.variant`."""
        index = getattr(value, "index", None)
        # Parquet keeps each instant of an index and not that they are a day apart.
        freq = index.freqstr if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None
        return f"{type(value).__name__}:{freq}" if freq else type(value).__name__

    @staticmethod
    def encode(value: Any) -> bytes:
        """See `ArtifactFormat.encode`."""
        if type(value) not in (pd.DataFrame, pd.Series):
            raise InvalidInput(
                f"A {type(value).__name__} of pandas cannot be kept as Parquet.", fix="Use a DataFrame or a Series."
            )
        frame = value.to_frame() if isinstance(value, pd.Series) else value
        sink = io.BytesIO()
        try:
            frame.to_parquet(sink)
            data = sink.getvalue()
            back = _read(data, PandasArtifact.variant(value))
            pd.testing.assert_frame_equal(back, frame, check_exact=True, check_column_type=True)
        except (
            ImportError,
            ValueError,
            TypeError,
            ArithmeticError,
            NotImplementedError,
            AssertionError,
            OSError,
        ) as problem:
            raise InvalidInput(
                f"This pandas frame does not come back equal from Parquet: {problem}",
                fix="Give its columns plain types and text names.",
            ) from problem
        return data

    @staticmethod
    def decode(data: bytes, variant: str) -> Any:
        """See `ArtifactFormat.decode`."""
        try:
            frame = _read(data, variant)
        except (ValueError, OSError) as problem:
            raise Corrupt(f"A stored pandas frame cannot be read: {problem}.") from problem
        return frame.iloc[:, 0] if variant.partition(":")[0] == "Series" else frame


def _read(data: bytes, variant: str) -> pd.DataFrame:
    frame = pd.read_parquet(io.BytesIO(data))
    if freq := variant.partition(":")[2]:
        frame.index.freq = freq
    return frame
