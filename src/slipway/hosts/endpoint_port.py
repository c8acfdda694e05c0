"""The port that an environment's settings give all endpoints of its store."""

from pathlib import Path

import msgspec

from slipway.serving.reach_file import REACH_FILE, encoded, read_reach
from slipway.whole_files import write_whole

__all__ = ["keep_port"]


def keep_port(root: Path, port: int) -> None:
    """Let all endpoints of a store's folder answer on the port that the settings name, each from its next start.

    Args:
        root: The store's folder.
        port: The port, 0 where the settings name none: then what `slipway endpoints listen` said counts.

    Raises:
        Corrupt: What the folder says of its endpoints cannot be read.
    """
    if not port:
        return
    kept = read_reach(root)
    if kept.port != port:
        root.mkdir(parents=True, exist_ok=True)
        write_whole(root / REACH_FILE, encoded(msgspec.structs.replace(kept, port=port)))
