"""An endpoint for the time of a measurement: `python -m slipway.hosts.passing_endpoint FOLDER PARENT`.

It is the process behind every endpoint, in a folder of its own, and ends with whoever started it, however that ends.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from threading import Thread

from slipway.hosts import endpoint

__all__ = ["main"]

_LOOK_EVERY_S = 0.5


def main(arguments: list[str]) -> int:
    """Run the endpoint in a folder until told to stop, or until the process that started it has ended."""
    folder, parent = Path(arguments[0]).resolve(), int(arguments[1])
    Thread(target=_outlive, args=(parent,), daemon=True).start()
    ended = endpoint.main([str(folder)])
    if os.getppid() != parent:
        shutil.rmtree(folder.parents[2], ignore_errors=True)  # nobody else is left to clear it away
    return ended


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
