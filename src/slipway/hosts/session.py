"""A notebook's or script's process: `sw.open(...)` and `sw.run(...)`.

A run opens the project around the current folder unless one is open; in a folder without slipway.toml it uses a store
`.slipway` right there and the folder's name, so that two lines are enough to begin.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.flows.log_model import log_model
from slipway.hosts.project import open_project
from slipway.ports.workspace import Workspace, current_workspace
from slipway.runs import tracking
from slipway.runs.tracking import ActiveRun

__all__ = ["open", "run"]

open = open_project


@contextmanager
def run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
) -> Iterator[ActiveRun]:
    """Record a run: what is logged inside the `with` block, and unasked the code, environment and command.

    Args:
        name: What people call it; also the name of a model that is logged without one.
        experiment: The experiment it belongs to; made when it is new.
        params: Parameters known from the start.
        tags: Tags known from the start.

    Raises:
        InvalidInput: A name, parameter or tag does not fit.

    Example:
        with sw.run("baseline") as run:
            run.log_model(estimator, sample=X)
    """
    with (
        _workspace() as opened,
        tracking.start(
            opened, name, experiment=experiment, params=params, tags=tags, model_logger=_log_model
        ) as active,
    ):
        yield active


@contextmanager
def _workspace() -> Iterator[Workspace]:
    current = current_workspace.get()
    if current is not None:
        yield current
        return
    with open_project(Path.cwd(), say=lambda line: print(line, file=sys.stderr), implicit=True) as project:
        yield project.workspace


def _log_model(active: ActiveRun, estimator: Any, *, sample: Any, name: str | None = None, **options: Any) -> Any:
    current = current_workspace.get()
    assert current is not None  # the run keeps it open
    wanted = name or re.sub(r"[^a-z0-9_.-]+", "-", (active.record.name or "model").lower()).strip("-._")
    version = log_model(current, active.record, estimator, sample=sample, name=wanted, **options)
    active.flush()
    return version
