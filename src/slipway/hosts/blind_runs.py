"""The blind policy's models, trained beside a simulation: the replay keeps one core busy, and they need nothing of it.

They are the very runs that the report asks for at its end, and finds then in the cache. The tables are pinned to what
they are now, so that an injected fault cannot reach them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from slipway.flows.repeatable import beside_of
from slipway.pipelines import staging
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.tables import versions

__all__ = ["blind_beside", "months_between"]

_ONE_WITHIN_S = 1800.0


def months_between(since: datetime, until: datetime) -> list[date]:
    """The first days of the months that begin inside a period."""
    months = [date(year, month, 1) for year in range(since.year, until.year + 1) for month in range(1, 13)]
    return [month for month in months if since.date() < month < until.date()]


@contextmanager
def blind_beside(workspace: Workspace, run: Run, months: list[date], until: str) -> Iterator[threading.Thread]:
    """Train the blind policy's models one after another while the block runs; what is not done when it ends is ended.

    Args:
        workspace: The simulation's store.
        run: The run of the first model: its pipeline, snapshot and tables are theirs.
        months: The first day of each month.
        until: The pipeline's parameter that takes the day up to which data counts.

    Yields:
        The thread that looks after them: `join` it to wait for the last.
    """
    names = sorted({node.partition("/")[2].partition("@")[0] for node in run.inputs if node.startswith("table:")})
    pins = {name: versions.head(workspace, name).version for name in names}
    files, cwd = beside_of(workspace, run)
    stopping = threading.Event()
    folders: list[Path] = []

    def train() -> None:
        for month in months:
            if stopping.is_set():
                return
            task = staging.task(
                workspace,
                snapshot=run.code.snapshot,
                pipeline=run.pipeline,
                params={until: month.isoformat()},
                tags={"slipway.policy": "blind"},
                pins=pins,
                register=False,
                files=files,
                cwd=cwd,
            )
            folders.append(staging.stage(workspace, f"blind-{month:%Y-%m}", task))
            workspace.runner.start(folders[-1])
            workspace.runner.wait(folders[-1], _ONE_WITHIN_S)

    thread = threading.Thread(target=train, name="blind-policy", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stopping.set()
        for folder in folders[-1:]:
            workspace.runner.stop(folder)
        thread.join()
