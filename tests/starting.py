"""A store with a project's code, whose pipelines can be started; its processes are only noted down."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slipway.ledger import archive, entries, projects
from slipway.pipelines.snapshot import AboutPipeline, Contents
from slipway.ports.runner import LOG_FILE, RESULT_FILE, RunnerState
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import CodeVersion, Run, RunError, StepRun
from slipway.records.schedules import ParameterSpec
from slipway.records.tasks import PipelineAnswer

PARAMETERS = (
    ParameterSpec(name="until", kind="date", is_needed=True),
    ParameterSpec(name="rate", kind="number", default=0.1),
    ParameterSpec(name="loss", kind="text", default="squared", choices=("squared", "absolute")),
    ParameterSpec(name="is_full", kind="boolean", default=False),
)
FAILED, CANCELLABLE = "fa" * 16, "ca" * 16


class NotedRunner:
    """Notes which tasks were started and stopped."""

    def __init__(self) -> None:
        self.started: list[Path] = []
        self.stopped: list[Path] = []
        self.is_gone = False

    def start(self, folder: Path, *, python: str = "", variables: Mapping[str, str | None] | None = None) -> None:
        self.started.append(folder)
        (folder / LOG_FILE).write_text("it makes ready\n")

    def state(self, folder: Path) -> RunnerState:
        if (folder / RESULT_FILE).exists():
            return "ended"
        return "running" if folder in self.started and not self.is_gone else "absent"

    def wait(self, folder: Path, timeout_s: float) -> RunnerState:
        return self.state(folder)

    def stop(self, folder: Path) -> None:
        self.stopped.append(folder)
        self.started.remove(folder)

    def end(self, folder: Path, message: str) -> None:
        answer = PipelineAnswer(state="failed", error=RunError(type="ValueError", message=message))
        (folder / RESULT_FILE).write_bytes(msgspec.json.encode(answer))


def code(workspace: Workspace, pipelines: dict[str, AboutPipeline] | None = None) -> str:
    """A project's snapshot in the store; its digest."""
    about = {"train": AboutPipeline(about="Train it.", parameters=PARAMETERS)} if pipelines is None else pipelines
    contents = msgspec.json.encode(Contents(pipelines=about or None))
    return workspace.blobs.put(archive.pack({"shop.py": b"", "slipway.toml": b"", "snapshot.json": contents}))


def run_of(workspace: Workspace, id: str, snapshot: str, **more: object) -> Run:
    """A run of the pipeline `train` that ended, in the ledger."""
    at = datetime(2013, 4, 1, 12, tzinfo=UTC)
    fields = {
        "state": "failed",
        "error": RunError(type="ValueError", message="the shop is closed", step="fit"),
        "ended_at": at,
        "params": {"until": "2013-04-01", "rate": 0.3, "is_full": True},
        **more,
    }
    run = Run(
        id=id,
        project=workspace.project,
        name="train",
        created_at=at,
        pipeline="train",
        actor=Actor("ada"),
        started_at=at,
        code=CodeVersion(snapshot=snapshot, entry="shop:train"),
        **fields,  # type: ignore[arg-type]
    )
    steps = [
        StepRun(id=f"{id}.{n}", project=run.project, name=name, created_at=at, parent_id=id, state=state)
        for n, (name, state) in enumerate((("load", "finished"), ("clean", "cached"), ("fit", "failed")), 1)
    ]
    with workspace.ledger.write() as tx:
        for record in (run, *steps):
            entries.put(tx, record)
    return run


def started_store(workspace: Workspace) -> tuple[Workspace, NotedRunner]:
    """The workspace with a noted runner, a project that has code, and a run that failed."""
    runner = NotedRunner()
    there = replace(workspace, runner=runner, actor=Actor("ada", roles=("data scientist",)))
    projects.register(there)
    run_of(there, FAILED, code(there))
    return there, runner
