"""The run of a pipeline held against the notebook that it was written from."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from slipway.errors import InvalidInput, SlipwayError
from slipway.flows.from_notebook import Draft
from slipway.flows.notebook_printed import compare_printed
from slipway.flows.notebook_run import fingerprint_of
from slipway.ledger import artifacts
from slipway.models.known import Known
from slipway.pipelines.reasons import steps_of
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact

__all__ = ["compare"]


def compare(workspace: Workspace, run_id: str, drafted: Draft) -> int:
    """Hold each value that a step gave against the notebook's, by logical fingerprint.

    What cells print is held against the notebook's too. Models that carry how long their fitting took are compared by their answers.

    Args:
        workspace: Where the run is.
        run_id: The run of the pipeline.
        drafted: What was written, with what the notebook's cells gave.

    Returns:
        How many values were equal.

    Raises:
        InvalidInput: One differs; cell and variable are named.
    """
    with workspace.ledger.read() as tx:
        steps = {step.name: step for step in steps_of(tx, run_id)}
    done = {name: step.outputs for name, step in steps.items()}
    equal = 0
    for name, (cell, gives) in drafted.written.steps.items():
        outputs = done.get(name, ())
        for variable in gives:
            known = drafted.ran.written.get(cell, {}).get(variable, "")
            if not known:
                continue
            own = _own(outputs, variable if len(gives) > 1 else "result")
            if not own or (own[0].fingerprint != known and not _answers_alike(workspace, own, drafted, variable)):
                raise _differs(cell, variable, drafted)
            equal += 1
    equal += compare_printed(workspace, list(steps.values()), drafted)
    _compare_learned(workspace, done, drafted)
    if drafted.written.rows_step:
        rows = done.get(drafted.written.rows_step, ())
        if not rows or rows[0].fingerprint != fingerprint_of(drafted.made.raw):
            raise _differs(0, drafted.made.way.rows, drafted)
        equal += 1
    return equal + _compare_evaluation(workspace, done, drafted)


def _compare_evaluation(workspace: Workspace, done: dict[str, tuple[Artifact, ...]], drafted: Draft) -> int:
    """Hold the pipeline's evaluation against what the notebook's model is worth on the rows that it held out."""
    judged = drafted.judged
    if judged is None:
        return 0
    model = artifacts.load(workspace.blobs, done.get("evaluate", ()))
    found = [value.value for value in model.evaluation.metrics if value.metric == judged.metric and not value.slice]
    if not found or not math.isclose(found[0], judged.value, rel_tol=1e-9, abs_tol=1e-9):
        raise InvalidInput(
            f"On the {judged.rows:,} rows that the notebook held out, {judged.metric} is {found} in the pipeline and "
            f"{judged.value!r} in the notebook.",
            why="Rows of a request would get other answers than the notebook's.",
            fix="Make training and held-out rows by the same lines.",
        )
    return 1


def _compare_learned(workspace: Workspace, done: dict[str, tuple[Artifact, ...]], drafted: Draft) -> None:
    """Hold what the pipeline took of other rows against what the notebook's own run gave at the same places."""
    learned = [artifacts.load(workspace.blobs, done.get(name, ())) for name in drafted.written.learners]
    found, known = Known.of(*learned).taken, drafted.made.learned.taken
    for place in sorted(found.keys() | known.keys()):
        one, other = (Known({}, {place: taken.get(place, [])}).slipway_fingerprint() for taken in (found, known))
        if one != other:
            raise InvalidInput(
                f"What is taken from training at {place} is another in the pipeline than in the notebook.",
                why="The place is reached by other rows, or more often, than on the way from the rows to the model.",
                fix="Put it into a cell that only leads to the model's input.",
            )


def _own(outputs: tuple[Artifact, ...], name: str) -> list[Artifact]:
    return [artifact for artifact in outputs if artifact.name.partition("/")[0] == name]


def _answers_alike(workspace: Workspace, own: list[Artifact], drafted: Draft, variable: str) -> bool:
    """Whether a model gives the notebook's answers on the rows that the notebook asked its model with."""
    notebooks = drafted.ran.namespace.get(variable)
    if not hasattr(notebooks, "predict") or variable != drafted.model:
        return _is_timed(notebooks)
    try:
        mine = artifacts.load(workspace.blobs, own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array_equal(
                _answers(mine, drafted.made.given), _answers(notebooks, drafted.made.given), equal_nan=True
            )
    except (SlipwayError, ValueError, TypeError):
        return False


def _is_timed(value: Any) -> bool:
    """Whether it holds how long fitting took, so that no two of them are equal."""
    return hasattr(value, "cv_results_")


def _answers(model: Any, rows: Any) -> Any:
    ask = getattr(model, "predict_proba", None) or model.predict
    return np.asarray(ask(rows))


def _differs(cell: int, variable: str, drafted: Draft) -> InvalidInput:
    where = f"After cell {cell} the" if cell else "The loaded"
    return InvalidInput(
        f"{where} variable {variable!r} is another in the pipeline than in the notebook.",
        why="The cell depends on more than the variables that it reads: on two names for one object, on the time or the "
        "network, or on numbers that are drawn anew.",
        fix=f"Run {drafted.notebook.path.name} twice from top to bottom, and look whether {variable!r} is the same both times; "
        "give random choices a seed, and copies a `.copy()`.",
        field=f"cell {cell}: {variable}",
    )
