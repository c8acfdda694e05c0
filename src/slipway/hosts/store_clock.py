"""Which business time a store lives in: that of its simulation, otherwise the machine's."""

from pathlib import Path

from slipway import plugins
from slipway.ports.clock import Clock

__all__ = ["CLOCK_FILE", "open_clock"]

CLOCK_FILE = "clock"


def open_clock(root: Path) -> Clock:
    """A store's business time. A simulation's store has a file `clock`, which all its processes read.

    Args:
        root: The store's folder.
    """
    path = root / CLOCK_FILE
    clock: Clock = plugins.load("clock", "file")(path) if path.exists() else plugins.load("clock", "system")()
    return clock
