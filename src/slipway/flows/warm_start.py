"""`sw.warm_start()`: the model that a pipeline's run starts from."""

from __future__ import annotations

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.ledger import artifacts, entries
from slipway.ledger.run_log import current_run
from slipway.ledger.run_tags import WARM_START
from slipway.ledger.step_scope import step_scope
from slipway.models.model import Model
from slipway.pipelines.warm import Former, former
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run

__all__ = ["former_of", "started_from", "warm_start"]

_ROLE = "warm start"


def warm_start() -> Model | None:
    """The model that this run starts from: what the run made that `slipway rerun --warm-start` names; None otherwise.

    It is asked for in the pipeline and handed to the step that trains, as an argument like any other: so it is part of
    the step's cache key, and reaches a step wherever that runs. Outside a pipeline's run it is None.

    Returns:
        The model, read anew at each call; its `estimator` is what was trained.

    Raises:
        InvalidDeclaration: It was called inside a step.
        NotFound: The model's stored bytes are gone.

    Example:
        @slipway.pipeline
        def release(learning_rate: float = 0.1) -> slipway.Model:
            return train(rows(), learning_rate, start=slipway.warm_start())
    """
    log = current_run.get()
    if log is None or not log.run.pipeline:
        return None
    if step_scope.get() is None:
        raise InvalidDeclaration(
            "sw.warm_start() was called inside a step.",
            why="What a step starts from is part of its cache key, so it comes as an argument.",
            fix="Call it in the pipeline and hand it over: train(rows, start=sw.warm_start())",
        )
    known = former.get()
    if known is None:
        return None
    if known.run_id:
        log.set_tags({WARM_START: known.run_id})
        log.add_link(f"run:{known.run_id}", log.node, _ROLE)
    found: Model | None = known.load()
    return found


def started_from(workspace: Workspace, run: Run) -> str:
    """The run whose model a run started from, "" for none. The lineage says it: tags may be set by anybody."""
    with workspace.ledger.read() as tx:
        links = tx.links(f"run:{run.id}", towards=True)
    return next((link.source.removeprefix("run:") for link in links if link.role == _ROLE), "")


def former_of(workspace: Workspace, run_id: str) -> Former:
    """What `warm_start` gives in a run that starts from the model of another.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It did not finish, or returned no model.
    """
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, run_id)
    made = [one for one in run.artifacts if one.name.partition("/")[0] == "result"]
    if run.state != "finished" or not made:
        raise InvalidInput(
            f"The run {run_id} {f'is {run.state}' if run.state != 'finished' else 'kept no result'}.",
            why="A warm start begins with the model that the run returned.",
            fix="Leave out --warm-start, or start from a run that returned a model.",
        )
    if made[0].format != Model.slipway_format:
        raise InvalidInput(
            f"The run {run_id} of {run.pipeline!r} returned no model: its result is kept as {made[0].format}.",
            why="A warm start begins with the model that the run returned.",
            fix="Leave out --warm-start, or let the pipeline return sw.Model(...).",
        )
    return Former(run_id, lambda: artifacts.load(workspace.blobs, made))
