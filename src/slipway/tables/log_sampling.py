"""Which rows of an endpoint are logged: the same decision in every process, at every time, and for a label as for its row."""

from blake3 import blake3

__all__ = ["drawn", "is_logged"]

_SALT = b"slipway prediction log\0"


def is_logged(name: str, sample: float) -> bool:
    """Whether what is called so is among a share of all. A greater share has all that a smaller one has.

    It has nothing to do with the arms of a roll-out, which are drawn by other hashes.

    Args:
        name: The row's key as the log has it, its id where it has none.
        sample: The share.
    """
    return drawn(name) < sample


def drawn(name: str) -> float:
    """The number from 0 to below 1 that decides it: a row is among every share that is greater."""
    hashed = blake3(_SALT + name.encode()).digest(length=8)
    return (int.from_bytes(hashed, "big") >> 11) / 2**53
