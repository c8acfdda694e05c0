"""The process behind the port that the endpoints of a store share: `python -m slipway.hosts.shared_front STORE`.

It holds the lock and the socket, and keeps one front at work (`hosts.front`). Any endpoint's supervisor starts it when it
is not there; when no endpoint has run for a while it goes. It loads no model and reads no ledger.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from slipway.errors import Conflict, SlipwayError
from slipway.hosts.endpoint import open_reach, start_logging
from slipway.ports.launcher import LOCK_FILE, LOG_FILE
from slipway.serving.front_keeper import FrontKeeper
from slipway.serving.front_routes import is_held
from slipway.serving.supervisor import hold, listen
from slipway.serving.worker_state import DRAIN_S, FINISH_S

__all__ = ["SharedFront", "main"]

_LOOK_EVERY_S = 0.1
_ENSURE_EVERY_S = 0.5
_ALONE_S = 10.0
_logger = logging.getLogger("slipway.serving")


class SharedFront:
    """What a supervisor knows of the shared port.

    Args:
        endpoints: The store's folder of endpoints.
        port: The port.
    """

    def __init__(self, endpoints: Path, port: int) -> None:
        self._endpoints = endpoints
        self.port = port
        self._looked = 0.0
        self._started: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the shared front's process unless it is there."""
        if time.monotonic() - self._looked < _ENSURE_EVERY_S:
            return
        self._looked = time.monotonic()
        if self._started is not None:
            self._started.poll()  # it is collected when it ends; it outlives this process otherwise
        if is_held(self._endpoints):
            return
        with (self._endpoints / LOG_FILE).open("ab") as log:
            self._started = subprocess.Popen(
                [sys.executable, "-P", "-m", "slipway.hosts.shared_front", str(self._endpoints.parent)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def main(arguments: list[str]) -> int:
    """Keep a front on the shared port until told to stop, or until no endpoint runs; returns the process's exit code."""
    start_logging()
    endpoints = Path(arguments[0]).resolve() / "endpoints"
    try:
        with hold(endpoints):
            return _keep(endpoints)
    except Conflict:
        return 0  # another one was first
    except SlipwayError as problem:
        _logger.error("The shared port cannot be had: %s", problem)
        return 1


def _keep(endpoints: Path) -> int:
    reach = open_reach(endpoints / "any" / "any")
    listener = listen(reach.host, reach.port)
    stopping = renewing = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    def renew(*_: object) -> None:
        nonlocal renewing
        renewing = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, renew)

    def command(listener: int, slot: int, tells: int) -> list[str]:
        numbers = (str(number) for number in (listener, slot, tells, os.getpid()))
        return [sys.executable, "-P", "-m", "slipway.hosts.front", str(endpoints), *numbers, "shared"]

    keeper = FrontKeeper(listener, command, endpoints)
    needed = time.monotonic()
    while not stopping and time.monotonic() - needed < _ALONE_S:
        keeper.look()
        if renewing:
            renewing = False
            keeper.start()
        if any(is_held(path.parent) for path in endpoints.glob(f"*/*/{LOCK_FILE}")):
            needed = time.monotonic()
        select.select([], [], [], _LOOK_EVERY_S)
    keeper.tell_to_stop()
    keeper.wait(DRAIN_S + FINISH_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
