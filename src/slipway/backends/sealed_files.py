"""Files beside their digest, for libraries that must never see damaged bytes.

LightGBM aborts the process on a model that was cut short, and a pickle may raise anything: the bytes are compared with
their digest before a library reads them. This finds damage, not malice; signatures are the bundle's.
"""

from pathlib import Path

from slipway.errors import Corrupt
from slipway.hashing import digest

__all__ = ["read", "write"]

_SUFFIX = ".blake3"


def write(path: Path, data: bytes) -> None:
    """Write a file, and its digest beside it."""
    path.write_bytes(data)
    path.with_name(path.name + _SUFFIX).write_text(digest(data), encoding="ascii")


def read(path: Path) -> bytes:
    """The bytes of a file that `write` wrote.

    Raises:
        Corrupt: The file or its digest is missing or damaged.
    """
    try:
        data = path.read_bytes()
        expected = path.with_name(path.name + _SUFFIX).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as problem:
        raise Corrupt(f"{path} cannot be read: {problem}.", fix="Save the model again.") from problem
    if digest(data) != expected:
        raise Corrupt(f"{path} is damaged: its bytes do not match their digest.", fix="Save the model again.")
    return data
