"""Run a pipeline once a key: whoever calls again with the same key gets the run that there is.

For schedulers that call again when they do not know how a call ended. The key points at its run from before the first
step; that it is done, registration included, is a reference of its own, written last. Of two callers at the same time on
one machine the second waits at a lock that goes with its process; from another machine it waits for the run itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.release import Released
from slipway.hashing import fingerprint
from slipway.ledger import entries, provenance
from slipway.ledger.run_rules import set_params
from slipway.pipelines.single_flight import SingleFlight
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.runs import Run
from slipway.runs.recovery import recover

__all__ = ["Begun", "KeyedRun", "run_once"]

_REF, _DONE = "run-key", "run-key-done"
_LONGEST = 250
_POLL_S = 1.0

Begun = Callable[[WriteTransaction, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRun:
    """The run of a key.

    Args:
        run: The run.
        version: The model version that it registered, None for none.
        is_new: Whether this call ran it.
    """

    run: Run
    version: ModelVersion | None
    is_new: bool


def run_once(
    workspace: Workspace,
    pipeline: str,
    key: str,
    params: Mapping[str, object],
    go: Callable[[Begun, str | None], Released],
) -> KeyedRun:
    """The finished run of a key; runs the pipeline where there is none.

    A run of the key that failed or was killed is resumed. One that is under way is waited for.

    Args:
        workspace: Where it is recorded.
        pipeline: The pipeline's name; each has its own keys.
        key: The key.
        params: The pipeline's parameters, all of them.
        go: Runs it: is given what to call when the run has begun, and the id of the run to resume, None for none.

    Raises:
        InvalidInput: The key is empty or longer than 250 characters.
        Conflict: The key's run has other parameters.
        StepFailed: A step raised; the same key runs it again.
    """
    if not key.strip() or len(key) > _LONGEST or not key.isprintable():
        raise InvalidInput(
            f"The key {key[:100]!r} is no key.", fix=f"Give 1 to {_LONGEST} printable characters.", field="key"
        )
    name = f"{pipeline}/{key}"
    one = SingleFlight(workspace.root / "run-keys", threading.Event())
    waiting = _Told(workspace, f"Another process runs {pipeline} with the key {key!r}: waiting for it.")
    with one.alone(fingerprint(name), waiting):
        while True:
            with workspace.ledger.read() as tx:
                pointed, run = _run_of(tx, workspace, name)
                done = tx.ref(workspace.project, _DONE, name)
                version = _version(tx, done)
            if run is not None:
                _check_same(key, run, params)
                if done is not None and done.split()[0] == run.id:
                    return KeyedRun(run=run, version=version, is_new=False)
                if run.state == "running":
                    if provenance.is_host_gone(run.host):
                        recover(workspace)
                    else:
                        waiting.say()
                        threading.Event().wait(_POLL_S)
                    continue
            claim = _Claim(workspace, name, pointed)
            try:
                released = go(claim, run.id if run is not None else None)
            except Conflict:
                if claim.is_lost:  # a caller on another machine was first
                    continue
                raise
            _done(workspace, name, released)
            return KeyedRun(run=released.run, version=released.version, is_new=True)


class _Claim:
    """Points the key at the run that has just begun."""

    def __init__(self, workspace: Workspace, name: str, pointed: str | None) -> None:
        self._workspace = workspace
        self._name = name
        self._pointed = pointed
        self.is_lost = False

    def __call__(self, tx: WriteTransaction, run_id: str) -> None:
        try:
            tx.set_ref(self._workspace.project, _REF, self._name, run_id, expect=self._pointed)
        except Conflict:
            self.is_lost = True
            raise


class _Told(nullcontext[None]):
    """Says once that somebody is waited for."""

    def __init__(self, workspace: Workspace, words: str) -> None:
        super().__init__()
        self._workspace = workspace
        self._words = words

    def say(self) -> None:
        if self._words:
            self._workspace.say(self._words)
            self._words = ""

    def __enter__(self) -> None:
        self.say()


def _run_of(tx: ReadTransaction, workspace: Workspace, name: str) -> tuple[str | None, Run | None]:
    """What the key points at, and the run where it still counts."""
    pointed = tx.ref(workspace.project, _REF, name)
    if pointed is None:
        return None, None
    try:
        run = entries.get(tx, Run, pointed)
    except NotFound:  # purged
        return pointed, None
    return pointed, None if run.deleted_at is not None else run


def _version(tx: ReadTransaction, done: str | None) -> ModelVersion | None:
    words = (done or "").split()
    try:
        return entries.get(tx, ModelVersion, words[1]) if len(words) > 1 else None
    except NotFound:  # purged since
        return None


def _check_same(key: str, run: Run, params: Mapping[str, object]) -> None:
    given = set_params({}, params)
    before = {name: value for name, value in run.params.items() if name in given}
    if before != given:
        told = ", ".join(f"{name}={before.get(name)!r}" for name in sorted(given) if before.get(name) != given[name])
        raise Conflict(
            f"The key {key!r} belongs to the run {run.id}, which had other parameters: {told}.",
            why="A key stands for one piece of work.",
            fix="Use another key, or the same parameters.",
        )


def _done(workspace: Workspace, name: str, released: Released) -> None:
    target = released.run.id if released.version is None else f"{released.run.id} {released.version.id}"
    with workspace.ledger.write() as tx:
        before = tx.ref(workspace.project, _DONE, name)
        tx.set_ref(workspace.project, _DONE, name, target, expect=before)
