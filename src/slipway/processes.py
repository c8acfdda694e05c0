"""What the system knows of other processes: from /proc where there is one, else by `ps`, which every Unix has (macOS).

What neither tells is nothing: 0, None, "" or an empty list. A process that has ended is the same.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "cores", "cpu_seconds", "descendants", "near", "proportional_bytes", "resident_bytes", "started", "words_of", "words_of_all"
]  # fmt: skip

PROC = Path("/proc")
"""Where the system tells of its processes, if it does."""

_PS_S = 10.0
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def descendants(pid: int) -> list[int]:
    """All that descend from a process and run, children before theirs."""
    if not _has_proc():
        below: dict[int, list[int]] = {}
        for line in _ps("-A", "-o", "pid=,ppid="):
            child, parent = (int(word) for word in line.split())
            below.setdefault(parent, []).append(child)
        found, waiting = list[int](), [pid]
        while waiting:
            found += (here := below.get(waiting.pop(0), []))
            waiting += here
        return found
    found = []
    with suppress(OSError):  # it has ended meanwhile
        for thread in (PROC / str(pid) / "task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return [*found, *(below for child in list(found) for below in descendants(child))]


def cpu_seconds(pids: Sequence[int]) -> float | None:
    """CPU time that processes have used so far, user and system; None where one has ended, or the system does not say."""
    if not _has_proc():
        told = [_seconds(line) for line in _ps("-o", "time=", "-p", ",".join(map(str, pids)))] if pids else []
        return sum(told) if len(told) == len(pids) else None
    ticks = 0
    try:
        for pid in pids:
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])
    except (OSError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, shared pages included; 0 where unknown."""
    if not _has_proc():
        return sum(int(line) * 1024 for line in _ps("-o", "rss=", "-p", str(pid)))
    with suppress(OSError, IndexError):
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def proportional_bytes(pid: int) -> int:
    """Memory that a process holds, a page that several share divided among them; 0 where unknown.

    Only Linux tells it: elsewhere it is what the process holds, shared pages included.
    """
    if not _has_proc():
        return resident_bytes(pid)
    with suppress(OSError, IndexError):
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


def started(pid: int) -> str:
    """When a process began, in the system's own words, which tell it from a later one of the same id; "" where it has ended."""
    if not _has_proc():
        told = " ".join(_ps("-o", "stat=,lstart=", "-p", str(pid)))
        state, _, when = told.strip().partition(" ")
        return "" if state[:1] in ("", "Z", "X") else " ".join(when.split())
    try:
        fields = _stat(pid)
        return "" if fields[0] in "ZX" else fields[19]  # it has ended, but nobody has asked for its exit code yet
    except (OSError, IndexError):
        return ""


def words_of(pid: int) -> list[str]:
    """The command line of a process, [] where it has ended; without /proc its words are parted at blanks."""
    if not _has_proc():
        return " ".join(_ps("-ww", "-o", "args=", "-p", str(pid))).split()
    with suppress(OSError):
        return [os.fsdecode(word) for word in (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")]
    return []


def words_of_all() -> dict[int, list[str]]:
    """The command lines of all processes by their ids, as `words_of` gives them."""
    if not _has_proc():
        parted = [line.split() for line in _ps("-A", "-ww", "-o", "pid=,args=")]
        return {int(pid): words for pid, *words in parted}
    return {int(place.name): words_of(int(place.name)) for place in PROC.glob("[0-9]*")}


@contextmanager
def near(folder: Path) -> Iterator[Path]:
    """A short path to a folder, for sockets, whose paths may have about 100 bytes; it holds inside the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        through = PROC / "self" / "fd" / str(descriptor)
        if through.exists():
            yield through
            return
        with tempfile.TemporaryDirectory(prefix="slipway-") as short:
            (Path(short) / "s").symlink_to(folder.resolve())
            yield Path(short) / "s"
    finally:
        os.close(descriptor)


def _has_proc() -> bool:
    return (PROC / "self").exists()


def _stat(pid: int) -> list[str]:
    # The name, in brackets, may hold blanks; what follows it is fields 3 and on: proc_pid_stat(5).
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _ps(*words: str) -> list[str]:
    try:
        told = subprocess.run(
            ["ps", *words], capture_output=True, text=True, errors="surrogateescape", timeout=_PS_S, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in told.stdout.splitlines() if line.strip()]


def _seconds(told: str) -> float:
    """[[days-]hours:]minutes:seconds, of macOS with hundredths."""
    found = _CLOCK.fullmatch(told.strip())
    if found is None:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
