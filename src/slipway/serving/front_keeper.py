"""Keeps one front process at work on a listening socket, and lets another one take over without a client noticing."""

import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["LEAVES_WITHIN_S", "FrontKeeper"]

LEAVES_WITHIN_S = 90.0
"""A front that was replaced waits so long for clients that keep a connection without a word."""

_READY_WITHIN_S = 20.0
_MAX_PAUSE_S = 5.0
_logger = logging.getLogger("slipway.serving")


class FrontKeeper:
    """Starts, replaces and stops fronts.

    Args:
        listener: What they accept on; it stays open here, so that a front that is killed refuses nobody for long.
        command: The command of a front: the listener's file descriptor, the slot for its figures, and a descriptor to
            which it writes once it accepts.
        folder: Its current folder: short paths lead from there to the workers' sockets.
    """

    def __init__(
        self, listener: socket.socket, command: Callable[[int, int, int], Sequence[str]], folder: Path
    ) -> None:
        self._listener = listener
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._slot = 0
        self._tries = 0
        self._due = 0.0
        self._started = 0.0
        self.restarts = 0

    @property
    def is_up(self) -> bool:
        """Whether a front is at work."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> bool:
        """Start a front, or another one in place of the present one; whether it accepts connections now.

        The former one accepts nothing more, answers what it was asked, lets answers end their connections, and goes when
        its clients have gone.
        """
        former, slot = self._process, 1 - self._slot
        told, tells = os.pipe()
        try:
            process = subprocess.Popen(
                self._command(self._listener.fileno(), slot, tells),
                pass_fds=(self._listener.fileno(), tells),
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
            )
        except OSError as problem:
            _logger.error("The front cannot be started: %s", problem)
            os.close(tells)
            os.close(told)
            return False
        os.close(tells)
        accepts = bool(select.select([told], [], [], _READY_WITHIN_S)[0]) and bool(os.read(told, 1))
        os.close(told)
        if not accepts:
            _logger.error("A front did not come up.")
            process.kill()
            process.wait()
            return False
        self._process, self._slot, self._started = process, slot, time.monotonic()
        if former is not None and former.poll() is None:
            former.send_signal(signal.SIGUSR1)
            self._leaving.append(former)
        return True

    def look(self) -> None:
        """Replace a front that has ended."""
        self._leaving = [one for one in self._leaving if one.poll() is None]
        if self.is_up or time.monotonic() < self._due:
            return
        if self._process is not None:
            _logger.error("The front (process %d) ended with %s.", self._process.pid, self._process.returncode)
            self.restarts += 1
            self._tries = 0 if time.monotonic() - self._started > 10 else self._tries + 1
            self._process = None
        if not self.start():
            self._tries += 1
        self._due = time.monotonic() + (0.0 if self._tries <= 1 else min(0.1 * 2**self._tries, _MAX_PAUSE_S))

    def tell_to_stop(self) -> None:
        """Let the front answer what it was asked, and end."""
        self._listener.close()
        for process in self._all():
            process.terminate()

    def wait(self, within_s: float) -> None:
        """Wait until no front is left; one that takes too long is killed."""
        until = time.monotonic() + within_s
        for process in self._all():
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _logger.error("The front did not stop in time and is killed.")
                process.kill()
                process.wait()

    def _all(self) -> list[subprocess.Popen[bytes]]:
        return [*self._leaving, *([self._process] if self._process is not None else [])]
