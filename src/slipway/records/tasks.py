"""Work handed to another process: what goes in and what comes out, as files.

A step's folder holds `task.json` (a `StepTask`), `code.zip` (a project snapshot), `artifacts/<digest>` (inputs, and
later outputs), `run-logs/` (what the step logs to its run, see `records/run_entries.py`), `output.log` (what it
prints), `begun` (from when the step's function runs), and in the end `result.json` (a `StepAnswer`), which appears last
and whole. A pipeline's folder holds
`task.json` (a `PipelineTask`) and in the end `result.json` (a `PipelineAnswer`); all else is in the store.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.runs import Artifact, HiddenInput, Run, RunError

__all__ = [
    "BEGUN",
    "PROTOCOL",
    "PipelineAnswer",
    "PipelineTask",
    "StepAnswer",
    "StepTask",
    "WorkerOrder",
    "WorkerReport",
]

PROTOCOL = 1

BEGUN = "begun"
"""The file of a step's folder that appears when its function begins: its time-out counts from there."""


class StepTask(Struct, frozen=True, kw_only=True):
    """What a worker shall do.

    Args:
        protocol: The version of this file protocol; a worker refuses any other than its own.
        step: The step's name, for sentences.
        function: `module:qualname`.
        code: The digest of `code.zip`, "" where the code is installed.
        beside: The folder of which the code was taken, "" for none; another machine may not have it.
        inputs: Each argument as artifacts, by name.
        returns: The names of a returned tuple's items, () for one result.
        run: The pipeline's run as it stands, to which the step may log; None for one that is not logged to.
        now: The business time at which the step begins, aware UTC; None where there is no run.
        allow: What the step may use although nothing records it: "clock", "network", "subprocess".
        cwd: The current folder of who asks: files below it are recorded relative to it where the worker shares it.
        cpus: Cores that it keeps busy.
        memory_bytes: Memory that it may use, 0 for as much as there is.
        gpus: GPUs that it needs.
        feature_names: By feature set, the names of its features, as far as the run knows them.
    """

    protocol: int = PROTOCOL
    step: str
    function: str
    code: str = ""
    beside: str = ""
    inputs: dict[str, tuple[Artifact, ...]] = {}
    returns: tuple[str, ...] = ()
    run: Run | None = None
    now: datetime | None = None
    allow: tuple[str, ...] = ()
    cwd: str = ""
    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: float = 0.0
    feature_names: dict[str, tuple[str, ...]] = {}


class StepAnswer(Struct, frozen=True, kw_only=True):
    """What a worker did.

    Args:
        protocol: The version of this file protocol.
        state: How it ended; "stopped" by a watch of the run that it logged to.
        outputs: The result as artifacts.
        error: Why it failed or was stopped.
        seconds: Machine time of the function itself.
        hidden: Files, folders and environment variables that it read by itself.
        undeclared: Sentences about what it used that nothing can compare: its result stands for no later call.
    """

    protocol: int = PROTOCOL
    state: Literal["finished", "failed", "stopped"]
    outputs: tuple[Artifact, ...] = ()
    error: RunError | None = None
    seconds: float = 0.0
    hidden: tuple[HiddenInput, ...] = ()
    undeclared: tuple[str, ...] = ()


class PipelineTask(Struct, frozen=True, kw_only=True):
    """A pipeline that a process of its own shall run from a stored project snapshot, or a table that it shall sync or score.

    Args:
        protocol: The version of this file protocol; a process refuses any other than its own.
        root: The store's folder.
        project: The project.
        environment: "dev", "test" or "prod".
        actor: In whose name it runs.
        snapshot: The digest of the project snapshot.
        pipeline: The pipeline's name in it, "" for a sync.
        endpoint: The endpoint that its model is for, "" for none.
        params: The pipeline's parameters as JSON carries them; they are read by its annotations.
        params_of: A run whose parameters are taken in their own types; those in `params` stand in for them.
        tags: Tags of the run.
        pins: Versions at which tables are read: `<table>`, or `<project>/<table>` of another project -> hash. A table
            that is not named is read at its current version.
        use_cache: Whether stored results may stand in for steps, and this run's for later ones.
        register: Whether a model that it returns is packaged and registered.
        is_release: Whether its model is for the endpoint that the pipeline feeds, if it feeds one, as after `slipway run`.
        warm_start: The run whose model `slipway.warm_start()` gives, "" for none.
        sync: The id of the `Sync` that it shall carry out, "" for a pipeline.
        firing: The id of the `Firing` that it is for, "" for none.
        scoring: The id of the `Scoring` that it shall carry out, "" for none; it needs no snapshot.
        folder: For a sync: where relative paths of the source begin.
        files: Files beside the code as a run read them, in the place of the snapshot's: the digest of each by its path.
        cwd: The current folder, relative to the project's.
        resume: The run that it goes on with, "" for none: with its parameters, where none are given.
    """

    protocol: int = PROTOCOL
    root: str
    project: str
    environment: str = "dev"
    actor: Actor
    snapshot: str
    pipeline: str = ""
    endpoint: str = ""
    params: dict[str, Any] = {}
    params_of: str = ""
    tags: dict[str, str] = {}
    pins: dict[str, str] = {}
    use_cache: bool = True
    register: bool = True
    is_release: bool = False
    warm_start: str = ""
    sync: str = ""
    firing: str = ""
    scoring: str = ""
    folder: str = ""
    files: dict[str, str] = {}
    cwd: str = ""
    resume: str = ""


class PipelineAnswer(Struct, frozen=True, kw_only=True):
    """What came of a pipeline's task.

    Args:
        protocol: The version of this file protocol.
        state: How it ended.
        run_id: The run, "" where none began.
        model: The registered model's name, "" where none was registered.
        version: Its version's number, 0 for none.
        bundle: Its bundle's digest.
        is_new: Whether this run made the version; False where its model is the very same as the newest one.
        error: Why it failed: the sentence, and the user's own lines.
    """

    protocol: int = PROTOCOL
    state: Literal["finished", "failed"]
    run_id: str = ""
    model: str = ""
    version: int = 0
    bundle: str = ""
    is_new: bool = False
    error: RunError | None = None


class WorkerOrder(Struct, frozen=True, kw_only=True):
    """What a warm worker is told over its channel, one line of JSON a task.

    Args:
        protocol: The version of this file protocol; a worker refuses any other than its own.
        folder: The task's folder.
        timeout_s: After how many seconds of the step's function the task is ended, None for never.
        begin_s: Within how many seconds the function begins, where there is a time-out.
        memory_bytes: How much memory it and what it starts may hold, None for no limit.
    """

    protocol: int = PROTOCOL
    folder: str
    timeout_s: float | None = None
    begin_s: float = 300.0
    memory_bytes: int | None = None


class WorkerReport(Struct, frozen=True, kw_only=True):
    """What a warm worker answers: first which process carries the task out, then how that ended.

    Args:
        pid: The process that has begun, 0 in the second answer.
        problem: How it broke off, as the end of a sentence; "" when it came to its end.
        seconds: Machine time from its begin to its end.
    """

    pid: int = 0
    problem: str = ""
    seconds: float = 0.0
