"""Experiments, runs, steps and what they leave behind."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.display import facts
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = [
    "CONTEXT", "Artifact", "Bucket", "CodeVersion", "Dataset", "Environment", "Experiment", "HiddenInput",
    "Machine", "MetricPoint", "ModelUse", "Run", "RunArtifact", "RunError", "RunFinding", "RunState", "RunWriter",
    "StepAttempt", "StepNotes", "StepOutput", "StepRun", "WorkerTime",
]  # fmt: skip

CONTEXT = "mlflow.data.context"
"""The tag of a dataset that says what a run read it for: "training"."""

RunState = Literal["running", "scheduled", "finished", "failed", "killed"]


class Artifact(Struct, frozen=True, kw_only=True):
    """A stored value.

    Args:
        name: What it is called within its run: a path with forward slashes.
        digest: Of the stored bytes.
        fingerprint: Of the value.
        format: How the bytes are read: "json", "parquet", "npy", "bundle", "pickle", "bytes", "text".
        size_bytes: Of the stored bytes.
    """

    name: str
    digest: str
    fingerprint: str
    format: str
    size_bytes: int


class CodeVersion(Struct, frozen=True, kw_only=True):
    """Which code ran.

    Args:
        closure: The fingerprint of the code closure that ran, "" where no function was known.
        snapshot: The blob digest of the project snapshot, "" where none was taken.
        commit: The git commit, "" outside a repository.
        dirty: Whether the work tree differed from the commit.
        entry: `module:function` or the script's name.
        diff: The blob digest of what differed from the commit, as git says it, "" for nothing or unknown.
        diff_bytes: Its size.
    """

    closure: str = ""
    snapshot: str = ""
    commit: str = ""
    dirty: bool = False
    entry: str = ""
    diff: str = ""
    diff_bytes: int = 0


class Environment(Struct, frozen=True, kw_only=True):
    """Where it ran.

    Args:
        python: "3.11.7".
        platform: As `platform.platform()` says.
        lock: "name==version" of distributions, sorted: where there is no stored lock, or beside it in a bundle.
        imports: The blob digest of the stored `Lock` of what the process's own code imports; "" where there is none.
    """

    python: str
    platform: str
    lock: tuple[str, ...] = ()
    imports: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """What computed, as far as results may depend on it.

    Args:
        cpu: The processor as it calls itself, "" where it does not say.
        cores: How many of its cores the process may use.
        threads: What the process was told of threads, by the variable's name: OMP_NUM_THREADS.
    """

    cpu: str = ""
    cores: int = 0
    threads: dict[str, str] = {}


class RunError(Struct, frozen=True, kw_only=True):
    """Why a run failed.

    Args:
        type: The exception's class.
        message: Its sentence.
        step: The step in which it was raised, "" outside steps.
        trace: The user's traceback without frames of Slipway and of libraries.
    """

    type: str
    message: str
    step: str = ""
    trace: str = ""

    @property
    def told(self) -> str:
        """Class and message; the message alone of what no code of the user's raised: its process was killed."""
        return self.message if self.type == "StepFailed" else f"{self.type}: {self.message}"


class Dataset(Struct, frozen=True, kw_only=True):
    """Data that a run read, as a tracking client describes it. Nothing here is opened: it is a description.

    Args:
        name: What people call it.
        digest: Tells its content apart.
        source_type: Where it came from: "local", "code"; "table" for a stored table's version, "frame" for a frame.
        source: Where exactly, as text; of a stored table the version's node of the lineage.
        schema: Its columns, as text.
        profile: Figures about it, as text.
        tags: Free text by name: "mlflow.data.context" says what it was read for.
    """

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class ModelUse(Struct, frozen=True):
    """A logged model that a run read or made, and at which step."""

    model_id: str
    step: int = 0


class RunFinding(Struct, frozen=True, kw_only=True):
    """Something that was noticed about a run while it ran.

    Args:
        kind: "not finite", "diverging", "plateau", "overfitting"; "conflict" where two processes disagreed; "not taken" of
            an artifact that is larger than the server takes.
        key: The metric, parameter or artifact.
        step: The metric's step.
        words: What was noticed, with the figures that it rests on.
        at: Machine time, aware UTC.
        source_run_id: Of a step that was taken from an earlier run: that run, in which it was noticed; "" for this one.
    """

    kind: str
    key: str
    step: int = 0
    words: str
    at: datetime
    source_run_id: str = ""

    @property
    def told(self) -> str:
        """The words, with where it was noticed if that was elsewhere."""
        return f"{self.words} (in run {self.source_run_id[:12]}, which made it)" if self.source_run_id else self.words


class WorkerTime(Struct, frozen=True, kw_only=True):
    """How long workers were held for a run: machine seconds, summed over the workers.

    Args:
        executor: Where the steps ran: "threads", "processes", "ray".
        workers: How many were held at once at most.
        used_s: The part in which they carried out steps.
        idle_s: The part in which they started or waited.
        paid_s: The whole, from the start of each until its release.
    """

    executor: str
    workers: int
    used_s: float
    idle_s: float
    paid_s: float

    def __str__(self) -> str:
        held = f"{self.workers} {'worker' if self.workers == 1 else 'workers'} ({self.executor})"
        return f"{self.used_s:.1f} s used, {self.idle_s:.1f} s idle, {self.paid_s:.1f} s paid on {held}"


class Experiment(Record, frozen=True, kw_only=True, tag="experiment"):
    """A named collection of runs. Id: 18 decimal digits; "0@PROJECT" for a project's default one, which runs call "0".

    Args:
        tags: Free text by name.
        state: A deleted experiment keeps its name and can be restored.
        updated_at: When it was last changed, None for never.
        deleted_at: When it was put into the trash, with its runs; None while it counts.
    """

    tags: dict[str, str] = {}
    state: Literal["active", "deleted"] = "active"
    updated_at: datetime | None = None
    deleted_at: datetime | None = None


class Run(Record, frozen=True, kw_only=True, tag="run"):
    """One execution that is tracked: a script, a notebook or a pipeline. Id: 32 hex digits.

    Args:
        experiment_id: The experiment it belongs to.
        state: "killed" is found afterwards: a running run whose process is gone; "scheduled" has not begun.
        actor: Who started it.
        started_at: Machine time, aware UTC: how long a run took is never simulated.
        ended_at: Machine time, aware UTC, None while running.
        parent_id: The run inside which it runs, or "".
        pipeline: The pipeline's name, "" for a plain run.
        params: Write-once parameters; values in their own plain types.
        tags: Free text by name.
        inputs: Lineage nodes read: "table:flights@<version>".
        artifacts: What was stored, by name.
        artifacts_here: How many artifacts stand in the record as it is stored, where others are `RunArtifact`; None for all.
        tolerance: How far apart numbers may be that count as reproduced, as its pipeline declares it; None for the default.
        machine: What computed; None in records of earlier releases.
        code: Which code ran.
        environment: Where it ran.
        error: Why it failed, None otherwise.
        host: "pid.start@hostname" of the process, by which a killed run is recognised.
        deleted_at: When it was put aside, None while it counts. It can be restored.
        models_read: Logged models that it read.
        models_made: Logged models that it made.
        datasets: Data that it read, in order.
        findings: What was noticed while it ran, in order.
        ended_early: Why a finished run ended before its script's end, "" where it did not.
        worker_time: How long workers were held for its steps; None for a run without steps, or of an earlier release.
        hidden: Files, folders and environment variables that a pipeline read by itself between its steps.
    """

    experiment_id: str = "0"
    state: RunState = "running"
    actor: Actor
    started_at: datetime
    ended_at: datetime | None = None
    parent_id: str = ""
    pipeline: str = ""
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    inputs: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    code: CodeVersion = CodeVersion()
    environment: Environment | None = None
    error: RunError | None = None
    host: str = ""
    deleted_at: datetime | None = None
    models_read: tuple[ModelUse, ...] = ()
    models_made: tuple[ModelUse, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    findings: tuple[RunFinding, ...] = ()
    ended_early: str = ""
    artifacts_here: int | None = None
    machine: Machine | None = None
    tolerance: float | None = None
    worker_time: WorkerTime | None = None
    hidden: "tuple[HiddenInput, ...]" = ()

    def _repr_html_(self) -> str:
        commit = self.code.commit and f"{self.code.commit[:12]}{' with changes' if self.code.dirty else ''}"
        return facts(
            f"run {self.name or self.id[:12]}: {self.state}",
            [
                ("id", self.id),
                ("by", self.actor),
                ("started", f"{self.started_at:%Y-%m-%d %H:%M:%S} UTC"),
                ("seconds", None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()),
                ("pipeline", self.pipeline),
                ("commit", commit),
                ("ended early", self.ended_early),
                ("workers", self.worker_time),
                ("failed", self.error and self.error.told),
                *((f"param {key}", value) for key, value in sorted(self.params.items())),
                *((f"finding {one.kind}", one.told) for one in self.findings),
                *((f"data {one.tags.get(CONTEXT, '')}".strip(), one.name) for one in self.datasets),
                *((f"tag {key}", value) for key, value in sorted(self.tags.items())),
                *(("artifact", f"{one.name} ({one.size_bytes:,} bytes)") for one in self.artifacts),
            ],
        )


class RunArtifact(Record, frozen=True, kw_only=True, tag="run-artifact"):
    """An artifact of a run that has many. Id: "<run id>/<32 hex digits of its path's digest>".

    Reading a run adds them to its record: see `slipway.ledger.run_artifacts`.

    Args:
        parent_id: The run.
        number: Orders a run's artifacts.
        artifact: The artifact; None for a folder in which some lie.
    """

    parent_id: str
    number: int
    artifact: Artifact | None = None


class RunWriter(Record, frozen=True, kw_only=True, tag="run-writer"):
    """How much of a process's file on a run is in the ledger. Id: "<run id>.<writer>"; name: the store's folder that has it.

    It is written in the transaction of what it counts, so that a piece that is sent twice counts once. That of a file of
    a store's folder goes when the file is gone; one that is taken in one piece, a run from its begin to its end, has none:
    the run's own record says that it was. That of a file elsewhere stays: nobody here knows when it will not come again.

    Args:
        parent_id: The run.
        offset: The bytes of the file that are in the ledger.
    """

    parent_id: str
    offset: int = 0


class HiddenInput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a step read by itself, beside its arguments and its code.

    Args:
        kind: "file" for its content, "folder" for the names in it, "path" for whether there is one, "link" for
            where a link leads, "env" for a variable.
        name: The path, absolute or relative to the current folder; the variable's name.
        content: A digest of what was read; "" where there was none.
        beside: The path relative to the project, where the two lie near each other: it moves with the project.
        below: The path relative to the current folder, where it lies in it and was given as an absolute one.
        own: For a folder: names that do not count, because the step made them.
        stamp: What the file system said of the file, by which an unchanged one is known again without reading it.
        kept: For a file whose bytes are stored under `content`: its path relative to the project's folder; "" for one
            that is not kept.
    """

    kind: Literal["file", "folder", "path", "link", "env"]
    name: str
    content: str = ""
    beside: str = ""
    below: str = ""
    own: tuple[str, ...] = ()
    stamp: str = ""
    kept: str = ""


class StepRun(Record, frozen=True, kw_only=True, tag="step"):
    """One call of a step inside a run. Id: "<run id>.<position>"; name: the step's.

    Args:
        parent_id: The run.
        state: As for runs; "waiting" for its arguments or for room; "cached" when the result was taken from an earlier
            run; "cancelled" when it did not begin, because another step had failed or the run was ended.
        key: The cache key, "" when the call could not be cached.
        reason: Why it ran or why it was a hit, in words: "helper rows.clean changed".
        source_run_id: For a hit: the run that made the result.
        outputs: The stored results.
        seconds: Machine time spent.
        inputs: Fingerprint of each argument by name, to explain the next miss.
        closure: The code closure as JSON bytes' digest in the blobs, to explain the next miss.
        reads: Lineage nodes of the table versions that it read by itself.
        notes: What it logged to its run, to be logged again by a hit.
        error: Why it failed.
        hidden: Files, folders and environment variables that it read by itself; its result stands while they are the same.
        refusal: Why no later call may take its result, "" where one may.
        attempts: The attempts that failed before the last one.
        started_at: Machine time, aware UTC, at which it began; None for one that did not, and in older records.
        output: What it printed, None for nothing.
        tolerance: How far apart numbers may be that count as reproduced, as the step declares it; None for the run's.
        occurrence: Which call of the step within the run, from 0; None in older records. After a kill calls before it may
            have no record.
    """

    parent_id: str
    occurrence: int | None = None
    state: Literal["waiting", "running", "finished", "failed", "cached", "cancelled"] = "running"
    key: str = ""
    reason: str = ""
    source_run_id: str = ""
    outputs: tuple[Artifact, ...] = ()
    seconds: float = 0.0
    inputs: dict[str, str] = {}
    closure: str = ""
    reads: tuple[str, ...] = ()
    notes: "StepNotes | None" = None
    error: RunError | None = None
    tolerance: float | None = None
    hidden: tuple[HiddenInput, ...] = ()
    refusal: str = ""
    attempts: "tuple[StepAttempt, ...]" = ()
    started_at: datetime | None = None
    output: "StepOutput | None" = None


class StepAttempt(Struct, frozen=True, kw_only=True):
    """An attempt of a step that failed, after which it was tried again.

    Args:
        error: Why it failed.
        seconds: Machine time that it took.
        pause_s: Seconds that passed before the next attempt.
    """

    error: RunError
    seconds: float
    pause_s: float

    @property
    def told(self) -> str:
        """The attempt in words."""
        return f"{self.error.told} (after {self.seconds:.1f} s; again {self.pause_s:.1f} s later)"


class StepOutput(Struct, frozen=True, kw_only=True):
    """What a step printed and logged, without secrets of the environment: its beginning and its end.

    Args:
        digest: Of the stored text: `head_bytes` of the beginning, then the end.
        size_bytes: Of the stored text.
        head_bytes: How many bytes of it are the beginning.
        left_out: How many bytes between beginning and end were not kept.
    """

    digest: str
    size_bytes: int
    head_bytes: int
    left_out: int = 0


class MetricPoint(Struct, frozen=True):
    """One point of a run's metric.

    The latest point of a key is the greatest by (step, at_us, value); an identical point is stored once.

    Args:
        key: The metric's name, at most 250 characters; a slice is written `auc[carrier=AA]`.
        value: May be NaN or infinite.
        step: Any integer.
        at_us: Microseconds since the epoch.
    """

    key: str
    value: float
    step: int = 0
    at_us: int = 0


class Bucket(Struct, frozen=True, kw_only=True):
    """What a stretch of a metric's points comes to: a mark of a chart.

    Args:
        first: Its first point.
        last: Its last point.
        low: The least value in it, NaN where all are NaN.
        high: The greatest value in it, NaN where all are NaN.
    """

    first: MetricPoint
    last: MetricPoint
    low: float
    high: float


class StepNotes(Struct, frozen=True, kw_only=True):
    """What a step logged to its run while it ran.

    Args:
        metrics: Points in the order of logging, as earlier releases kept them; `points` has them now.
        params: Parameters by name.
        tags: Tags by name.
        artifacts: Stored values.
        inputs: Lineage nodes that it named as read, with their roles.
        datasets: Data that it named as used.
        watched: Metrics that it watched.
        findings: What was noticed meanwhile.
        points: Points in the order of logging: MessagePack, which knows NaN, compressed with zlib; b"" for none.
    """

    metrics: tuple[MetricPoint, ...] = ()
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    datasets: tuple[Dataset, ...] = ()
    watched: tuple[str, ...] = ()
    findings: tuple[RunFinding, ...] = ()
    points: bytes = b""
