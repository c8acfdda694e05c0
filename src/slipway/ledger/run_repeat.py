"""What a step logged when it ran, logged again where its stored result is taken."""

from __future__ import annotations

from msgspec.structs import replace

from slipway.ledger import entries
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import points_of
from slipway.records.runs import StepNotes

__all__ = ["repeat"]


def repeat(log: RunLog, logged: StepNotes, source_run_id: str) -> None:
    """Log again what a step logged when it ran, at the present business time.

    Args:
        log: The run that takes its result.
        logged: What it logged.
        source_run_id: The run in which it ran.

    Raises:
        RunStopped: Whoever watches this run says so of what was logged; all of it is kept.
    """
    log.log_params(logged.params)
    log.set_tags(logged.tags)
    log.add_watched(logged.watched)
    for node, role in logged.inputs:
        log.add_input(node, role)
    for dataset in logged.datasets:
        log.add_dataset(dataset)
    for artifact in logged.artifacts:
        log.add_artifact(artifact)
    for finding in logged.findings:
        log.add_finding(replace(finding, source_run_id=finding.source_run_id or source_run_id))
    now = entries.microseconds(log.workspace.clock.now())
    # none at the time of another: they are not the same
    log.add_points([replace(point, at_us=now + n) for n, point in enumerate(points_of(logged))])
