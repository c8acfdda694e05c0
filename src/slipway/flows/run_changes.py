"""How a run differs from another, in words: what it was given, what it read, its code, what is installed, what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.errors import InvalidInput, NotFound
from slipway.ledger.run_tags import RERUNS, WARM_START
from slipway.operations.runs import GetChanges, MetricChange, RunChanges
from slipway.pipelines.apart_because import installed_changes, is_library, machine_changes
from slipway.pipelines.beside import files_of
from slipway.pipelines.reasons import code_changes, read_closures
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import search
from slipway.tables import versions

__all__ = ["changes", "data_changes", "get_changes"]

_LONGEST = 60


def get_changes(workspace: Workspace, request: GetChanges) -> RunChanges:
    """How a run differs from the one that it was started from, or from another.

    Raises:
        NotFound: There is no such run in the project.
        InvalidInput: It was started from none, and no other is named.
    """
    run = _own(workspace, request.id)
    other = request.other or run.tags.get(RERUNS, "")
    if not other:
        raise InvalidInput(
            f"The run {run.id} was started from no other run.",
            why="What it is compared with is not said.",
            fix="Name another run, or start one from it: slipway rerun RUN --set NAME=VALUE",
            field="other",
        )
    return changes(workspace, _own(workspace, other), run)


def changes(workspace: Workspace, before: Run, after: Run) -> RunChanges:
    """How a run differs from an earlier one.

    Args:
        workspace: Whose runs.
        before: What it is compared with.
        after: The run.
    """
    old, new = (search.steps(workspace, run.id) for run in (before, after))
    code, libraries = _code(workspace, before, after, old, new)
    installed = installed_changes(workspace.blobs, before, after)
    known = " ".join(installed)
    further = [change for change in libraries if change.removeprefix("library ") not in known]
    return RunChanges(
        run_id=after.id,
        other_id=before.id,
        params=tuple(_params(before.params, after.params)),
        data=(*data_changes(workspace, before.inputs, after.inputs), *_files(before, after, old, new)),
        code=tuple(code),
        libraries=(*installed, *further, *machine_changes(before, after)),
        start=_start(before, after),
        metrics=tuple(_metrics(workspace, before, after)),
        cached=tuple(step.name for step in new if step.state == "cached"),
        steps=len(new),
    )


def _own(workspace: Workspace, id: str) -> Run:
    run = search.get_run(workspace, id)
    if run.project != workspace.project:
        raise NotFound(f"There is no run {id!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
    return run


def _params(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    told = []
    for name in sorted(before.keys() | after.keys()):
        was, is_now = (_word(params[name]) if name in params else "(none)" for params in (before, after))
        if was == is_now and name in before and name in after and before[name] != after[name]:
            was, is_now = repr(before[name]), repr(after[name])  # a text and a number that look alike
        if was != is_now:
            told.append(f"{name} {was} -> {is_now}")
    return told


def _word(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def data_changes(workspace: Workspace, before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The tables and file sets that were read in other versions, in words.

    Args:
        workspace: Whose tables.
        before: What was read, as nodes of the lineage.
        after: The same, later.
    """
    old, new = (_versions(nodes) for nodes in (before, after))
    told = []
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) == new.get(place):
            continue
        was, is_now = (_version(workspace, place, read.get(place, ())) for read in (old, new))
        told.append(f"{place[1].removeprefix(f'{workspace.project}/')}: {was} -> {is_now}")
    return told


def _files(before: Run, after: Run, old: list[StepRun], new: list[StepRun]) -> list[str]:
    """The files beside the code that both read, and that are others now."""
    was, is_now = files_of(before, old), files_of(after, new)
    return [f"file {name} changed" for name in sorted(was.keys() & is_now.keys()) if was[name] != is_now[name]]


def _versions(nodes: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for node in nodes:
        kind, _, rest = node.partition(":")
        name, at, version = rest.rpartition("@")
        if at:
            found[kind, name] = tuple(sorted((*found.get((kind, name), ()), version)))
    return found


def _version(workspace: Workspace, place: tuple[str, str], read: tuple[str, ...]) -> str:
    if not read:
        return "not read"
    kind, rest = place
    project, _, name = rest.partition("/")
    words = []
    for version in read:
        try:
            known = versions.get(workspace, name, version, project=project) if kind == "table" else None
        except NotFound:
            known = None
        words.append(f"version {known.number} ({known.rows:,} rows)" if known else f"version {version[:12]}")
    return " and ".join(words)


def _code(
    workspace: Workspace, before: Run, after: Run, old: list[StepRun], new: list[StepRun]
) -> tuple[list[str], list[str]]:
    """What changed in the code that was reached, and in the libraries that it imports."""
    former = {step.name: step for step in reversed(old)}
    told: dict[str, None] = {}
    for step in new:
        if step.name not in former:
            told[f"step {step.name} is new"] = None
            continue
        was, is_now = (read_closures(workspace.blobs, one.closure) for one in (former[step.name], step))
        told.update(dict.fromkeys(code_changes(was, is_now) if was and is_now else ()))
    called = {step.name for step in new}
    told.update({f"step {name} is no longer called": None for name in former if name not in called})
    own = [change for change in told if not is_library(change)]
    libraries = [change for change in told if is_library(change)]
    if not own and not libraries and before.code.closure != after.code.closure:
        own = [f"the pipeline {after.pipeline} itself changed"]
    return own, libraries


def _start(before: Run, after: Run) -> str:
    was, is_now = before.tags.get(WARM_START, ""), after.tags.get(WARM_START, "")
    if is_now:
        return f"from the model of run {is_now[:12]}" + (", as before" if was == is_now else "")
    return f"from no model; from that of run {was[:12]} before" if was else ""


def _metrics(workspace: Workspace, before: Run, after: Run) -> list[MetricChange]:
    old, new = (search.metrics(workspace, run.id) for run in (before, after))
    keys = sorted(key for key in old.keys() | new.keys() if "[" not in key and not key.startswith("system/"))
    return [MetricChange(key=key, before=_finite(old.get(key)), after=_finite(new.get(key))) for key in keys]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
