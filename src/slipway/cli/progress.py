"""How a pipeline's steps stand, while it runs: one line at the bottom of a terminal, or lines as it goes along elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Any

import click

from slipway.records.runs import StepRun

__all__ = ["progress"]

_EVERY_S = 0.2
_CLEAR = "\r\x1b[K"
_ORDER = (("finished", "done"), ("cached", "found stored"), ("failed", "failed"), ("waiting", "waiting"))


@contextmanager
def progress() -> Iterator[Callable[[StepRun, str], None]]:
    """Show inside the block what is told of steps: their records, and what to call them."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    line = _BottomLine(sys.stderr)
    with line:
        yield line


class _Lines:
    """Says when a step begins, and when one fails; the run itself says how each ended."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def __call__(self, record: StepRun, called: str) -> None:
        if record.state == "running" and record.id not in self._begun:
            self._begun.add(record.id)
            click.echo(f"{called}: begins ({record.reason})", err=True)
        elif record.state == "failed" and record.error is not None:
            told = record.error.told.partition("\n")[0]
            click.echo(f"{called}: failed after {record.seconds:.1f} s: {told}", err=True)


class _BottomLine:
    """Draws one line below everything that is printed."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._states: dict[str, str] = {}
        self._running: dict[str, tuple[str, float]] = {}
        self._started = time.monotonic()
        self._over = threading.Event()
        self._is_drawn = False
        self.is_amid = False  # a line that is printed: it is not drawn over
        self._former: list[tuple[str, Any, Any]] = []

    def __call__(self, record: StepRun, called: str) -> None:
        with self._lock:
            self._states[record.id] = record.state
            if record.state == "running":
                self._running.setdefault(record.id, (called, time.monotonic()))
            else:
                self._running.pop(record.id, None)

    def text(self) -> str:
        """The line: how many steps are where, and what runs for how long."""
        with self._lock:
            counted = Counter(self._states.values())
            now = time.monotonic()
            parts = [f"{counted[state]} {word}" for state, word in _ORDER if counted[state]]
            running = [f"{name} {now - since:.0f} s" for name, since in self._running.values()]
        if running:
            parts.append(f"running: {', '.join(running)}")
        return f"[{now - self._started:.0f} s] {', '.join(parts) or 'begins'}"

    def __enter__(self) -> None:
        for name in ("stdout", "stderr"):
            former = getattr(sys, name)
            if former.isatty():
                ours = _Above(former, self)
                setattr(sys, name, ours)
                self._former.append((name, former, ours))
        threading.Thread(target=self._work, name="slipway-progress", daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.clear()
        for name, former, ours in self._former:
            if getattr(sys, name) is ours:
                setattr(sys, name, former)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        with self._lock:
            if self._is_drawn:
                self._terminal.write(_CLEAR)
                self._terminal.flush()
                self._is_drawn = False

    def _work(self) -> None:
        while not self._over.wait(_EVERY_S):
            with self._lock:
                if not self._over.is_set() and not self.is_amid:
                    width = get_terminal_size().columns
                    self._terminal.write(_CLEAR + self.text()[: width - 1] + "\r")
                    self._terminal.flush()
                    self._is_drawn = True


class _Above:
    """A text stream that takes the bottom line away before it writes."""

    def __init__(self, stream: Any, line: _BottomLine) -> None:
        self._stream = stream
        self._line = line

    def write(self, text: str) -> int:
        self._line.clear()
        written: int = self._stream.write(text)
        if text:
            self._line.is_amid = not text.endswith("\n")
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
