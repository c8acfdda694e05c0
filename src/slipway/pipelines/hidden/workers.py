"""Worker processes to which a step hands work: what they read while they do it is the step's.

The work is wrapped when it is handed over. The worker records as a step does, and what it recorded travels with the
answer: it is taken off when the answer is unpickled, before whoever waits for it gets to see it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import Any
from weakref import WeakValueDictionary

from slipway.pipelines.hidden.present import Place
from slipway.pipelines.hidden.recorder import Recorder, current
from slipway.records.runs import HiddenInput

__all__ = ["handed", "is_of_a_pool"]

_POOLS = tuple(
    os.sep.join(parts)
    for parts in (
        ("concurrent", "futures", "process.py"),
        ("loky", "process_executor.py"),
        ("multiprocessing", "pool.py"),
    )
)
_steps: WeakValueDictionary[str, Recorder] = WeakValueDictionary()


class _Work:
    """A function that a worker process calls for a step.

    Args:
        function: What was handed over.
        token: By which the step knows the answer.
        place: The step's place.
        allow: What the step may use although nothing records it.
    """

    def __init__(self, function: Callable[..., Any], token: str, place: Place, allow: Sequence[str]) -> None:
        self.function, self.token, self.place, self.allow = function, token, place, allow

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import_module("slipway.pipelines.hidden.hooks").install()  # which itself needs this module
        recorder = Recorder(self.place, self.allow)
        with current.filled(recorder):
            value = self.function(*args, **kwargs)
        return _Answer(value, self.token, *recorder.taken())


class _Answer:
    """A worker's value with what was read for it; unpickled, it is the value alone."""

    def __init__(self, value: Any, token: str, hidden: Sequence[HiddenInput], undeclared: Sequence[str]) -> None:
        self.parts = value, token, hidden, undeclared

    def __reduce__(self) -> Any:
        return _taken, self.parts


def _taken(value: Any, token: str, hidden: Sequence[HiddenInput], undeclared: Sequence[str]) -> Any:
    recorder = _steps.get(token)
    if recorder is not None:
        recorder.take(hidden, undeclared, token)
    return value


def handed(function: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    """A function as a step hands it to a worker process.

    Args:
        function: The work, which can be pickled.
        recorder: The step's.
    """
    token = uuid.uuid4().hex
    _steps[token] = recorder
    recorder.hands(token)
    return _Work(function, token, recorder.place, recorder.allow)


def is_of_a_pool(frame: FrameType | None) -> bool:
    """Whether a pool starts a process: what its workers do is recorded where work is handed to them."""
    while frame is not None:
        if frame.f_code.co_filename.endswith(_POOLS):
            return True
        frame = frame.f_back
    return False
