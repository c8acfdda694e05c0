"""Going on with a run that broke off: its parameters, its finished steps, and what changed in the code since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound
from slipway.ledger import archive, artifacts, entries, provenance
from slipway.ledger.run_tags import RESUMES
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache, reasons
from slipway.pipelines.cache import Hit
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.hidden.present import holds, place_of
from slipway.pipelines.keys import StepKey
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import CodeVersion, Run, StepRun

__all__ = ["PARAMS", "Resumed", "code_since", "params_of", "run_to_resume", "steps_resumed"]

PARAMS = "params"
"""The artifact that holds a run's parameters in their own types."""

_SHOWN = 10


class Resumed:
    """Results of steps that the resumed run had finished, and that no key finds.

    A step that may not be cached (`cache=False`) is not repeated either by a resume: its result is that of this call.

    Args:
        workspace: Where they are recorded.
        runs: The steps of the run in the order of their calls; then those of the run that it resumed itself, and so on.
    """

    def __init__(self, workspace: Workspace, runs: Iterable[Iterable[StepRun]]) -> None:
        self._workspace = workspace
        self._by_call: dict[tuple[str, int], list[StepRun]] = {}
        for steps in runs:
            for place, step in reasons.by_call(steps):
                if step.state in ("finished", "cached") and step.outputs:
                    self._by_call.setdefault(place, []).append(step)

    def find(self, call: StepCall, present: StepKey, occurrence: int) -> Hit | None:
        """The result of the same call with the same arguments and code in the resumed run; None where it has none."""
        if len(present.inputs) < len(call.inputs):
            return None
        for earlier in self._by_call.get((call.name, occurrence), ()):
            if self._is_same(earlier, present) and all(holds(one, place_of(call.code)) for one in earlier.hidden):
                try:
                    value = cache.decode(earlier.outputs, lambda artifact: self._workspace.blobs.get(artifact.digest))
                except (NotFound, Corrupt):  # it runs again, as what is damaged in the cache does
                    continue
                return Hit(value, earlier)
        return None

    def _is_same(self, earlier: StepRun, present: StepKey) -> bool:
        if earlier.inputs != present.inputs or earlier.key not in ("", present.key):
            return False
        closures = reasons.read_closures(self._workspace.blobs, earlier.closure)
        return closures is not None and [one.hash for one in closures] == [one.hash for one in present.closures]


def steps_resumed(tx: ReadTransaction, run: Run) -> list[list[StepRun]]:
    """The steps of a run that is resumed, then those of the run that it resumed itself, and so on."""
    found: list[list[StepRun]] = []
    seen: set[str] = set()
    while run.id not in seen:
        seen.add(run.id)
        found.append(reasons.steps_of(tx, run.id))
        try:
            run = entries.get(tx, Run, run.tags[RESUMES])
        except (KeyError, NotFound):
            break
    return found


def run_to_resume(workspace: Workspace, pipeline: Pipeline[..., Any], run_id: str) -> Run:
    """The run that a resume goes on with.

    Args:
        workspace: Where it is recorded.
        pipeline: Whose run it must be.
        run_id: Its id; "last" for the pipeline's newest run.

    Raises:
        NotFound: There is none.
        InvalidInput: It is of another pipeline.
        Conflict: It is still running.
    """
    with workspace.ledger.read() as tx:
        if run_id == "last":
            runs = entries.find(tx, Run, project=workspace.project, limit=10_000)
            found = next((run for run in runs if run.pipeline == pipeline.name and run.deleted_at is None), None)
            if found is None:
                raise NotFound(
                    f"The pipeline {pipeline.name!r} was never run here.", fix=f"Run it: slipway run {pipeline.name}"
                )
            earlier = found
        else:
            try:
                earlier = entries.get(tx, Run, run_id)
            except NotFound as problem:
                raise NotFound(f"There is no run {run_id!r} to resume.", fix="See `slipway runs list`.") from problem
    if earlier.pipeline != pipeline.name:
        raise InvalidInput(
            f"The run {run_id} is of {earlier.pipeline or 'no pipeline'}, not of {pipeline.name!r}.",
            fix="Resume a run of the same pipeline, or run this one anew.",
            field="resume",
        )
    if earlier.state == "running" and not provenance.is_host_gone(earlier.host):
        raise Conflict(
            f"The run {earlier.id} is still running, in the process {earlier.host}.",
            why="Both would do the same work.",
            fix="Wait for it, or end that process first.",
        )
    return earlier


def params_of(workspace: Workspace, run: Run) -> Mapping[str, Any] | None:
    """The parameters that a run was given, in their own types; None where it had none or they could not be stored.

    Raises:
        NotFound: Their stored bytes are gone.
        Corrupt: They are damaged.
    """
    kept = [one for one in run.artifacts if one.name.partition("/")[0] == PARAMS]
    found: Mapping[str, Any] | None = artifacts.load(workspace.blobs, kept) if kept else None
    return found


def code_since(workspace: Workspace, before: CodeVersion, now: CodeVersion) -> str:
    """What changed in the code since a run, as a sentence; "" for nothing."""
    if before.snapshot and now.snapshot:
        if before.snapshot == now.snapshot:
            return ""
        try:
            old, new = (archive.read(workspace.blobs.get(one)) for one in (before.snapshot, now.snapshot))
        except (NotFound, Corrupt):
            return "The code has changed since; what depends on it runs again."
        files = [
            *(f"{name} changed" for name in sorted(old.keys() & new.keys()) if _differs(name, old[name], new[name])),
            *(f"{name} is new" for name in sorted(new.keys() - old.keys())),
            *(f"{name} is gone" for name in sorted(old.keys() - new.keys())),
        ]
        if not files:
            return ""
        shown = ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
        return f"The code has changed since: {shown}. Steps that depend on it run again."
    if before.closure and now.closure and before.closure != now.closure:
        return "The code of the pipeline has changed since; steps that depend on the change run again."
    return ""


def _differs(name: str, old: bytes, new: bytes) -> bool:
    if name.endswith(".json") and old != new:  # a snapshot's own list: what is installed is told of by steps
        try:
            before, now = msgspec.json.decode(old, type=dict), msgspec.json.decode(new, type=dict)
        except msgspec.DecodeError:
            return True
        return bool(before.get("declared") != now.get("declared"))
    return old != new
