"""Two runs of one pipeline side by side: where their results first differ, and why where that is known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slipway.pipelines.apart_because import Reason, of_body, of_step
from slipway.pipelines.reasons import by_call
from slipway.ports.blobs import Blobs
from slipway.records.reproductions import ReproductionCause, ReproductionVerdict
from slipway.records.runs import Artifact, Run, StepRun

__all__ = ["METRICS", "RESULT", "TOLERANCE", "Apart", "Compared", "Distance", "Made", "compare", "disagree", "scaled"]

RESULT, METRICS = "result", "metrics"
TOLERANCE = 1e-9
_OF_THE_MACHINE = re.compile(r"(^system/)|((^|[^a-z])(s|ms|us|ns|seconds?|minutes|time|duration|latency|bytes|mb|gb)$)")


@dataclass(frozen=True, slots=True)
class Apart:
    """How far two values of the same shape are apart.

    Args:
        absolute: The greatest difference of two numbers.
        relative: The greatest difference of two numbers as a share of the first.
        scaled: The greatest difference as a share of the first number, or of 1 where that is less: what a tolerance limits.
        where: What differs most: "column price", "the answers to its reference rows".
    """

    absolute: float = 0.0
    relative: float = 0.0
    scaled: float = 0.0
    where: str = ""


Distance = Callable[[Sequence[Artifact], Sequence[Artifact]], Apart | None]


@dataclass(frozen=True, slots=True)
class Made:
    """A run and its steps in the order of their calls, with the latest value of each metric."""

    run: Run
    steps: Sequence[StepRun]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison found; see `Reproduction` for the fields."""

    verdict: ReproductionVerdict
    sentence: str
    step: str = ""
    cause: ReproductionCause = ""
    compared: int = 0


@dataclass(slots=True)
class _Count:
    """How the comparison stands: what was equal, and what differed by less than is forgiven."""

    equal: int = 0
    near: list[tuple[str, Apart]] = field(default_factory=list)
    reason: Reason | None = None
    without: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        return self.equal + len(self.near)


def compare(blobs: Blobs, before: Made, after: Made, distance: Distance) -> Compared:
    """Compare every step's result, the pipeline's own and its metrics: by logical fingerprint, else by tolerance.

    Args:
        blobs: Hold the steps' code closures, to say what changed.
        before: A run that finished.
        after: The run that repeated it, finished or failed.
        distance: How far apart two stored values are, None where they have not the same shape or are no numbers.
    """
    again, count = dict(by_call(after.steps)), _Count()
    for place, old in by_call(before.steps):
        new = again.pop(place, None)
        if new is None and after.run.state == "finished":
            return _differs(old.name, of_body(blobs, before.run, after.run).told("it was not called again"), count)
        if new is None:
            return _failed(blobs, before.run, after.run, count)
        if found := _step(blobs, old, new, before.run, after.run, distance, count):
            return found
    if after.run.state != "finished":
        return _failed(blobs, before.run, after.run, count)
    body = of_body(blobs, before.run, after.run)
    if again:
        return _differs(next(iter(again))[0], body.told("it was not called by the first run"), count)
    steps, forgiven = count.compared, _tolerance(before.run)
    first, second = _own_result(before.run), _own_result(after.run)
    if _cannot_tell(first, second):
        count.without.append("the pipeline's own")
    elif (apart := _apart(first, second, distance, forgiven, count, RESULT)) is not None:
        told = f"the steps' results are the same: the pipeline makes it of them outside any step{_far(apart)}"
        return _differs(RESULT, body.told(told), count)
    if moved := _moved(before.metrics, after.metrics, forgiven):
        return _differs(METRICS, body.told(f"the results are the same, but not what the run logged: {moved}"), count)
    return _alike(before.run, count, steps)


def disagree(first: Made, second: Made, step: str) -> bool:
    """Whether two repetitions disagree on what a comparison found to differ: a step's results, the result or a metric."""
    if step == RESULT:
        return _prints(_own_result(first.run)) != _prints(_own_result(second.run))
    if step == METRICS:
        return bool(_moved(first.metrics, second.metrics, 0.0))
    mine, other = ([_prints(one.outputs) for one in made.steps if one.name == step] for made in (first, second))
    return mine != other


def scaled(first: float, second: float) -> Apart:
    """How far two numbers are apart; NaN is as NaN."""
    if first == second or (math.isnan(first) and math.isnan(second)):
        return Apart()
    difference = abs(first - second)
    if not math.isfinite(difference):
        return Apart(math.inf, math.inf, math.inf)
    share = difference / abs(first) if first else math.inf
    return Apart(difference, share, difference / max(1.0, abs(first)))


def _step(
    blobs: Blobs, old: StepRun, new: StepRun, before: Run, after: Run, distance: Distance, count: _Count
) -> Compared | None:
    """What a step that differs comes to; None for one that is alike, which is counted."""
    if new.state == "failed" and old.state != "failed":
        error = "it failed" if new.error is None else f"it failed: {new.error.told}"
        reason = of_step(blobs, old, new, before, after).told(error)
        if reason.cause in ("unknown", "data") and new.error is not None and new.error.type == "FileNotFoundError":
            words = f"{reason.words}; what lies beside the code and is not kept with a run must lie there: make a table of it"
            reason = Reason("data", words)
        return _differs(old.name, reason, count)
    if _cannot_tell(old.outputs, new.outputs):
        count.without.append(old.name)
        return None
    forgiven = _tolerance(before) if old.tolerance is None else old.tolerance
    known = len(count.near)
    apart = _apart(old.outputs, new.outputs, distance, forgiven, count, old.name)
    if apart is None:
        if len(count.near) > known and count.reason is None:
            count.reason = of_step(blobs, old, new, before, after)
        return None
    if count.reason is not None:
        first = count.near[0][0]
        words = f"it makes more of what was forgiven at {first} ({count.reason.words}){_far(apart)}"
        return _differs(old.name, Reason(count.reason.cause, words), count)
    reason = of_step(blobs, old, new, before, after)
    return _differs(old.name, Reason(reason.cause, f"{reason.words}{_far(apart)}"), count)


def _apart(
    old: Sequence[Artifact], new: Sequence[Artifact], distance: Distance, forgiven: float, count: _Count, name: str
) -> Apart | None:
    """How far two results are apart that are neither equal nor within tolerance; None for those that are, which count."""
    if _prints(old) == _prints(new):
        count.equal += 1
        return None
    apart = distance(old, new)
    if apart is None:
        return Apart(math.nan)
    if not apart.scaled <= forgiven:
        return apart
    count.near.append((name, apart))
    return None


def _alike(run: Run, count: _Count, steps: int) -> Compared:
    whose = f"those of run {run.id[:12]}"
    listed = ", ".join(count.without)
    rest = f" These results were not kept, so they could not be compared: {listed}." if listed else ""
    if not count.compared:
        return Compared(verdict="cannot", sentence=f"No result of run {run.id[:12]} was kept.{rest}")
    if count.near:
        name, apart = max(count.near, key=lambda one: one[1].scaled)
        why = "" if count.reason is None else f" The first of them is {count.near[0][0]}: {count.reason.words}."
        told = (
            f"{len(count.near)} of {count.compared} results differ from {whose} by no more than is forgiven, the others "
            f"are equal. Most differs {_named(name)}{_far(apart)}.{why}{rest}"
        )
        cause = "" if count.reason is None else count.reason.cause
        return Compared(verdict="within tolerance", sentence=told, cause=cause, compared=steps)
    if not steps:
        told = f"The result of the pipeline is equal to that of run {run.id[:12]}.{rest}"
    else:
        own = " and of the pipeline" if count.equal > steps else ""
        told = f"The results of {steps} {'step' if steps == 1 else 'steps'}{own} are equal to {whose}.{rest}"
    return Compared(verdict="equal", sentence=told, compared=steps)


def _differs(step: str, reason: Reason, count: _Count) -> Compared:
    return Compared(
        verdict="differs",
        sentence=f"It differs first at {_named(step)}: {reason.words.rstrip('.')}.",
        step=step,
        cause=reason.cause,
        compared=count.compared + 1,
    )


def _named(step: str) -> str:
    return {RESULT: "the pipeline's result", METRICS: "its metrics", "": "the pipeline itself"}.get(step, step)


def _failed(blobs: Blobs, before: Run, after: Run, count: _Count) -> Compared:
    error = after.error
    words = f"the repetition is {after.state}" if error is None else f"it failed: {error.told}"
    return _differs("" if error is None else error.step, of_body(blobs, before, after).told(words), count)


def _far(apart: Apart) -> str:
    """By how much, in words: "" where that cannot be told."""
    if not math.isfinite(apart.absolute):
        return ""
    where = f", most in {apart.where}" if apart.where else ""
    share = f" ({apart.relative:.2g} of it)" if math.isfinite(apart.relative) else ""
    return f"; at most {apart.absolute:.2g} apart{share}{where}"


def _moved(before: Mapping[str, float], after: Mapping[str, float], forgiven: float) -> str:
    """The first metric that differs, in words. Those that measure the machine differ each time and are left out."""
    for key in sorted(before.keys() | after.keys()):
        if _OF_THE_MACHINE.search(key.partition("[")[0].lower()):
            continue
        if key not in after:
            return f"{key} was not logged again"
        if key not in before:
            return f"{key} was not logged by the first run"
        if not scaled(before[key], after[key]).scaled <= forgiven:
            return f"{key} was {before[key]:.6g} and is {after[key]:.6g}"
    return ""


def _tolerance(run: Run) -> float:
    return TOLERANCE if run.tolerance is None else run.tolerance


def _own_result(run: Run) -> tuple[Artifact, ...]:
    return tuple(one for one in run.artifacts if one.name.partition("/")[0] == RESULT)


def _prints(artifacts: Sequence[Artifact]) -> list[tuple[str, str]]:
    return [(one.name, one.fingerprint) for one in artifacts]


def _cannot_tell(old: Sequence[Artifact], new: Sequence[Artifact]) -> bool:
    """Whether there is nothing to compare: not kept, or kept as a pickle, whose bytes mean nothing."""
    if not old or not new:
        return True
    is_pickled = any(one.format == "pickle" and one.fingerprint == one.digest for one in (*old, *new))
    return is_pickled and _prints(old) != _prints(new)
