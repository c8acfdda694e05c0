"""Reproduce: run a run again from its snapshot, parameters and table versions, and compare every result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from slipway.code.libraries import python_version
from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound, SlipwayError
from slipway.flows.distance import apart
from slipway.flows.rebuilt import python_for
from slipway.flows.repeatable import beside_of, check_pipelines, check_snapshot, erased_since, pins_of, run_meant
from slipway.flows.trials_compared import compare_searches, with_trials
from slipway.flows.warm_start import started_from
from slipway.ledger import entries, events, lineage, provenance
from slipway.ledger.attest import read_back, signed
from slipway.ledger.limits import check_pipeline
from slipway.ledger.run_log import REPRODUCES
from slipway.ledger.run_tags import RESTORED
from slipway.operations.runs import Reproduce, Reproduced
from slipway.pipelines import cache, snapshot, staging
from slipway.pipelines.comparison import RESULT, Apart, Compared, Distance, Made, compare, disagree
from slipway.pipelines.reasons import steps_of
from slipway.ports.runner import LOG_FILE
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import Reproduction, ReproductionCause, SearchCompared
from slipway.records.runs import Artifact, Run, RunError
from slipway.runs import search
from slipway.schema.fingerprints import of_value

__all__ = ["reproduce"]

_MISSING = frozenset({"ModuleNotFoundError", "ImportError", "MissingExtra"})
_ENVIRONMENT = "slipway.environment"
_NOT_OURS = frozenset({"unknown", "python", "library", "hardware"})
_READABLE = frozenset({"json", "parquet", "npy", "pandas", "model"})


def reproduce(workspace: Workspace, request: Reproduce) -> Reproduced:
    """Run a run again in a fresh process and compare; while it still runs, asking again goes on waiting for it.

    Where it differs and neither code nor data says why, it is run once more: two repetitions that disagree show that it
    is chance, two that agree that it is what is installed or what computed.

    Raises:
        NotFound: There is no such run or model version.
        InvalidInput: The run cannot be run again at all: it is no pipeline's, has no snapshot, or did not finish.
        OverQuota: The project may begin no more runs today, or has as many pipelines under way as it may.
    """
    run, bundle = run_meant(workspace, request.target)
    _check(run)
    with workspace.ledger.read() as tx:
        number = len(entries.find(tx, Reproduction, parent=run.id, limit=100_000)) + 1
    name = f"reproduce-{run.id}-{number}"
    folder = workspace.root.resolve() / "tasks" / name
    if workspace.runner.state(folder) == "absent":
        if found := _stands_against(workspace, run):
            return Reproduced(reproduction=_record(workspace, run, number, bundle, found, None))
        check_pipeline(workspace)
        try:
            _begin(workspace, run, name, request.environment)
        except SlipwayError as problem:
            told, cause = f"Its environment cannot be built: {problem}", _unbuilt_because(run)
            cannot = Compared(verdict="cannot", sentence=told, cause=cause)
            return Reproduced(reproduction=_record(workspace, run, number, bundle, cannot, None))
    if workspace.runner.wait(folder, request.wait_s) == "running":
        return Reproduced(reproduction=None)
    found, again, searches = _judged(workspace, run, folder)
    if again is not None and found.verdict == "differs" and found.cause in _NOT_OURS:
        once_more = folder.with_name(f"{name}-again")
        if workspace.runner.state(once_more) == "absent":
            check_pipeline(workspace)
            _begin(workspace, run, once_more.name, request.environment)
        if workspace.runner.wait(once_more, request.wait_s) == "running":
            return Reproduced(reproduction=None)
        found = _by_chance(workspace, found, again, once_more)
    return Reproduced(reproduction=_record(workspace, run, number, bundle, found, again, searches))


def _unbuilt_because(run: Run) -> ReproductionCause:
    """Another minor version of Python is missing, or what is installed here is built for this one."""
    then = run.environment.python.split(".")[:2] if run.environment is not None else []
    return "python" if then and ".".join(then) != python_version() else "library"


def _begin(workspace: Workspace, run: Run, name: str, environment: Literal["lock", "here"]) -> None:
    """Write the task of a repetition and start it, in the environment that was asked for."""
    python = python_for(workspace, run) if environment == "lock" else ""
    tags = {REPRODUCES: run.id, _ENVIRONMENT: "the lock" if python else "here"}
    threads = _threads_of(run)
    if told := ", ".join(f"{name} {'(not set)' if said is None else said}" for name, said in threads.items()):
        tags[RESTORED] = told
    files, cwd = beside_of(workspace, run)
    task = staging.task(
        workspace,
        snapshot=run.code.snapshot,
        pipeline=run.pipeline,
        params_of=run.id,
        tags=tags,
        pins=pins_of(workspace, run),
        use_cache=False,
        register=False,
        warm_start=started_from(workspace, run),
        files=files,
        cwd=cwd,
    )
    workspace.runner.start(staging.stage(workspace, name, task), python=python, variables=threads)


def _threads_of(run: Run) -> dict[str, str | None]:
    """What the run was told of threads and this process is told otherwise; None for what it was not told."""
    if run.machine is None:
        return {}
    then, now = run.machine.threads, provenance.machine().threads
    return {name: then.get(name) for name in provenance.THREADS if then.get(name) != now.get(name)}


def _check(run: Run) -> None:
    check_pipelines(run)
    if run.state != "finished":
        raise InvalidInput(
            f"The run {run.id} of {run.pipeline!r} is {run.state}.",
            why="There is no result to compare with.",
            fix="Reproduce one that finished: slipway runs list --state finished",
            field="target",
        )
    check_snapshot(run)


def _stands_against(workspace: Workspace, run: Run) -> Compared | None:
    """What makes a repetition pointless: something that it takes is gone, or what it would be compared with was altered."""
    is_erased = bool(erased_since(workspace, run))
    try:
        pins_of(workspace, run)
        beside_of(workspace, run)
    except (NotFound, Corrupt) as problem:
        return Compared(verdict="cannot", sentence=str(problem), cause="erased rows" if is_erased else "data")
    try:
        code = snapshot.contents_of(workspace, run.code.snapshot)
    except (NotFound, Corrupt) as problem:
        return Compared(verdict="cannot", sentence=str(problem), cause="code")
    try:
        snapshot.check_files(workspace, code)
    except NotFound as problem:
        return Compared(verdict="cannot", sentence=str(problem), cause="data")
    with workspace.ledger.read() as tx:
        steps = steps_of(tx, run.id)
    kept = [(step.name, step.outputs) for step in steps]
    for name, outputs in [*kept, (RESULT, [one for one in run.artifacts if one.name.partition("/")[0] == RESULT])]:
        if fault := _altered(workspace, outputs):
            where = "the pipeline's result" if name == RESULT else name
            told = f"It differs first at {where}: what run {run.id[:12]} stored was altered since: {fault}"
            return Compared(verdict="differs", sentence=told, step=name, cause="artifact")
    return None


def _altered(workspace: Workspace, outputs: Sequence[Artifact]) -> str:
    """What is wrong with stored results, in words; "" where they are what was stored, or are gone.

    The bytes must have their digest, and the value its fingerprint: whoever changes both bytes and digest is told too.
    """
    for group in _values(outputs):
        try:
            if any(one.format not in _READABLE for one in group):
                for one in group:
                    workspace.blobs.get(one.digest)
            elif of_value(cache.decode(group, lambda one: workspace.blobs.get(one.digest))) != group[0].fingerprint:
                return f"the value of {group[0].name!r} is not the one that its fingerprint names."
        except NotFound:
            continue
        except (Corrupt, InvalidInput) as problem:
            return problem.what
    return ""


def _values(outputs: Sequence[Artifact]) -> Iterator[list[Artifact]]:
    """The artifacts of each value: its own, and those of its parts."""
    for _, group in groupby(outputs, key=lambda one: one.name.partition("/")[0]):
        yield list(group)


class _Judged(NamedTuple):
    """What came of a repetition: the verdict, its run (None where none began), and its searches."""

    found: Compared
    again: Run | None = None
    searches: tuple[SearchCompared, ...] = ()


def _judged(workspace: Workspace, run: Run, folder: Path) -> _Judged:
    answer = staging.answer(folder)
    if answer is None:
        told = f"It was killed; see {folder / LOG_FILE}."
        return _Judged(Compared(verdict="cannot", sentence=told, cause="unknown"))
    error = answer.error
    if not answer.run_id:
        told = error.message if error else "It came to nothing."
        return _Judged(Compared(verdict="cannot", sentence=told, cause="library" if _is_missing(error) else "unknown"))
    before, after = (_made(workspace, id) for id in (run.id, answer.run_id))
    if after.run.error is not None and _is_missing(after.run.error):
        told = f"A library is missing: {after.run.error.message}. Install what the run's lock names."
        return _Judged(Compared(verdict="cannot", sentence=told, cause="library"), after.run)
    found = compare(workspace.blobs, before, after, _distance(workspace))
    searches, first = compare_searches(workspace, before.run, after.run, partial(_compared, workspace))
    return _Judged(with_trials(found, searches, first), after.run, searches)


def _compared(workspace: Workspace, before: Run, after: Run) -> Compared:
    made = (_made(workspace, before.id), _made(workspace, after.id))
    return compare(workspace.blobs, *made, _distance(workspace))


def _is_missing(error: RunError | None) -> bool:
    return error is not None and error.type in _MISSING


def _made(workspace: Workspace, run_id: str) -> Made:
    with workspace.ledger.read() as tx:
        run, steps = entries.get(tx, Run, run_id), steps_of(tx, run_id)
    return Made(run, steps, search.metrics(workspace, run_id))


def _by_chance(workspace: Workspace, found: Compared, again: Run, once_more: Path) -> Compared:
    """The verdict, after two repetitions in the same environment: if they disagree, chance is the cause."""
    answer = staging.answer(once_more)
    if answer is None or not answer.run_id:
        return found
    first, second = _made(workspace, again.id), _made(workspace, answer.run_id)
    if found.step.startswith("trial "):
        is_chance = compare_searches(workspace, first.run, second.run, partial(_compared, workspace))[1] is not None
    else:
        is_chance = disagree(first, second, found.step)
    if is_chance:
        told = (
            f"{found.sentence} Two repetitions from the same code, data and libraries disagree there too: it depends on "
            "chance (random numbers without a seed, the order of threads), the clock or the network."
        )
        return dataclasses.replace(found, cause="seed", sentence=told)
    told = f"{found.sentence} Two repetitions agree with each other."
    return dataclasses.replace(found, sentence=told)


def _distance(workspace: Workspace) -> Distance:
    def between(old: Sequence[Artifact], new: Sequence[Artifact]) -> Apart | None:
        try:
            first, second = (cache.decode(one, lambda part: workspace.blobs.get(part.digest)) for one in (old, new))
        except SlipwayError:  # one is gone or cannot be read here
            return None
        return apart(first, second)

    return between


def _record(
    workspace: Workspace,
    run: Run,
    number: int,
    bundle: str,
    found: Compared,
    again: Run | None,
    searches: tuple[SearchCompared, ...] = (),
) -> Reproduction:
    restored = "" if again is None else again.tags.get(RESTORED, "")
    told = f" What it was told of threads was restored: {restored}." if restored else ""
    took = 0.0 if again is None or again.ended_at is None else (again.ended_at - again.started_at).total_seconds()
    made = Reproduction(
        id=f"{run.id}-{number}",
        project=workspace.project,
        name=run.pipeline,
        created_at=workspace.clock.now(),
        parent_id=run.id,
        number=number,
        verdict=found.verdict,
        sentence=f"{found.sentence}{told}",
        step=found.step,
        cause=found.cause,
        compared=found.compared,
        run_id=again.id if again else "",
        environment=("the lock" if again.tags.get(_ENVIRONMENT) == "the lock" else "here") if again else "",
        bundle=bundle,
        seconds=took,
        actor=workspace.actor,
        searches=searches,
    )
    made = signed(made, workspace.signer)
    node = f"reproduction:{made.id}"
    try:
        with workspace.ledger.write() as tx:
            entries.put(tx, made, expect=0)
            lineage.link(tx, f"run:{run.id}", node, "reproduced")
            if bundle:
                lineage.link(tx, f"bundle:{bundle}", node, "reproduced")
            if again is not None:
                lineage.link(tx, f"run:{again.id}", node, "repeated")
            body = {"verdict": made.verdict, "step": made.step, "again": made.run_id, "pipeline": run.pipeline}
            events.record(tx, workspace, "runs.reproduce", f"run:{run.id}", **body)
    except Conflict:  # somebody else waited for the same process, and was first
        with workspace.ledger.read() as tx:
            return read_back(entries.get(tx, Reproduction, made.id), workspace.signer)
    return made
