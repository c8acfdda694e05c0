"""How much memory the making of a training set may take: what the settings leave it, or half of what is free."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.ports.workspace import Workspace
from slipway.processes import PROC, resident_bytes

__all__ = ["free_bytes", "spare_bytes"]

_PLENTY = 1 << 40
_CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
_HOME = Path("/sys/fs/cgroup")


def spare_bytes(workspace: Workspace) -> int:
    """How many bytes may be taken above what this process has already."""
    if workspace.memory_bytes:
        return max(workspace.memory_bytes - resident_bytes(os.getpid()), workspace.memory_bytes // 4)
    free = free_bytes()
    return _PLENTY if free is None else free // 2


def free_bytes() -> int | None:
    """How much memory is free for this process, None where the system does not say."""
    found = [bytes for bytes in (_available(), *_left_in_container()) if bytes is not None]
    return min(found, default=None)


def _available() -> int | None:
    try:
        told = (PROC / "meminfo").read_text().partition("MemAvailable:")[2]
    except OSError:  # not Linux: half of all that there is
        return (
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
            if "SC_PHYS_PAGES" in os.sysconf_names
            else None
        )
    return int(told.split()[0]) * 1024 if told else None


def _left_in_container() -> list[int]:
    left = []
    for limit, used in _CGROUPS:
        try:
            most, now = (_HOME / limit).read_text().strip(), (_HOME / used).read_text().strip()
        except OSError:
            continue
        if most.isdigit() and now.isdigit():
            left.append(max(int(most) - int(now), 0))
    return left
