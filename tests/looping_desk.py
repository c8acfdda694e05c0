"""The looping project in a store that lives in simulated time: its first model, its traffic, and passes of the loop."""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from slipway.backends.clocks import FileClock
from slipway.client.endpoint import EndpointClient
from slipway.flows import faults, simulate
from slipway.flows.endpoint import Endpoint
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.release import run_pipeline
from slipway.flows.rollouts import newest
from slipway.hosts import simulation
from slipway.hosts.project import Project, open_project
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.loop import CONTROLLER
from slipway.loop import reconcile as loop
from slipway.models import registry
from slipway.operations.declare import call
from slipway.operations.rollouts import Reconcile, Reconciled, Started, StartRetraining
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.loop import Action, Retraining
from slipway.records.people import Actor
from slipway.records.rollouts import Rollout
from slipway.tables import versions

NAME = "looping"
SOURCE = Path(__file__).parent / "looping_project"
START = datetime(2013, 4, 1, tzinfo=UTC)
OWNER = Actor("Grace", kind="simulated", roles=("business owner",))


@dataclass(frozen=True)
class LoopDesk:
    """A copy of the project, opened, with its first model."""

    project: Project
    clock: FileClock

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def folder(self) -> Path:
        return folder_of(self.workspace, NAME)

    @property
    def endpoint(self) -> Endpoint:
        found: Endpoint = self.project.module().looping
        return found

    @property
    def revision(self) -> Revision:
        return revision_of(self.workspace, NAME)

    @property
    def rollout(self) -> Rollout:
        found = newest(self.workspace, NAME)
        assert found is not None
        return found

    @property
    def champion(self) -> int:
        return registry.aliases(self.workspace, NAME).get("champion", 0)

    def at(self, day: float) -> datetime:
        """So many days after the beginning."""
        return START + timedelta(days=day)

    def first(self) -> simulation.First:
        """Deploy the first model, and let a simulated person approve it and the policy."""
        version = registry.get(self.workspace, NAME, 1)
        comment = "as agreed"
        deployed = simulation.approve_first(self.workspace, self.endpoint, version, OWNER, self.at(60), comment)
        return simulation.First(endpoint=self.endpoint, version=version, deployed=deployed)

    def act_as(self, actor: Actor) -> Workspace:
        return replace(self.workspace, actor=actor)

    def look(self, *, settle: bool = True) -> list[Action]:
        """One pass of the loop, at the present."""
        answer = call(self.act_as(CONTROLLER), operation("loop.reconcile"), Reconcile(endpoint=NAME, settle=settle))
        return list(answer.actions)

    def pass_at(self, at: datetime, **more: Any) -> list[Action]:
        self.clock.advance_to(at)
        return self.look(**more)

    def actions(self) -> list[Action]:
        """All that the loop did, oldest first."""
        with self.workspace.ledger.read() as tx:
            found = entries.find(tx, Action, parent=f"{self.workspace.project}/{NAME}", limit=1000)
        return sorted(found, key=lambda action: action.number)

    def retrainings(self) -> list[Retraining]:
        """Oldest first."""
        with self.workspace.ledger.read() as tx:
            found = entries.find(tx, Retraining, parent=f"{self.workspace.project}/{NAME}", limit=1000)
        return found[::-1]

    def rollouts(self) -> list[Rollout]:
        """Oldest first."""
        with self.workspace.ledger.read() as tx:
            found = entries.find(tx, Rollout, parent=f"{self.workspace.project}/{NAME}", limit=1000)
        return found[::-1]

    def revisions(self) -> list[Revision]:
        """Oldest first."""
        with self.workspace.ledger.read() as tx:
            found = entries.find(tx, Revision, project=self.workspace.project, name=NAME, limit=1000)
        return sorted(found, key=lambda revision: revision.number)


@dataclass
class HandControl:
    """The loop in this very process, in the place of a control plane."""

    desk: LoopDesk
    before: Callable[[], None] = lambda: None
    is_up: bool = True

    def reconcile(self, settle: bool) -> Reconciled:
        self.before()
        answer: Reconciled = call(
            self.desk.act_as(CONTROLLER), operation("loop.reconcile"), Reconcile(endpoint=NAME, settle=settle)
        )
        return answer

    def start_retraining(self, endpoint: str, reason: str) -> Started:
        answer: Started = call(
            self.desk.workspace, operation("retrainings.start"), StartRetraining(endpoint=endpoint, reason=reason)
        )
        return answer

    def kill(self) -> None:
        forget()
        self.is_up = False

    def start(self) -> None:
        self.is_up = True


@dataclass
class Silent:
    """Hears a simulation and keeps what faults said."""

    lines: list[str] = field(default_factory=list)

    def asked(self, at: datetime, rows: int) -> None: ...

    def acted(self, at: datetime, action: Action) -> None: ...

    def said(self, at: datetime, line: str) -> None:
        self.lines.append(line)


def forget() -> None:
    """What a control plane keeps in memory between passes is lost, as when its process is killed."""
    loop._desks.clear()


def replay(
    desk: LoopDesk,
    first: simulation.First,
    days: tuple[float, float],
    *,
    control: HandControl | None = None,
    injected: Sequence[faults.Fault] = (),
    tick: timedelta = timedelta(hours=12),
) -> simulate.Simulated:
    """Replay some days of the table through the endpoint, with a pass of the loop every half day."""
    since, until = desk.at(days[0]), desk.at(days[1])
    plan = simulate.Plan(since=since, until=until, done_at=until, tick=tick, faults=tuple(injected))
    source = simulation.source_of(desk.project, first, plan, None)
    assert first.deployed.status is not None
    world = faults.World(workspace=desk.workspace, endpoint=NAME)
    with EndpointClient(first.deployed.status.url, NAME) as caller:
        return simulate.simulate(desk.clock, caller, control or HandControl(desk), source, plan, Silent(), world=world)


def told(actions: Sequence[Action]) -> list[tuple[datetime, str, str, dict[str, Any]]]:
    """Actions without what is new each time: their ids."""
    return [(one.created_at, one.name, one.sentence, one.evidence) for one in actions]


def prepare(folder: Path) -> None:
    """Make the project's folder with a store in it that has the tables and the first model."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    simulation.fresh_store(folder / "store", START)
    with _imports(), open_project(folder, root=folder / "store") as project:
        simulation.ingest_all(project)
        simulation.first_model(project, project.module().looping, START)


def train_more(folder: Path) -> None:
    """Register, as if retrainings had made them: version 2, as good as the first, and 3, taught by inverted labels."""
    with _imports(), open_project(folder, root=folder / "store") as project:
        workspace, module = project.workspace, project.module()

        def train(day: datetime) -> None:
            run_pipeline(workspace, module.release, {"until": day.date()}, endpoint=module.looping, declare=False)

        train(START + timedelta(days=7))
        right = versions.head(workspace, "orders")
        rows = versions.read(workspace, "orders").collect()
        write_orders(workspace, rows.with_columns(~pl.col("late")))
        train(START + timedelta(days=11))
        write_orders(workspace, versions.read(workspace, "orders", right.version).collect())


def write_orders(workspace: Workspace, rows: pl.DataFrame) -> None:
    """Make rows the content of the table."""
    versions.overwrite(workspace, "orders", rows, key=("order_id",), time="asked_at")


@contextmanager
def opened(folder: Path) -> Iterator[LoopDesk]:
    """Open a copy of a prepared folder, and stop whatever it started afterwards."""
    root = folder / "store"
    with _imports(), open_project(folder, root=root) as project:
        try:
            yield LoopDesk(project, FileClock(root / CLOCK_FILE))
        finally:
            for endpoint in root.glob("endpoints/*/*/"):
                project.workspace.launcher.stop(endpoint)
            for task in root.glob("tasks/*/"):
                project.workspace.runner.stop(task)
            forget()


@contextmanager
def _imports() -> Iterator[None]:
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.pop("looping_orders", None)
