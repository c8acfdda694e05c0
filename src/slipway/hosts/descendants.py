"""What a task starts, found and ended: also what left its process group, or whose parent has ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from slipway.processes import descendants, proportional_bytes, resident_bytes

__all__ = ["adopt", "die_with_parent", "end_all", "end_group", "held_bytes"]

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """Become the parent of every descendant whose own parent ends, so that none escapes. Does nothing off Linux."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Let the system kill this process when its parent ends, and sooner than that when memory runs out.

    Args:
        parent: The parent's process id, taken before the fork.
    """
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def end_group(pid: int) -> None:
    """Kill a process and its group; it leads one, or is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill and collect all descendants of this process."""
    while True:
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def held_bytes(limit: int) -> int:
    """The memory that the descendants of this process hold.

    Args:
        limit: Up to here the answer may count shared pages several times; above it each counts once.
    """
    pids = descendants(os.getpid())
    resident = sum(resident_bytes(pid) for pid in pids)
    if resident <= limit or len(pids) < 2:
        return resident
    return sum(proportional_bytes(pid) for pid in pids)


def _prctl(what: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0)
