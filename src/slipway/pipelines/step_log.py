"""Keeps what the steps of this process print and log, beside showing it as before.

`print`, `sys.stderr` and `logging` are looked at by way of a context variable: of steps that run beside each other each
gets its own. What threads print that a step starts itself, and what C code writes, is shown and not kept; in a process
of its own all of it is kept.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from slipway.ledger.step_output import to_output

__all__ = ["listening"]

_FORMAT = logging.Formatter("%(levelname)s %(name)s: %(message)s")
_lock = threading.Lock()
_listeners = 0
_restore: list[Callable[[], None]] = []


class _Stream:
    """A text stream that also tells the current step what is written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        written: int = self._stream.write(text)
        kept = to_output.get()
        if kept is not None:
            kept.write(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def listening() -> Iterator[None]:
    """What steps print and log inside the block is kept, as far as `to_output` names where."""
    global _listeners
    with _lock:
        _listeners += 1
        if _listeners == 1:
            _restore.extend([_replace_stream("stdout"), _replace_stream("stderr"), _replace_handling()])
    try:
        yield
    finally:
        with _lock:
            _listeners -= 1
            while not _listeners and _restore:
                _restore.pop()()


def _replace_stream(name: str) -> Callable[[], None]:
    former = getattr(sys, name)
    if former is None:  # a program without a terminal
        return lambda: None
    ours = _Stream(former)
    setattr(sys, name, ours)

    def restore() -> None:
        if getattr(sys, name) is ours:  # else somebody replaced it since, and puts it back
            setattr(sys, name, former)

    return restore


def _replace_handling() -> Callable[[], None]:
    """Look at each logged record once, whatever handlers there are.

    A handler of our own would change what a program's `logging.basicConfig` does, and miss loggers that do not propagate.
    """
    former = logging.Logger.callHandlers

    def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        kept = to_output.get()
        if kept is None:
            former(logger, record)
            return
        kept.write(_line(record))
        with to_output.filled(None):  # what a handler prints of it is the same again
            former(logger, record)

    logging.Logger.callHandlers = handle  # type: ignore[method-assign, assignment]

    def restore() -> None:
        if cast("Any", logging.Logger.callHandlers) is handle:
            logging.Logger.callHandlers = former  # type: ignore[method-assign]

    return restore


def _line(record: logging.LogRecord) -> str:
    try:
        return _FORMAT.format(record) + "\n"
    except Exception as problem:  # as logging itself: a message that cannot be said ends no program
        return f"{record.levelname} {record.name}: {record.msg!r} (its arguments do not fit: {problem})\n"
