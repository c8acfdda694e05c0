"""Why a step ran, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from slipway.code import CodeClosure, explain_change
from slipway.errors import Corrupt, NotFound
from slipway.ledger import entries
from slipway.ledger.run_log import REPRODUCES
from slipway.ledger.run_tags import RERUNS
from slipway.pipelines.hidden.present import Place, changes
from slipway.pipelines.keys import StepKey
from slipway.ports.blobs import Blobs
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun

__all__ = ["Earlier", "by_call", "code_changes", "difference", "read_closures", "steps_of", "write_closures"]


class Earlier:
    """The calls that a run's are compared with.

    Those of the run that it was started from, else of the pipeline's last run, else the step's latest one.

    Args:
        workspace: Where runs are recorded.
        run: The present run.
    """

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._workspace = workspace
        self._run = run
        self._by_call: dict[tuple[str, int], StepRun] | None = None
        self._latest: dict[str, StepRun | None] = {}
        self._closures: dict[str, tuple[CodeClosure, ...]] = {}

    def call(self, name: str, occurrence: int) -> StepRun | None:
        """The earlier call to compare with: the step's call of the same number in the last run, or its latest one.

        Args:
            name: The step's name.
            occurrence: Which call of the step within the run, from 0.
        """
        if self._by_call is None:
            with self._workspace.ledger.read() as tx:
                self._by_call = self._last_run(tx)
        if (same := self._by_call.get((name, occurrence))) is not None:
            return same
        if name not in self._latest:
            with self._workspace.ledger.read() as tx:
                found = entries.find(tx, StepRun, project=self._run.project, name=name, limit=20)
            others = (step for step in found if step.parent_id != self._run.id and step.state != "running")
            self._latest[name] = next(others, None)
        return self._latest[name]

    def closures(self, digest: str) -> tuple[CodeClosure, ...] | None:
        """See `read_closures`; calls of one step have the same, which are read once."""
        found = self._closures.get(digest) or read_closures(self._workspace.blobs, digest)
        if found:
            self._closures[digest] = found
        return found

    def _last_run(self, tx: ReadTransaction) -> dict[tuple[str, int], StepRun]:
        last = self._run.tags.get(RERUNS, "")
        if not last:
            recent = entries.find(tx, Run, project=self._run.project, limit=200)
            own = (run for run in recent if run.pipeline == self._run.pipeline and run.id != self._run.id)
            last = next((run.id for run in own if REPRODUCES not in run.tags), "")
        return dict(by_call(steps_of(tx, last))) if last else {}


def steps_of(tx: ReadTransaction, run_id: str) -> list[StepRun]:
    """The steps of a run in the order of their calls."""
    found = entries.find(tx, StepRun, parent=run_id, limit=100_000)
    return sorted(found, key=lambda step: int(step.id.rpartition(".")[2]))


def by_call(steps: Iterable[StepRun]) -> Iterator[tuple[tuple[str, int], StepRun]]:
    """Each step of a run under its name and which call of that name it is.

    Args:
        steps: In the order of their calls.
    """
    seen: Counter[str] = Counter()
    for step in steps:
        yield (step.name, seen[step.name] if step.occurrence is None else step.occurrence), step
        seen[step.name] += 1


def write_closures(blobs: Blobs, closures: tuple[CodeClosure, ...]) -> str:
    """Keep a step's closures for later comparison; returns their digest, "" for none."""
    return blobs.put(msgspec.json.encode(closures)) if closures else ""


def read_closures(blobs: Blobs, digest: str) -> tuple[CodeClosure, ...] | None:
    """The closures kept under a digest, None where they are gone or unreadable: a reason less, not an error."""
    try:
        return msgspec.json.decode(blobs.get(digest), type=tuple[CodeClosure, ...]) if digest else ()
    except (NotFound, Corrupt, msgspec.DecodeError):
        return None


def difference(
    earlier: StepRun | None, closures: tuple[CodeClosure, ...] | None, present: StepKey, place: Place
) -> str:
    """What differs between an earlier call and the present one, in words.

    Args:
        earlier: The call to compare with, None for none.
        closures: The closures of its code, None where they are gone.
        present: The present call.
        place: Where its paths begin.
    """
    if earlier is None:
        return "first run"
    if earlier.state in ("cancelled", "waiting"):  # what it would have been given is not known
        return f"it did not begin in run {earlier.parent_id[:12]}"
    changed: list[str] = []
    before, now = earlier.inputs, present.inputs
    for words, names in (
        ("changed", [name for name in now if name in before and before[name] != now[name]]),
        ("is new", [name for name in now if name not in before]),
        ("is gone", [name for name in before if name not in now]),
    ):
        changed += [f"argument {name} {words}" for name in names]
    if closures is None:
        changed.append("its code may have changed (what it was is no longer stored)")
    else:
        changed += code_changes(closures, present.closures)
    changed += changes(earlier.hidden, place)
    if changed:
        return ", ".join(changed)
    if earlier.state == "failed":
        told = "was killed" if earlier.error is not None and earlier.error.type == "Killed" else "failed"
        return f"it {told} in run {earlier.parent_id[:12]}"
    if not earlier.key and earlier.refusal:
        return f"run {earlier.parent_id[:12]} did not keep its result"
    if not earlier.key:
        return f"run {earlier.parent_id[:12]} did not store a result that can be used again"
    return "no stored result for exactly these arguments and this code"


def code_changes(before: tuple[CodeClosure, ...], now: tuple[CodeClosure, ...]) -> list[str]:
    """What differs between two calls' closures, in words."""
    old = {closure.root: closure for closure in before}
    new = {closure.root: closure for closure in now}
    if len(old) == len(new) == 1:  # a renamed function is compared, not called new
        return explain_change(*old.values(), *new.values())
    changed = [change for root in new if root in old for change in explain_change(old[root], new[root])]
    changed += [f"function {root} is new" for root in new if root not in old]
    changed += [f"function {root} is no longer used" for root in old if root not in new]
    return list(dict.fromkeys(changed))
