"""Functions of a project that `functools.cache` remembers: what they read once belongs to every step that asks them.

A step that finds an answer remembered sees no file opened. So what is read inside such a function is kept beside it and
counts for each later step that reaches it; what it remembers from elsewhere, where nothing was recorded, is forgotten.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from slipway.code.closures import memos_of
from slipway.code.project import unwrap
from slipway.records.runs import HiddenInput

__all__ = ["Memos"]


@dataclass(slots=True)
class _Known:
    """What is known of one function since it last remembered nothing."""

    misses: int
    reads: dict[tuple[str, str], HiddenInput] = field(default_factory=dict)
    undeclared: dict[str, None] = field(default_factory=dict)


_known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_NONE: Sequence[Callable[..., Any]] = ()


class Memos:
    """The memoised functions that a step reaches.

    Args:
        functions: The step's functions.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]] = _NONE) -> None:
        self._by_code: dict[CodeType, Any] = {}
        for memo in memos_of(functions):
            code = getattr(unwrap(memo), "__code__", None)
            if code is None:
                continue
            self._by_code[code] = memo
            with _lock:
                misses = memo.cache_info().misses
                if memo not in _known or _known[memo].misses != misses:
                    memo.cache_clear()
                    _known[memo] = _Known(0)

    def note(self, read: HiddenInput | str) -> None:
        """Keep what was read, or a sentence about what cannot be compared, beside each function that is running."""
        if not self._by_code:
            return
        frame = sys._getframe(1)
        while frame is not None:
            memo = self._by_code.get(frame.f_code)
            if memo is not None:
                with _lock:
                    known = _known[memo]
                    if isinstance(read, str):
                        known.undeclared[read] = None
                    else:
                        known.reads[read.kind, read.name] = read
            frame = frame.f_back  # type: ignore[assignment]

    def taken(self) -> tuple[list[HiddenInput], list[str]]:
        """What they read whenever they computed what they remember. Call it when the step has ended."""
        reads: list[HiddenInput] = []
        undeclared: list[str] = []
        for memo in self._by_code.values():
            with _lock:
                _known[memo].misses = memo.cache_info().misses
                reads += _known[memo].reads.values()
                undeclared += _known[memo].undeclared
        return reads, undeclared
