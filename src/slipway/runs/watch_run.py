"""Records what a watched metric shows as findings of its run."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from slipway.errors import RunStopped
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import STOPPED, Notes
from slipway.records.runs import MetricPoint, RunFinding
from slipway.runs.watching import Watch

__all__ = ["Watching"]


class Watching:
    """One watch on a run under way; it is called with each point after it was kept. Safe for threads.

    Args:
        log: The run.
        watch: Judges the points.
        step: The pipeline's step that watches, None outside of one.
        stop: Whether a finding ends the run.
    """

    def __init__(self, log: RunLog, watch: Watch, step: Notes | None, *, stop: bool) -> None:
        self._log = log
        self._watch = watch
        self._step = step
        self._stop = stop
        self._lock = threading.Lock()

    def __call__(self, point: MetricPoint) -> None:
        """Take a point.

        Raises:
            RunStopped: It shows something, and a finding ends the run.
        """
        with self._lock:
            noticed = self._watch.see(point.key, point.value, point.step)
        for one in noticed:
            found = RunFinding(kind=one.kind, key=one.key, step=one.step, words=one.words, at=datetime.now(UTC))
            self._log.add_finding(found, within=self._step)
            self._log.workspace.say(f"{self._log.run.name or self._log.id}: {one.kind}: {one.words}.")
        if noticed and self._stop:
            raise RunStopped(
                f"The run was stopped: {noticed[0].kind}: {noticed[0].words}.", run_id=self._log.id, fix=STOPPED
            )
