"""Two runs of one pipeline side by side: where their results first differ, and why where that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from slipway.pipelines.reasons import code_changes, read_closures
from slipway.ports.blobs import Blobs
from slipway.records.reproductions import ReproductionVerdict
from slipway.records.runs import Artifact, Environment, Run, StepRun

__all__ = ["RESULT", "TOLERANCE", "Compared", "Distance", "Made", "compare"]

RESULT = "result"
TOLERANCE = 1e-9
_SHOWN = 5

Distance = Callable[[Artifact, Artifact], float | None]


@dataclass(frozen=True, slots=True)
class Made:
    """A run and its steps in the order of their calls."""

    run: Run
    steps: Sequence[StepRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison found; see `Reproduction` for the fields."""

    verdict: ReproductionVerdict
    sentence: str
    step: str = ""
    compared: int = 0


@dataclass(slots=True)
class _Count:
    """How the comparison stands."""

    equal: int = 0
    greatest: float = 0.0
    near: int = 0


def compare(blobs: Blobs, before: Made, after: Made, distance: Distance) -> Compared:
    """Compare every step's result, and the pipeline's own, by logical fingerprint.

    Args:
        blobs: Hold the steps' code closures, to say what changed.
        before: A run that finished.
        after: The run that repeated it, finished or failed.
        distance: How far apart the answers of two stored models are, None for what is no model.
    """
    again = dict(_numbered(after.steps))
    count, without = _Count(), list[str]()
    for place, old in _numbered(before.steps):
        new = again.pop(place, None)
        if new is None and after.run.state == "finished":
            return _differs(old.name, "it was not called again", count)
        if new is None:
            return _differs(*_failed(after.run), count)
        if new.state == "failed" and old.state != "failed":
            return _differs(old.name, _error(new), count)
        if _cannot_tell(old.outputs, new.outputs):
            without.append(old.name)
        elif not _is_same(old.outputs, new.outputs, distance, count):
            return _differs(old.name, _reason(blobs, old, new, before.run, after.run), count)
    if after.run.state != "finished":
        return _differs(*_failed(after.run), count)
    if again:
        return _differs(next(iter(again))[0], "it was not called by the first run", count)
    steps = count.equal + count.near
    first, second = _own_result(before.run), _own_result(after.run)
    if _cannot_tell(first, second):
        without.append("the pipeline's own")
    elif not _is_same(first, second, distance, count):
        told = "the steps' results are the same: the pipeline makes it of them outside any step"
        return _differs(RESULT, told, count)
    return _alike(before.run, count, steps, without)


def _alike(run: Run, count: _Count, steps: int, without: list[str]) -> Compared:
    whose = f"those of run {run.id[:12]}"
    rest = f" These results were not kept, so they could not be compared: {', '.join(without)}." if without else ""
    if not count.equal + count.near:
        return Compared(verdict="cannot", sentence=f"No result of run {run.id[:12]} was kept.{rest}")
    if count.near:
        told = (
            f"The models answer their reference rows as {whose} do, at most {count.greatest:.2g} apart; "
            f"{count.equal} of {count.equal + count.near} results are equal.{rest}"
        )
        return Compared(verdict="within tolerance", sentence=told, compared=steps)
    if not steps:
        told = f"The result of the pipeline is equal to that of run {run.id[:12]}.{rest}"
    else:
        own = " and of the pipeline" if count.equal > steps else ""
        told = f"The results of {steps} {'step' if steps == 1 else 'steps'}{own} are equal to {whose}.{rest}"
    return Compared(verdict="equal", sentence=told, compared=steps)


def _differs(step: str, reason: str, count: _Count) -> Compared:
    where = "the pipeline's result" if step == RESULT else step or "the pipeline itself"
    return Compared(
        verdict="differs",
        sentence=f"It differs first at {where}: {reason.rstrip('.')}.",
        step=step,
        compared=count.equal + count.near + 1,
    )


def _numbered(steps: Sequence[StepRun]) -> Iterator[tuple[tuple[str, int], StepRun]]:
    """Each step under its name and which call of that name it is."""
    seen: Counter[str] = Counter()
    for step in steps:
        yield (step.name, seen[step.name]), step
        seen[step.name] += 1


def _own_result(run: Run) -> tuple[Artifact, ...]:
    return tuple(one for one in run.artifacts if one.name.partition("/")[0] == RESULT)


def _cannot_tell(old: Sequence[Artifact], new: Sequence[Artifact]) -> bool:
    """Whether there is nothing to compare: not kept, or kept as a pickle, whose bytes mean nothing."""
    if not old or not new:
        return True
    pickled = [one for one in (*old, *new) if one.format == "pickle" and one.fingerprint == one.digest]
    return bool(pickled) and [one.fingerprint for one in old] != [one.fingerprint for one in new]


def _is_same(old: Sequence[Artifact], new: Sequence[Artifact], distance: Distance, count: _Count) -> bool:
    if [(one.name, one.fingerprint) for one in old] == [(one.name, one.fingerprint) for one in new]:
        count.equal += 1
        return True
    if len(old) != 1 or len(new) != 1:
        return False
    apart = distance(old[0], new[0])
    if apart is None or not apart <= TOLERANCE:
        return False
    count.near += 1
    count.greatest = max(count.greatest, apart)
    return True


def _failed(run: Run) -> tuple[str, str]:
    if run.error is None:
        return "", f"the repetition is {run.state}"
    return run.error.step, f"it failed: {run.error.type}: {run.error.message}"


def _error(step: StepRun) -> str:
    return "it failed" if step.error is None else f"it failed: {step.error.type}: {step.error.message}"


def _reason(blobs: Blobs, old: StepRun, new: StepRun, before: Run, after: Run) -> str:
    names = sorted(old.inputs.keys() | new.inputs.keys())
    if arguments := [name for name in names if old.inputs.get(name) != new.inputs.get(name)]:
        return f"its argument {', '.join(arguments)} is another, which the pipeline makes between its steps"
    was, is_now = read_closures(blobs, old.closure), read_closures(blobs, new.closure)
    if was and is_now and (changes := code_changes(was, is_now)):
        return _listed(changes)
    if read := _read_otherwise(old, new):
        return f"its arguments and its code are the same, but not what it reads by itself: {_listed(read)}"
    if others := _environment_changes(before.environment, after.environment):
        return f"its arguments and its code are the same, but not what is installed: {_listed(others)}"
    return (
        "its arguments, its code and the libraries are the same, so it depends on something that nobody records: random "
        "numbers without a seed, the clock, the network, or how many threads there are"
    )


def _read_otherwise(old: StepRun, new: StepRun) -> list[str]:
    """Files and variables that both calls read, with another content."""
    was = {(one.kind, one.name): one.content for one in old.hidden}
    words = {"env": "environment variable", "folder": "folder", "file": "file", "path": "path"}
    return [
        f"{words[one.kind]} {one.name}"
        for one in new.hidden
        if was.get((one.kind, one.name), one.content) != one.content
    ]


def _environment_changes(before: Environment | None, after: Environment | None) -> list[str]:
    if before is None or after is None:
        return []
    changes = [] if before.python == after.python else [f"Python {before.python} -> {after.python}"]
    changes += [] if before.platform == after.platform else [f"{before.platform} -> {after.platform}"]
    old, new = (dict(line.split("==", 1) for line in one.lock) for one in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            changes.append(f"{name} {old.get(name, '(absent)')} -> {new.get(name, '(absent)')}")
    return changes


def _listed(changes: list[str]) -> str:
    more = len(changes) - _SHOWN
    return ", ".join(changes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
