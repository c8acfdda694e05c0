"""What the machine does while a run goes on, sampled in a thread of its own: the run's metrics `system/...`.

Read from /proc by hand, or of `ps`, which needs no library; what neither tells (of macOS: the whole memory) is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.ledger.run_log import RunLog
from slipway.processes import resident_bytes

__all__ = ["EVERY_S", "Sampler", "sample"]

EVERY_S = 10.0
"""Seconds between two samples; a run that is shorter has none."""

_GPU_TIMEOUT_S = 5.0
_GPU = ("nvidia-smi", "--query-gpu=index,utilization.gpu,memory.used", "--format=csv,noheader,nounits")


class Sampler:
    """Logs samples until it is stopped. A sample that cannot be had is left out; nothing it meets ends the run.

    Args:
        log: The run.
        every_s: Seconds between two samples.
    """

    def __init__(self, log: RunLog, *, every_s: float = EVERY_S) -> None:
        self._log = log
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slipway-system", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a sample that is under way is left out."""
        self._stopping.set()

    def _work(self) -> None:
        root, number = self._log.workspace.root, 0
        before = time.monotonic(), _cpu_s()
        while not self._stopping.wait(self._every_s):
            after = time.monotonic(), _cpu_s()
            found = sample(root) | {"cpu_percent": 100 * (after[1] - before[1]) / max(after[0] - before[0], 1e-9)}
            before = after
            for key, value in sorted(found.items()):
                if self._stopping.is_set():
                    return
                try:
                    self._log.log_metric(f"system/{key}", value, number)
                except SlipwayError:  # it ended meanwhile, or the disk is full: its own calls say so
                    return
            number += 1


def sample(folder: Path) -> dict[str, float]:
    """The figures of the present, by name without `system/`: what could not be read is missing.

    Args:
        folder: Of which disk the room is told.
    """
    found: dict[str, float] = {}
    if (own := _own_memory_mb()) is not None:
        found["memory_mb"] = own
    if (used := _used_memory_percent()) is not None:
        found["machine_memory_percent"] = used
    with suppress(OSError):
        found["disk_free_gb"] = shutil.disk_usage(folder).free / 1e9
    return found | _gpus()


def _cpu_s() -> float:
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


def _own_memory_mb() -> float | None:
    return resident_bytes(os.getpid()) / 1e6 or None


def _used_memory_percent() -> float | None:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return 100 * (1 - free / total) if total else None


def _gpus() -> dict[str, float]:
    if shutil.which(_GPU[0]) is None:
        return {}
    found: dict[str, float] = {}
    try:
        told = subprocess.run(_GPU, capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=True).stdout
        for line in told.splitlines():
            index, busy, memory = (part.strip() for part in line.split(","))
            found |= {f"gpu{int(index)}_percent": float(busy), f"gpu{int(index)}_memory_mb": float(memory)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return found
    return found
