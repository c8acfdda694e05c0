"""When closed segments of an endpoint's log are made Parquet: by a process of its own, beside the workers.

The supervisor looks; it needs no control plane, and what rolls can be killed at any moment.
"""

import logging
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from slipway.tables.segments import is_closed

__all__ = ["LogRoller"]

_LOOK_EVERY_S = 15.0
_AGAIN_S = 3600.0
_logger = logging.getLogger("slipway.serving")


class LogRoller:
    """Starts the process that rolls, one at a time.

    Args:
        log: The endpoint's log.
        command: Its command; () where nothing can roll here.
        every_s: Seconds of machine time between two looks.
    """

    def __init__(self, log: Path, command: Sequence[str], *, every_s: float = _LOOK_EVERY_S) -> None:
        self._log = log
        self._command = command
        self._every_s = every_s
        self._process: subprocess.Popen[bytes] | None = None
        self._look_at = 0.0
        self._tried: set[str] = set()
        self._tried_until = 0.0

    def look(self) -> None:
        """Start it where there is something to do: a segment that nobody writes to. What it left is tried again later."""
        now = time.monotonic()
        if not self._command or now < self._look_at:
            return
        self._look_at = now + self._every_s
        if self._process is not None and self._process.poll() is None:
            return
        if now > self._tried_until:
            self._tried, self._tried_until = set(), now + _AGAIN_S
        closed = {path.name for path in self._log.glob("*.seg") if _is_there_and_closed(path)}
        if closed - self._tried:
            self._tried |= closed
            try:
                self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
            except OSError as problem:  # it must not end what supervises the workers
                _logger.error("The log in %s cannot be rolled: %s", self._log, problem)


def _is_there_and_closed(path: Path) -> bool:
    try:
        return is_closed(path)
    except FileNotFoundError:
        return False
