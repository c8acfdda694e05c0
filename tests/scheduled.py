"""A project with schedules, in simulated time: published, looked at, and counted."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from click.testing import CliRunner

from slipway.backends.clocks import FileClock, SimulatedClock
from slipway.cli import main
from slipway.flows.schedules import known
from slipway.hosts.project import Project, open_project
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.loop.schedules import decide
from slipway.operations.declare import call
from slipway.operations.rollouts import Reconcile, Reconciled
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.runs import Run
from slipway.records.schedules import Firing, Schedule
from slipway.tables import versions

START = datetime(2013, 4, 1, 12, tzinfo=UTC)
MODULE = "nights"
CODE = """
import datetime, os, pathlib, time
import slipway as sw

LOG = pathlib.Path({log!r})

@sw.table(key="id")
def flights():
    return None

@sw.step(cache=False)
def work(until, factor):
    with LOG.open("a") as file:
        file.write(f"{{until}} {{factor}} " + os.environ.get("TOLD", "") + "\\n")
    hold = LOG.with_name("hold")
    while hold.exists():
        time.sleep(0.02)
    if LOG.with_name("broken").exists():
        raise ValueError("the day is broken")
    return factor

@sw.step(cache=False)
def prepare(until):
    with LOG.with_name("prepared").open("a") as file:
        file.write("prepared\\n")
    return until

@sw.pipeline
def nightly_work(until: datetime.date | None = None, factor: int = 1):
    return work(prepare(str(until)), factor)

nightly = sw.Schedule(nightly_work, {declared})
"""
CRON = 'when=[sw.cron("0 3 * * *", timezone="Europe/Berlin")], params={"until": sw.today}'


class Desk:
    """One project with the schedule `nightly`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FileClock(folder / ".slipway" / CLOCK_FILE)
        (folder / "slipway.toml").write_text(f'[project]\nname = "flights"\nmodule = "{MODULE}"\n')
        (folder / ".slipway").mkdir(exist_ok=True)
        self.clock.advance_to(START)

    def declare(self, declared: str = CRON, *, apply: bool = True) -> str:
        (self.folder / f"{MODULE}.py").write_text(CODE.format(log=str(self.folder / "log"), declared=declared))
        return self.type("apply") if apply else ""

    def type_declared(self, declared: str, *, code: int) -> str:
        """What is said of a declaration that does not fit."""
        self.declare(declared, apply=False)
        return self.type("apply", code=code)

    def type(self, *words: str, code: int = 0) -> str:
        sys.modules.pop(MODULE, None)  # it is read anew
        answer = CliRunner().invoke(main, ["schedules", *words, "-C", str(self.folder)], catch_exceptions=False)
        assert answer.exit_code == code, answer.output
        return answer.output

    def at(self, **since: float) -> datetime:
        self.clock.advance_to(START + timedelta(**since))
        return self.clock.now()

    @contextmanager
    def opened(self) -> Iterator[Project]:
        with open_project(self.folder) as project:
            yield project

    def look(self, times: int = 1, *, settle: bool = True) -> Reconciled:
        with self.opened() as project:
            for _ in range(times):
                done: Reconciled = call(project.workspace, operation("loop.reconcile"), Reconcile(settle=settle))
            return done

    def decide(self, *, skew: timedelta = timedelta()) -> list[str]:
        """What a look writes down, by a clock that is so much ahead; nothing is started."""
        with self.opened() as project:
            return decided(project.workspace, skew)

    def firings(self) -> list[Firing]:
        with self.opened() as project:
            return firings_in(project.workspace)

    def states(self) -> list[tuple[str, str]]:
        return [(f"{one.due_at:%d %H:%M}", one.state) for one in self.firings()]

    def schedule(self) -> Schedule:
        with self.opened() as project:
            return known(project.workspace)[0]

    def log(self) -> list[str]:
        path = self.folder / "log"
        return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []

    def runs(self) -> list[Run]:
        with self.opened() as project, project.workspace.ledger.read() as tx:
            return entries.find(tx, Run, project="flights", limit=100)

    def incidents(self) -> list[str]:
        with self.opened() as project, project.workspace.ledger.read() as tx:
            return [one.state for one in entries.find(tx, Incident, parent="flights/schedule:nightly", limit=10)]

    def write(self, *ids: int) -> None:
        """A new version of the table `flights`."""
        with self.opened() as project:
            rows = pl.DataFrame({"id": list(ids)})
            versions.overwrite(project.workspace, "flights", rows, key=("id",))


def decided(workspace: Workspace, skew: timedelta = timedelta()) -> list[str]:
    """What one look writes down, by a clock that is so much ahead of the store's."""
    clock = SimulatedClock(workspace.clock.now() + skew)
    told = []
    for schedule in known(workspace):
        told += decide(replace(workspace, clock=clock), schedule)
    return told


def firings_in(workspace: Workspace) -> list[Firing]:
    """All firings, in the order in which they were due."""
    with workspace.ledger.read() as tx:
        return sorted(entries.every(tx, Firing, project="flights"), key=lambda one: (one.due_at, one.id))
