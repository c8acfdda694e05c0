"""Why a result of a run is not what it was: what is recorded of both runs and differs, in words and as a kind of cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from slipway.ledger import locks, provenance
from slipway.pipelines.hidden.present import ALL_VARIABLES
from slipway.pipelines.reasons import code_changes, read_closures
from slipway.ports.blobs import Blobs
from slipway.records.reproductions import ReproductionCause
from slipway.records.runs import Environment, HiddenInput, Machine, Run, StepRun

__all__ = [
    "Reason",
    "environment_changes",
    "hidden_changes",
    "installed_changes",
    "is_library",
    "listed",
    "machine_changes",
    "of_body",
    "of_step",
]

_SHOWN = 5
_LONG = re.compile(r"(@[0-9a-f]{12})[0-9a-f]{52}")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something differs; the cause is "unknown" where nothing that is recorded does."""

    cause: ReproductionCause
    words: str

    def told(self, what: str) -> Reason:
        """The same cause of something else: what was found comes first."""
        return replace(self, words=what if self.cause == "unknown" else f"{what}; {self.words}")


def of_step(blobs: Blobs, old: StepRun, new: StepRun, before: Run, after: Run) -> Reason:
    """Why a step's result is another: code, then data, then what is installed, then what computed."""
    names = sorted(old.inputs.keys() | new.inputs.keys())
    if arguments := [name for name in names if old.inputs.get(name) != new.inputs.get(name)]:
        told = f"its argument {', '.join(arguments)} is another, which the pipeline makes between its steps"
        return of_body(blobs, before, after).told(told)
    was, is_now = read_closures(blobs, old.closure), read_closures(blobs, new.closure)
    changes = code_changes(was, is_now) if was and is_now else []
    if own := [change for change in changes if not is_library(change)]:
        return Reason("code", listed(own))
    if set(old.reads) != set(new.reads):
        return Reason("data", f"it read {_set(new.reads)}, and {_set(old.reads)} before")
    if hidden := hidden_changes(old.hidden, new.hidden):
        return Reason(
            "data", f"its arguments and its code are the same, but not what it reads by itself: {listed(hidden)}"
        )
    if changes:
        return Reason(_kind(changes), listed(changes))
    found = _around(blobs, before, after)
    return replace(found, words=f"its arguments and its code are the same{found.words}")


def hidden_changes(old: Sequence[HiddenInput], new: Sequence[HiddenInput]) -> list[str]:
    """What was read beside arguments and tables and is another now, in words. What is said of threads is of the machine."""
    now = {(one.kind, place): one.content for one in new for place in _places(one)}
    told = []
    for one in sorted(old, key=lambda one: (one.kind, _places(one)[0])):
        found = next((now[one.kind, place] for place in _places(one) if (one.kind, place) in now), one.content)
        if found == one.content or (one.kind == "env" and one.name in provenance.THREADS):
            continue
        what = "environment variable" if one.kind == "env" else one.kind
        told.append("other environment variables" if one.name == ALL_VARIABLES else f"{what} {_places(one)[0]}")
    return told


def _places(read: HiddenInput) -> list[str]:
    """What it is called: first relative to the project where it belongs to it, which is another folder in a repetition."""
    beside = read.beside if not read.beside.startswith("..") else ""
    return [place for place in (read.kept, beside, read.name) if place]


def of_body(blobs: Blobs, before: Run, after: Run) -> Reason:
    """Why what a pipeline does between its steps is another."""
    if before.code.snapshot != after.code.snapshot:
        return Reason("code", "it ran from another snapshot of the project")
    if set(before.inputs) != set(after.inputs) and after.state == "finished":
        return Reason("data", f"the run read {_set(after.inputs)}, and {_set(before.inputs)} before")
    if hidden := hidden_changes(before.hidden, after.hidden):
        return Reason("data", f"the code is the same, but not what the pipeline reads by itself: {listed(hidden)}")
    found = _around(blobs, before, after)
    return replace(found, words=f"the code is the same{found.words}")


def _around(blobs: Blobs, before: Run, after: Run) -> Reason:
    installed, computed = installed_changes(blobs, before, after), machine_changes(before, after)
    told = [f"what is installed: {listed(installed)}"] if installed else []
    told += [f"what computed: {listed(computed)}"] if computed else []
    if told:
        cause = _kind(installed) if installed else "hardware"
        return Reason(cause, f", but not {', and not '.join(told)}")
    return Reason("unknown", ", and so are the libraries and the machine: it depends on something that nobody records")


def _kind(changes: Sequence[str]) -> ReproductionCause:
    """Of what is installed otherwise: another Python brings other builds of libraries with it, so it comes first."""
    return "python" if any(change.startswith("Python ") for change in changes) else "library"


def installed_changes(blobs: Blobs, before: Run, after: Run) -> list[str]:
    """What is installed otherwise, in words: "numpy 2.0.0 -> 2.1.0"."""
    old, new = before.environment, after.environment
    return [] if old is None or new is None else environment_changes(blobs, old, new)


def environment_changes(blobs: Blobs, old: Environment, new: Environment, *, are_whole: bool = False) -> list[str]:
    """What two environments have installed otherwise, in words.

    Args:
        blobs: Where locks are kept.
        old: The earlier one.
        new: The later one.
        are_whole: Whether what only one of them names is a difference too.
    """
    changes = [] if old.python == new.python else [f"Python {old.python} -> {new.python}"]
    return changes + locks.differences(blobs, old, new, are_whole=are_whole)


def machine_changes(before: Run, after: Run) -> list[str]:
    """What computed otherwise, in words: the system, the processor, its cores, what was said of threads."""
    changes: list[str] = []
    if before.environment and after.environment and before.environment.platform != after.environment.platform:
        changes.append(f"{before.environment.platform} -> {after.environment.platform}")
    if before.machine is None or after.machine is None:
        return changes
    old, new = before.machine, after.machine
    if old.cpu != new.cpu:
        changes.append(f"processor {old.cpu or '(unknown)'} -> {new.cpu or '(unknown)'}")
    if old.cores != new.cores:
        changes.append(f"cores {old.cores} -> {new.cores}")
    return changes + _thread_changes(old, new)


def _thread_changes(old: Machine, new: Machine) -> list[str]:
    names = sorted(old.threads.keys() | new.threads.keys())
    pairs = [(name, old.threads.get(name, "(not set)"), new.threads.get(name, "(not set)")) for name in names]
    return [f"{name} {was} -> {now}" for name, was, now in pairs if was != now]


def is_library(change: str) -> bool:
    """Whether a change of a closure, in words, is one of what is installed."""
    return change.startswith(("library ", "new: library ", "no longer used: library ", "Python "))


def listed(changes: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(changes) - _SHOWN
    return ", ".join(changes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _set(nodes: Sequence[str]) -> str:
    return listed([_LONG.sub(r"\1", node) for node in sorted(nodes)]) if nodes else "nothing"
