"""What a forked task takes along from the process that imported its modules: whether that is whole, and its random numbers."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Seeds", "can_fork"]

_TIDYING = ("jemalloc_bg_thd", "polars-ooc-clea")


def can_fork() -> bool:
    """Whether a fork of this process is whole: it has no thread but this one, and such as do nothing but tidy up.

    BLAS libraries start threads when they are imported and end them before a fork; so one is made before it is counted.
    Importing Polars starts those of its allocator, which knows forks, and one that waits for what is never sent here.
    """
    with warnings.catch_warnings():  # of threads: that is what is asked here
        warnings.simplefilter("ignore")
        probe = os.fork()
    if probe == 0:
        os._exit(0)
    os.waitpid(probe, 0)
    try:
        threads = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
    except OSError:
        return False
    return len([name for name in threads if name not in _TIDYING]) == 1


class Seeds:
    """The global random numbers of Python, NumPy and PyTorch in tasks that are forked off one process.

    A module that seeds them when it is imported gets what it asked for, in each task the same. Where none does, each
    task begins with other numbers, as processes of their own would.
    """

    def __init__(self) -> None:
        self._seeded: dict[str, Any] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notice what is seeded inside."""
        before = _states()
        yield
        self._seeded |= {name: state for name, state in _states().items() if name in before and before[name] != state}

    def sow(self) -> None:
        """Begin a task, in its own process."""
        random.seed()
        if "random" in self._seeded:
            random.setstate(self._seeded["random"])
        if (numpy := sys.modules.get("numpy.random")) is not None and "numpy" not in self._seeded:
            numpy.seed()
        # It may be a module's import that loads PyTorch, which seeds itself with 64 random bits: others were given.
        if (torch := sys.modules.get("torch")) is not None and torch.initial_seed() >= 1 << 32:
            torch.seed()


def _states() -> dict[str, Any]:
    found: dict[str, Any] = {"random": random.getstate()}
    if (numpy := sys.modules.get("numpy.random")) is not None:
        kind, keys, *rest = numpy.get_state()
        found["numpy"] = (kind, keys.tobytes(), *rest)
    return found
