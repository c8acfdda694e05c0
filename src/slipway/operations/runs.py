"""Runs: what was executed, with what, and what came of it."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.locks import Lock
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Artifact, Bucket, MetricPoint, Run, StepRun
from slipway.records.search import Search

__all__ = [
    "ArtifactContent",
    "Curve",
    "Curves",
    "GetArtifact",
    "GetChanges",
    "GetCurves",
    "GetRows",
    "GetRun",
    "GetStepLog",
    "MetricChange",
    "Reproduce",
    "Reproduced",
    "Reran",
    "Rerun",
    "RunChanges",
    "RunDetail",
    "RunDiff",
    "RunRow",
    "Rows",
    "Runs",
    "StepLog",
    "SyncRun",
    "SyncedRun",
    "Upload",
    "Uploaded",
    "operations",
]


class RunRow(Struct, frozen=True, kw_only=True):
    """A run with the latest point of each of its overall metrics.

    Args:
        run: The run.
        metrics: The points' values.
        trials: How many trials a search made that it is, or that is inside of it: 1,000 for that many or more.
        inside: How many other runs are inside of it, the same.
    """

    run: Run
    metrics: dict[str, float]
    trials: int = 0
    inside: int = 0


class Runs(Struct, frozen=True, kw_only=True):
    """A page of runs, and the token of the next one, "" when nothing follows."""

    runs: tuple[RunRow, ...]
    token: str = ""


class GetRun(Struct, frozen=True, kw_only=True):
    """Which run: its id or the beginning of it."""

    id: str


class RunDetail(Struct, frozen=True, kw_only=True):
    """A run with its steps in order and the latest point of every metric.

    Args:
        run: The run.
        steps: In order.
        metrics: The latest points.
        goes_at: When it is purged: for a run in the trash, unless its project keeps the trash forever.
        started_from: The id of the run that it was started from, "" for none.
        reruns: The ids of runs that were started from it, newest first.
        reproductions: What came of repeating it, newest first.
        repeats: Where it repeated another run to compare with it: what came of that.
        lock: What its own code imported; None where that was not kept.
        simulated: The simulated tables that it read, or that these were made of.
    """

    run: Run
    steps: tuple[StepRun, ...]
    metrics: tuple[MetricPoint, ...]
    goes_at: datetime | None = None
    started_from: str = ""
    reruns: tuple[str, ...] = ()
    reproductions: tuple[Reproduction, ...] = ()
    repeats: Reproduction | None = None
    lock: Lock | None = None
    simulated: tuple[str, ...] = ()


class GetCurves(Struct, frozen=True, kw_only=True):
    """Which curves of a run.

    Args:
        id: The run's id or the beginning of it.
        key: The metric, however few points it has; "" for all that have more than one.
        after: Only metrics whose place is behind this one's: `next` of the page before.
        limit: How many metrics at most: 1 to 1,000.
        buckets: As how many stretches a curve comes at most: 1 to 10,000.
        since: Only points of this step and later ones, None from the first.
        until: Only points up to this step, None to the last.
    """

    id: str
    key: str = ""
    after: str = ""
    limit: int = 12
    buckets: int = 100
    since: int | None = None
    until: int | None = None


class Curve(Struct, frozen=True, kw_only=True):
    """A metric as stretches of its points, in order: whatever it has, its first, last, least and greatest value."""

    key: str
    buckets: tuple[Bucket, ...]


class Curves(Struct, frozen=True, kw_only=True):
    """Curves in the order of pages, and what to ask for after them, "" when nothing follows; 2,000 metrics are looked at.

    Metrics of whole runs come first, then those of slices (`auc[carrier=AA]`), then the machine's (`system/...`).
    """

    curves: tuple[Curve, ...]
    next: str = ""


class GetArtifact(Struct, frozen=True, kw_only=True):
    """Which artifact of which run: the run's id or the beginning of it, and the artifact's name."""

    id: str
    name: str


class ArtifactContent(Struct, frozen=True, kw_only=True):
    """An artifact with its bytes.

    Args:
        artifact: The artifact.
        data: Its bytes, verified; none where it has more than 8 million: those are downloaded.
        is_whole: Whether the bytes are here.
        withheld: What is hidden of them from who asks, in a sentence; "" for nothing. `data` then is not what was stored.
    """

    artifact: Artifact
    data: bytes
    is_whole: bool
    withheld: str = ""


class GetRows(Struct, frozen=True, kw_only=True):
    """Which rows of which artifact.

    Args:
        id: The run's id or the beginning of it.
        name: The artifact's name: a frame that was stored as Parquet, with at most 8 million bytes.
        limit: How many rows at most: 1 to 10,000.
    """

    id: str
    name: str
    limit: int = 100


class Rows(Struct, frozen=True, kw_only=True):
    """The first rows of a frame, as text.

    Args:
        columns: The columns' names.
        types: Their types, as Polars calls them.
        rows: A text a column, None for null.
        has_more: Whether there are more rows.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    has_more: bool


class GetStepLog(Struct, frozen=True, kw_only=True):
    """Which step's log.

    Args:
        id: The run's id or the beginning of it.
        step: The step's name.
        number: Which of its calls in the run, from 1; 0 for the last one.
        after: Only what was printed behind this place: `next` of the answer before.
    """

    id: str
    step: str
    number: int = 0
    after: int = 0


class StepLog(Struct, frozen=True, kw_only=True):
    """What a step printed and logged, without secrets: its beginning and its end.

    Args:
        run_id: The run.
        step: The step's name.
        number: Which of its calls it is, from 1.
        calls: How many calls of the step there are.
        state: The call's state.
        text: The text; where something was left out, a line says how much.
        next: Where to go on.
        left_out: How many bytes were not kept.
    """

    run_id: str
    step: str
    number: int
    calls: int
    state: str
    text: str
    next: int
    left_out: int = 0


class RunDiff(Struct, frozen=True, kw_only=True):
    """What differed from the run's git commit.

    Args:
        commit: The commit, "" where it is not known.
        text: As `git diff` says it, "" for nothing or unknown.
    """

    commit: str
    text: str


class SyncRun(Struct, frozen=True, kw_only=True):
    """A piece of the file that a process writes ahead about a run: `records/run_entries.py` says what is in it.

    Args:
        run_id: The run: 32 hex digits, chosen by whoever starts it.
        writer: Which of the run's files: 32 hex digits.
        offset: Where the piece begins in the file, in bytes.
        data: Whole frames.
    """

    run_id: str
    writer: str
    offset: int
    data: bytes


class SyncedRun(Struct, frozen=True, kw_only=True):
    """How many bytes of the file are in the ledger: where to go on."""

    offset: int


class Upload(Struct, frozen=True, kw_only=True):
    """A piece of the bytes of an artifact.

    Args:
        digest: Of all its bytes: BLAKE3, 64 hex digits. It alone says where they are kept.
        size: How many bytes there are in all.
        offset: Where the piece begins.
        data: The piece; empty to ask how much is here.
    """

    digest: str
    size: int
    offset: int = 0
    data: bytes = b""


class Uploaded(Struct, frozen=True, kw_only=True):
    """How many of the bytes are here: where to go on; and whether all are, and match their digest."""

    offset: int
    whole: bool


class Reproduce(Struct, frozen=True, kw_only=True):
    """What to run again: a run's id or the beginning of it, or MODEL or MODEL:VERSION (a number, an alias, latest).

    Args:
        target: Which run, or whose run.
        environment: "lock": where what is installed is not what the run's lock names, an environment is built from it;
            "here": it runs in what is installed, whatever that is.
        wait_s: After how many seconds to answer even though it still runs; asking again goes on waiting.
    """

    target: str
    environment: Literal["lock", "here"] = "lock"
    wait_s: float = 240.0


class Reproduced(Struct, frozen=True, kw_only=True):
    """What came of it, None while it still runs."""

    reproduction: Reproduction | None


class Rerun(Struct, frozen=True, kw_only=True):
    """What to start from, and what to change.

    Args:
        target: A run's id or the beginning of it, or MODEL or MODEL:VERSION (a number, an alias, latest).
        params: The parameters to change, by name: JSON values, or text that is read by the pipeline's annotations.
        data: "same": tables are read at the versions that the run read; "latest": as they are now.
        warm_start: Whether the pipeline gets the run's model to start from.
        key: The same key again goes on waiting for the same rerun, and never starts another; one is made where it is "".
        wait_s: After how many seconds to answer even though it still runs; asking again with its key goes on waiting.
    """

    target: str
    params: dict[str, Any] = {}
    data: Literal["same", "latest"] = "same"
    warm_start: bool = False
    key: str = ""
    wait_s: float = 240.0


class MetricChange(Struct, frozen=True, kw_only=True):
    """A metric of two runs; None where a run has none."""

    key: str
    before: float | None
    after: float | None


class RunChanges(Struct, frozen=True, kw_only=True):
    """How a run differs from the one that it is compared with, in words; () where it does not.

    Args:
        run_id: The run.
        other_id: What it is compared with.
        params: "learning_rate 0.1 -> 0.05".
        data: "flights: version 3 -> 4 (1,200 -> 1,300 rows)".
        code: "helper flights.rows:clean changed".
        libraries: "numpy 2.0.0 -> 2.1.0", and what computed.
        start: What the pipeline started from, where either started from a model.
        metrics: The overall metrics of both.
        cached: The steps that were taken from stored results.
        steps: How many steps were called.
    """

    run_id: str
    other_id: str
    params: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    start: str = ""
    metrics: tuple[MetricChange, ...] = ()
    cached: tuple[str, ...] = ()
    steps: int = 0


class Reran(Struct, frozen=True, kw_only=True):
    """What came of a rerun.

    Args:
        key: By which asking again finds it.
        parent_id: The run that it started from.
        run: The new run; None while it runs.
        model: The model that it registered, "" for none.
        version: The version's number, 0 for none.
        is_new: Whether the run made the version; False where its model is the very same as the newest one.
        changes: How it differs from the run that it started from.
    """

    key: str
    parent_id: str
    run: Run | None = None
    model: str = ""
    version: int = 0
    is_new: bool = False
    changes: RunChanges | None = None


class GetChanges(Struct, frozen=True, kw_only=True):
    """Which run, and with which other to compare it; "" for the one that it was started from."""

    id: str
    other: str = ""


operations = (
    Operation(
        name="runs.search",
        summary="Search runs by metrics, parameters, tags and attributes; all, newest first, where nothing is asked.",
        permission="runs.read",
        request=Search,
        response=Runs,
        body="slipway.runs.browse:search_runs",
    ),
    Operation(
        name="runs.get",
        summary="Show one run: parameters, steps, metrics, what it read and made.",
        permission="runs.read",
        request=GetRun,
        response=RunDetail,
        body="slipway.runs.browse:get_run",
    ),
    Operation(
        name="runs.curves",
        summary="Show a run's metrics as curves of at most so many stretches, each with its least and greatest value.",
        permission="runs.read",
        request=GetCurves,
        response=Curves,
        body="slipway.runs.browse:get_curves",
    ),
    Operation(
        name="runs.artifact",
        summary="Give the bytes of one artifact of a run, where they are not too many.",
        permission="runs.read",
        request=GetArtifact,
        response=ArtifactContent,
        body="slipway.runs.browse:get_artifact",
    ),
    Operation(
        name="runs.rows",
        summary="Show the first rows of a frame that a run stored.",
        permission="runs.read",
        request=GetRows,
        response=Rows,
        body="slipway.runs.frames:get_rows",
    ),
    Operation(
        name="runs.diff",
        summary="Show what differed from a run's git commit when it began.",
        permission="runs.read",
        request=GetRun,
        response=RunDiff,
        body="slipway.runs.browse:get_diff",
    ),
    Operation(
        name="runs.step_log",
        summary="Show what a step of a run printed and logged, while it runs too.",
        permission="runs.read",
        request=GetStepLog,
        response=StepLog,
        body="slipway.runs.step_logs:get_step_log",
    ),
    Operation(
        name="runs.sync",
        summary="Take a piece of a run's file; a piece that comes twice counts once.",
        permission="runs.write",
        request=SyncRun,
        response=SyncedRun,
        body="slipway.runs.receiving:sync_run",
        changes=True,
    ),
    Operation(
        name="runs.upload",
        summary="Take a piece of an artifact's bytes, named by their digest; it goes on where it stopped.",
        permission="runs.write",
        request=Upload,
        response=Uploaded,
        body="slipway.runs.receiving:upload",
        changes=True,
    ),
    Operation(
        name="runs.reproduce",
        summary="Run a run again from its snapshot, parameters and table versions, and compare every result.",
        permission="runs.write",
        request=Reproduce,
        response=Reproduced,
        body="slipway.flows.reproduce:reproduce",
        changes=True,
    ),
    Operation(
        name="runs.rerun",
        summary="Start from an old run again with only the named change, and say what came out otherwise.",
        permission="runs.write",
        request=Rerun,
        response=Reran,
        body="slipway.flows.rerun:rerun",
        changes=True,
    ),
    Operation(
        name="runs.changes",
        summary="Say in words how a run differs from the one that it was started from, or from another.",
        permission="runs.read",
        request=GetChanges,
        response=RunChanges,
        body="slipway.flows.run_changes:get_changes",
    ),
)
