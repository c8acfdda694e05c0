"""Where the endpoints of a store's folder answer, as a file of that folder: read and written without a look at TLS."""

from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.records.reach import Reach

__all__ = ["REACH_FILE", "SERVER_REACH_FILE", "encoded", "read_reach"]

REACH_FILE = "endpoints.reach.json"
"""In the store's folder: where the endpoints of this machine answer, written by `slipway endpoints listen`."""

SERVER_REACH_FILE = "server.reach.json"
"""In the store's folder: where the server that was started last answers, for `slipway doctor --security`."""


def read_reach(store: Path, file: str = REACH_FILE) -> Reach:
    """Where the endpoints of a store's folder answer; on the loopback address where nobody said.

    Args:
        store: The folder.
        file: `REACH_FILE`, or `SERVER_REACH_FILE` for the server that was started last.

    Raises:
        Corrupt: The file is not as it was written.
    """
    path = store / file
    try:
        return msgspec.json.decode(path.read_bytes(), type=Reach)
    except FileNotFoundError:
        return Reach()
    except msgspec.DecodeError as problem:
        raise Corrupt(f"{path} cannot be read: {problem}.", fix="Write it anew: slipway endpoints listen") from problem


def encoded(reach: Reach) -> bytes:
    """What `read_reach` reads."""
    return msgspec.json.format(msgspec.json.encode(reach))
