"""Pipelines that people start, retry and cancel from a page or by a program, without anybody's checkout."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.runs import RunError
from slipway.records.schedules import ParameterSpec

__all__ = [
    "Begun",
    "CancelRun",
    "Cancelled",
    "GetBegun",
    "KnownCode",
    "KnownPipeline",
    "Pipelines",
    "RetryRun",
    "StartPipeline",
    "operations",
]


class KnownPipeline(Struct, frozen=True, kw_only=True):
    """A pipeline that can be started.

    Args:
        name: Its name.
        about: The first line of its docstring.
        parameters: What it takes.
    """

    name: str
    about: str = ""
    parameters: tuple[ParameterSpec, ...] = ()


class KnownCode(Struct, frozen=True, kw_only=True):
    """The project's code that runs.

    Args:
        snapshot: Its digest.
        at: When it was published, business time.
        by: How: "run release", "the endpoint flight-delays", "the schedule nightly".
        run_id: The run that it was taken for, "" for none.
    """

    snapshot: str
    at: datetime
    by: str
    run_id: str = ""


class Pipelines(Struct, frozen=True, kw_only=True):
    """What can be started.

    Args:
        code: The project's newest code that the store has, None for none.
        pipelines: What it declares, by name.
        why: Why nothing can be started and what to do about it, "" where something can.
    """

    code: KnownCode | None = None
    pipelines: tuple[KnownPipeline, ...] = ()
    why: str = ""


class StartPipeline(Struct, frozen=True, kw_only=True):
    """What to run.

    Args:
        pipeline: The pipeline's name in the project's newest code.
        params: Its parameters by name: JSON values, or text that is read as the parameter's kind; defaults fill the rest.
        key: The same key again is the same start; each call is one of its own where it is "".
        reason: Why; it is kept in the audit log.
    """

    pipeline: str
    params: dict[str, Any] = {}
    key: str = ""
    reason: str = ""


class RetryRun(Struct, frozen=True, kw_only=True):
    """Which run of a pipeline to take up again, and how.

    Args:
        id: The run's id or the beginning of it.
        begin: "last": from the last step that finished; "start": every step is computed again, and no stored result is
            used or kept for later.
        code: "same": what ran then; "newest": the project's newest.
        key: As at `StartPipeline`.
        reason: Why; it is kept in the audit log.
    """

    id: str
    begin: Literal["last", "start"] = "last"
    code: Literal["same", "newest"] = "same"
    key: str = ""
    reason: str = ""


class GetBegun(Struct, frozen=True, kw_only=True):
    """Which start: its key; and how many seconds to wait for its run to begin or its process to end, at most 20."""

    key: str
    wait_s: float = 0.0


class Begun(Struct, frozen=True, kw_only=True):
    """What has become of a start.

    Args:
        key: By which it is asked for.
        pipeline: What runs.
        state: "starting": its process makes ready; "begun": its run has begun, see there; "failed": it ended before that;
            "gone": its process was killed before that.
        run_id: Its run, once there is one.
        error: Why it ended before its run began.
        printed: The end of what its process printed, without secrets.
        from_run: The run that it goes on from, "" for none.
    """

    key: str
    pipeline: str
    state: Literal["starting", "begun", "failed", "gone"] = "starting"
    run_id: str = ""
    error: RunError | None = None
    printed: str = ""
    from_run: str = ""


class CancelRun(Struct, frozen=True, kw_only=True):
    """Which run to end before its end, and why."""

    id: str
    reason: str = ""


class Cancelled(Struct, frozen=True, kw_only=True):
    """The run as it stands now: its state is "failed", or "killed" where its process had to be."""

    run_id: str
    state: str


operations = (
    Operation(
        name="pipelines.list",
        summary="List the pipelines that the project's newest code declares, with what each takes.",
        permission="runs.read",
        request=Empty,
        response=Pipelines,
        body="slipway.flows.starting:list_pipelines",
    ),
    Operation(
        name="pipelines.start",
        summary="Start a pipeline of the project's newest code, in a process that outlives this server.",
        permission="runs.write",
        request=StartPipeline,
        response=Begun,
        body="slipway.flows.starting:start",
        changes=True,
    ),
    Operation(
        name="pipelines.retry",
        summary="Take up a run that ended: from its last finished step, or from the start.",
        permission="runs.write",
        request=RetryRun,
        response=Begun,
        body="slipway.flows.starting:retry",
        changes=True,
    ),
    Operation(
        name="pipelines.begun",
        summary="Say what has become of a start: its run, or why there is none.",
        permission="runs.read",
        request=GetBegun,
        response=Begun,
        body="slipway.flows.starting:get_begun",
    ),
    Operation(
        name="pipelines.cancel",
        summary="End a run that this server started, before its end; what it finished stays stored.",
        permission="runs.write",
        request=CancelRun,
        response=Cancelled,
        body="slipway.loop.cancelling:cancel",
        changes=True,
    ),
)
