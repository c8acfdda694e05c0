"""Any other value by pickle: the last resort, flagged wherever it is used."""

import pickle
from typing import Any

from slipway.errors import Corrupt, InvalidInput

__all__ = ["PickleArtifact"]


class PickleArtifact:
    """What pickle takes. Loading runs code of the stored value: only out of one's own store."""

    @staticmethod
    def variant(value: Any) -> str:
        """See `ArtifactFormat.variant`."""
        return f"{type(value).__module__}:{type(value).__qualname__}"

    @staticmethod
    def encode(value: Any) -> bytes:
        """See `ArtifactFormat.encode`."""
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as problem:  # an object's own __reduce__ may raise anything
            raise InvalidInput(
                f"A {type(value).__name__} cannot be stored: {problem}.",
                fix="Return plain values, frames or arrays, or give its class `slipway_save` and `slipway_load`.",
            ) from problem

    @staticmethod
    def decode(data: bytes, variant: str) -> Any:
        """See `ArtifactFormat.decode`."""
        try:
            return pickle.loads(data)
        except Exception as problem:  # an object's own __setstate__ may raise anything
            raise Corrupt(f"A stored {variant} cannot be read: {type(problem).__name__}: {problem}.") from problem
