"""What the cells print, in the notebook and in the pipeline that was written from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from slipway.errors import InvalidInput
from slipway.flows.from_notebook import Draft
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepRun

__all__ = ["compare_printed"]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_UNSTEADY = {
    "time": "the time", "perf_counter": "the time", "process_time": "the time", "monotonic": "the time", "now": "the time",
    "today": "the time", "utcnow": "the time", "timeit": "the time", "tqdm": "the time", "getpid": "its process",
    "uuid4": "an id", "uuid1": "an id", "id": "an id", "hash": "an id", "getcwd": "its folder", "info": "memory",
    "memory_usage": "memory", "cv_results_": "the time", "refit_time_": "the time",
}  # fmt: skip
_SHOWN = 100


def compare_printed(workspace: Workspace, steps: Sequence[StepRun], drafted: Draft) -> int:
    """Hold the lines that each step printed against those that the notebook's cell printed at the same statements.

    A line that tells the time, an address or an id is another each time: it is noted in `drafted.notes`, as is a set that
    is printed in another order. What the step prints besides, such as warnings, counts for nothing.

    Args:
        workspace: Where the run is.
        steps: Those of the run.
        drafted: What was written, with what the notebook's cells printed.

    Returns:
        How many lines were equal.

    Raises:
        InvalidInput: A step prints other lines; the cell and the first of them are named.
    """
    equal = 0
    for step in steps:
        positions = drafted.written.lines.get(step.name)
        if not positions or step.state == "cached":
            continue  # a cached step's lines were compared when it ran
        expected = _lines("".join(drafted.ran.said.get(position, "") for position in positions))
        if not expected or (step.output is not None and step.output.left_out):
            continue
        text = workspace.blobs.get(step.output.digest).decode("utf-8", "replace") if step.output is not None else ""
        cell = drafted.written.steps[step.name][0]
        lacking = _lacking(expected, _lines(text))
        equal += len(expected) - len(lacking)
        if not lacking:
            continue
        reason = _unsteady(drafted, cell) or _reordered(lacking, _lines(text))
        if not reason:
            raise InvalidInput(
                f"Cell {cell} prints {lacking[0][:_SHOWN]!r} in the notebook, and not so in the pipeline.",
                why="All values that it hands on are equal, so what it prints depends on more than on them.",
                fix="Look at what that line reads: a file that the notebook writes, a set's order, the machine.",
                field=f"cell {cell}",
            )
        drafted.notes.append(
            f"cell {cell} prints {len(lacking)} line{'s' if len(lacking) > 1 else ''} that cannot be compared, for it tells {reason}: "
            f"{lacking[0][:_SHOWN]!r}"
        )
    return equal


def _lines(text: str) -> list[str]:
    return [_ADDRESS.sub("0x", line.rstrip()) for line in text.splitlines() if line.strip()]


def _lacking(expected: Sequence[str], found: Sequence[str]) -> list[str]:
    """The expected lines that do not come, in this order, among those that were found."""
    lacking, at = [], 0
    for line in expected:
        where = next((place for place in range(at, len(found)) if found[place] == line), None)
        if where is None:
            lacking.append(line)
        else:
            at = where + 1
    return lacking


def _unsteady(drafted: Draft, cell: int) -> str:
    """What else a cell's lines tell, "" where its values alone say what they are."""
    source = next(one for one in drafted.notebook.cells if one.number == cell)
    for inner in ast.walk(source.tree):
        name = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""
        if name in _UNSTEADY:
            return _UNSTEADY[name]
    return ""


def _reordered(lacking: Sequence[str], found: Sequence[str]) -> str:
    """Whether each line comes with its words in another order, as those of a set do from process to process."""
    known = {tuple(sorted(re.findall(r"[^\s,{}()\[\]]+", line))) for line in found}
    is_set = all(tuple(sorted(re.findall(r"[^\s,{}()\[\]]+", line))) in known for line in lacking)
    return "a set in its order" if is_set else ""
