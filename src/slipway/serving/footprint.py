"""What processes take of this machine: their CPU time and their memory, as Linux tells; nothing where it does not."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from slipway.hashing import fingerprint
from slipway.records.load import MeasuredOn

__all__ = ["cpu_seconds", "family", "load_average", "memory_bytes", "resident_bytes", "this_machine"]


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    below: list[int] = []
    with suppress(OSError):  # it has ended meanwhile, or the system has no /proc
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                below += family(int(child))
    return [pid, *below]


def cpu_seconds(pids: Sequence[int]) -> float | None:
    """CPU time that processes have used so far, user and system; None where the system does not say."""
    ticks = 0
    try:
        for pid in pids:
            # The name, in brackets, may hold blanks; what follows it is fields 3 and on: proc_pid_stat(5).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    except (OSError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(pids: Sequence[int]) -> tuple[int, int]:
    """Memory of processes: proportional (a shared page counts once in all) and resident; 0 where unknown."""
    shares = resident = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            shares += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return shares, resident


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, shared pages included; 0 where unknown."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


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
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return MeasuredOn(
        id=fingerprint((platform.node(), processor, cores, memory)),
        name=platform.node(),
        processor=processor,
        cores=cores,
        memory_bytes=memory,
        system=sysconfig.get_platform(),
        python=platform.python_version(),
    )
