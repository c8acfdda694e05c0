"""Which online store an endpoint's folder names: read by its workers, written when the store is loaded."""

from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.records.endpoints import EMBEDDED, OnlinePlace

__all__ = ["read_place", "write_place"]

_FILE = "online.json"


def read_place(folder: Path) -> OnlinePlace:
    """The place that the folder names; the embedded store where it names none.

    Raises:
        Corrupt: The file does not hold what it should.
    """
    path = folder / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=OnlinePlace)
    except FileNotFoundError:
        return EMBEDDED
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"{path} is damaged: {problem}.", fix="Deploy the endpoint again, which writes it anew."
        ) from problem


def write_place(folder: Path, place: OnlinePlace) -> None:
    """Let the folder name a place, whole or not at all."""
    if place == read_place(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{_FILE}.part"
    part.write_bytes(msgspec.json.encode(place))
    part.rename(folder / _FILE)
