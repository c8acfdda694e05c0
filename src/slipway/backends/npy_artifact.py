"""NumPy arrays and scalars as .npy."""

import io
from typing import Any

import numpy as np

from slipway.errors import Corrupt, InvalidInput

__all__ = ["NpyArtifact"]


class NpyArtifact:
    """Arrays of plain types, of any shape; scalars as arrays without dimensions."""

    @staticmethod
    def variant(value: Any) -> str:
        """See `ArtifactFormat.variant`."""
        return "scalar" if isinstance(value, np.generic) else "ndarray"

    @staticmethod
    def encode(value: Any) -> bytes:
        """See `ArtifactFormat.encode`."""
        if type(value) is not np.ndarray and not isinstance(value, np.generic):
            raise InvalidInput(
                f"A {type(value).__name__} is more than a plain array.", fix="Convert it with np.asarray(...)."
            )
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise InvalidInput("An array of objects cannot be kept as .npy.", fix="Give it a plain dtype.")
        sink = io.BytesIO()
        np.save(sink, array, allow_pickle=False)
        return sink.getvalue()

    @staticmethod
    def decode(data: bytes, variant: str) -> Any:
        """See `ArtifactFormat.decode`."""
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError) as problem:
            raise Corrupt(f"A stored array cannot be read as .npy: {problem}.") from problem
        return array[()] if variant == "scalar" else array
