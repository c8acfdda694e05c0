"""Workers that run and should not stay: those that give no sign of life, have become too large, or are in trouble.

One that still answers is relieved: another of its kind is ready before it goes. One that gives no sign of life answers
nobody, and is killed; it is replaced as others are that end.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from slipway.serving.footprint import resident_bytes
from slipway.serving.worker_pool import Kind, Worker, WorkerPool
from slipway.serving.worker_state import state_file

__all__ = ["Relief"]

_logger = logging.getLogger("slipway.serving")


class Relief:
    """Looks for workers that should not stay.

    Args:
        folder: The endpoint's.
        pool: Its workers.
        silent_s: How long a worker may give no sign of life once it is ready.
    """

    def __init__(self, folder: Path, pool: WorkerPool, silent_s: float) -> None:
        self._folder = folder
        self._pool = pool
        self._silent_s = silent_s

    def look(self, memory_bytes: Mapping[Kind, int]) -> list[str]:
        """Have those replaced that should not stay; returns why, a sentence for each that others relieve from now on.

        Args:
            memory_bytes: What a worker of a kind may come to take, 0 or nothing for no limit.
        """
        found = []
        for worker in self._pool.all():
            if not self._pool.state_of(worker).ready or worker.killed or self._kills(worker) or worker.is_relieved:
                continue
            limit = memory_bytes.get(worker.kind, 0)
            why = self._pool.state_of(worker).trouble or (_too_large(worker, limit) if limit else "")
            if why and self._pool.relieve(worker):
                _logger.error("Worker %d (process %d) is replaced: %s", worker.index, worker.process.pid, why)
                found.append(why)
        return found

    def _kills(self, worker: Worker) -> bool:
        """Kill a worker that gives no sign of life any more; whether that was so."""
        try:
            stamp = state_file(self._folder, worker.index, worker.process.pid).stat().st_mtime_ns
        except FileNotFoundError:
            return False
        now = time.monotonic()
        if stamp != worker.beat[0]:
            worker.beat = (stamp, now)
        if now - worker.beat[1] < self._silent_s:
            return False
        _logger.error("Worker %d gives no sign of life and is killed.", worker.index)
        worker.kill(f"It gave no sign of life for {self._silent_s:.0f} seconds.")
        return True


def _too_large(worker: Worker, limit: int) -> str:
    """Why a worker takes too much memory. One that does from its beginning would only be followed by another such."""
    size = resident_bytes(worker.process.pid)
    if size <= limit:
        worker.was_small = True
    elif worker.was_small:
        return f"It had come to {size / 1e6:,.0f} MB of memory; {limit / 1e6:,.0f} MB is its limit."
    return ""
