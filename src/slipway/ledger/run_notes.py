"""What is logged to a run while one of its steps runs, so that a hit of the cache can log it again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from slipway.context import Slot
from slipway.errors import RunStopped
from slipway.records.runs import Artifact, Dataset, MetricPoint, Run, RunFinding, StepNotes

__all__ = ["STOPPED", "WATCHED", "Listener", "Notes", "notes", "points_of", "spot", "tell", "watched_of"]

WATCHED = "slipway.watched"
"""The tag of a run that was watched: the metrics, so that no finding is told from nobody looking."""

STOPPED = "Mend it and run again; the run has what it logged."
"""What to do about a run that its watch ended."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[MetricPoint]).decode

Listener = Callable[[MetricPoint], None]
"""Is called with each point after it was kept."""


class Notes:
    """Gathers what is logged to one run inside a `with notes.filled(...)` block, so that it can be logged again.

    Args:
        run_id: The run.

    Attributes:
        metrics: Points in the order of logging.
        params, tags, artifacts, inputs, datasets, watched, findings: As `StepNotes` has them.
        listeners: Whoever looks at the step's own points, until it ends.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.clear()

    def clear(self) -> None:
        """Begin anew: what an attempt logged that failed belongs to no result."""
        self.metrics: list[MetricPoint] = []
        self.params: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.artifacts: list[Artifact] = []
        self.inputs: list[tuple[str, str]] = []
        self.datasets: list[Dataset] = []
        self.watched: list[str] = []
        self.findings: list[RunFinding] = []
        self.listeners: list[Listener] = []

    def taken(self) -> StepNotes | None:
        """What was logged, None for nothing."""
        taken = StepNotes(
            points=zlib.compress(_encode(self.metrics)) if self.metrics else b"",
            params=self.params,
            tags=self.tags,
            artifacts=tuple(self.artifacts),
            inputs=tuple(self.inputs),
            datasets=tuple(self.datasets),
            watched=tuple(self.watched),
            findings=tuple(self.findings),
        )
        return taken if taken != StepNotes() else None


notes: Slot[Notes | None] = Slot("slipway.notes")


def points_of(logged: StepNotes) -> list[MetricPoint]:
    """The points that a step logged, in order."""
    return [*logged.metrics, *(_decode(zlib.decompress(logged.points)) if logged.points else ())]


def watched_of(run: Run) -> tuple[str, ...]:
    """The metrics of a run that somebody watched."""
    return tuple(key for key in run.tags.get(WATCHED, "").split(", ") if key)


def spot(finding: RunFinding) -> tuple[str, str, int]:
    """What tells a finding from others of its run."""
    return finding.kind, finding.key, finding.step


def tell(listeners: Iterable[Listener], points: Iterable[MetricPoint]) -> None:
    """Show points to all that listen, and raise what the first of them raised to end the run."""
    stopped: RunStopped | None = None
    for point in points:
        for listener in listeners:
            try:
                listener(point)
            except RunStopped as stop:
                stopped = stopped or stop
    if stopped is not None:
        raise stopped
