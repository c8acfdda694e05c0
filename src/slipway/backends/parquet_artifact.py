"""Polars frames and series as Parquet."""

import io
from typing import Any

import polars as pl

from slipway.errors import Corrupt, InvalidInput

__all__ = ["ParquetArtifact"]

_SERIES_COLUMN = "values"


class ParquetArtifact:
    """DataFrame, LazyFrame and Series. A LazyFrame is collected when it is stored, and comes back lazy."""

    @staticmethod
    def variant(value: Any) -> str:
        """See `ArtifactFormat.variant`. A series' name is part of it."""
        return f"Series:{value.name}" if isinstance(value, pl.Series) else type(value).__name__

    @staticmethod
    def encode(value: Any) -> bytes:
        """See `ArtifactFormat.encode`."""
        if isinstance(value, pl.Series):
            value = value.rename(_SERIES_COLUMN).to_frame()
        elif isinstance(value, pl.LazyFrame):
            value = value.collect()
        if value.width == 0:
            raise InvalidInput("A frame without columns cannot be kept as Parquet.", fix="Give it a column.")
        sink = io.BytesIO()
        try:
            value.write_parquet(sink, compression="zstd", statistics=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as problem:
            raise InvalidInput(
                f"This frame cannot be kept as Parquet: {problem}.", fix="Cast its columns to plain types."
            ) from problem
        return sink.getvalue()

    @staticmethod
    def decode(data: bytes, variant: str) -> Any:
        """See `ArtifactFormat.decode`."""
        try:
            frame = pl.read_parquet(io.BytesIO(data))
        except pl.exceptions.PolarsError as problem:
            raise Corrupt(f"A stored frame cannot be read as Parquet: {problem}.") from problem
        if variant == "LazyFrame":
            return frame.lazy()
        if variant.startswith("Series:"):
            return frame.get_column(_SERIES_COLUMN).rename(variant.removeprefix("Series:"))
        return frame
