"""How one family of values is kept as bytes: frames, arrays, anything else."""

from typing import Any, Protocol

__all__ = ["ArtifactFormat"]


class ArtifactFormat(Protocol):
    """Turns values of one family into bytes and back. Without state; safe for threads.

    Guarantees: `decode(encode(value), variant)` equals the value, in type, names, order and content; equal values of one
    build of the library give equal bytes.
    """

    @staticmethod
    def variant(value: Any) -> str:
        """What the value is within the family ("DataFrame", "LazyFrame"), as `decode` needs it."""
        ...

    @staticmethod
    def encode(value: Any) -> bytes:
        """The value as bytes.

        Raises:
            InvalidInput: This value cannot be kept so that an equal one comes back.
        """
        ...

    @staticmethod
    def decode(data: bytes, variant: str) -> Any:
        """The value.

        Raises:
            Corrupt: The bytes are not of this format.
        """
        ...
