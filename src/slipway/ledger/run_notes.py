"""What is logged to a run while one of its steps runs, so that a hit of the cache can log it again."""

from __future__ import annotations

from typing import Any

from slipway.records.runs import Artifact, MetricPoint, StepNotes

__all__ = ["Notes"]


class Notes:
    """Gathers what is logged to one run inside a `with notes.filled(...)` block, so that it can be logged again.

    Args:
        run_id: The run.

    Attributes:
        metrics, params, tags, artifacts: As `StepNotes` has them.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.metrics: list[MetricPoint] = []
        self.params: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.artifacts: list[Artifact] = []

    def taken(self) -> StepNotes | None:
        """What was logged, None for nothing."""
        if not (self.metrics or self.params or self.tags or self.artifacts):
            return None
        return StepNotes(
            metrics=tuple(self.metrics), params=self.params, tags=self.tags, artifacts=tuple(self.artifacts)
        )
