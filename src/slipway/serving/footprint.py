"""What processes take of this machine, their CPU time and their memory, and which machine it is."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from slipway.hashing import fingerprint
from slipway.processes import cores as own_cores
from slipway.processes import cpu_seconds, descendants, proportional_bytes, resident_bytes
from slipway.records.load import MeasuredOn

__all__ = ["cpu_seconds", "family", "load_average", "memory_bytes", "resident_bytes", "this_machine"]


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *descendants(pid)]


def memory_bytes(pids: Sequence[int]) -> tuple[int, int]:
    """Memory of processes: proportional (a shared page counts once in all) and resident; 0 where unknown."""
    return sum(map(proportional_bytes, pids)), sum(map(resident_bytes, pids))


def load_average() -> float | None:
    """How many processes wanted to compute at once in the last minute, None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def this_machine() -> MeasuredOn:
    """The machine that this process runs on."""
    processor = platform.processor()
    with suppress(OSError):
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = named[0].partition(":")[2].strip() if named else processor
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in names else 0
    cores = own_cores()
    return MeasuredOn(
        id=fingerprint((platform.node(), processor, cores, memory)),
        name=platform.node(),
        processor=processor,
        cores=cores,
        memory_bytes=memory,
        system=sysconfig.get_platform(),
        python=platform.python_version(),
    )
