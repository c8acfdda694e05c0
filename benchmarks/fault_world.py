"""The stores into which faults are injected: made once, copied for each fault, and driven as production drives them.

`Weeks` is an endpoint behind features in simulated time: what it is asked, the wind that is pushed and the labels come hour by
hour over HTTP, the loop passes by the business clock. `Minutes` is one in machine time, whose model goes wrong on a word.
"""

import getpass
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

import slipway as sw
from benchmarks.fault_models import SWITCH, Switched
from benchmarks.fault_receivers import Post
from slipway.backends.clocks import FileClock
from slipway.client.endpoint import EndpointClient
from slipway.errors import SlipwayError
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.log_model import log_model
from slipway.flows.release import declare_endpoint
from slipway.governance import channels, people, tokens
from slipway.hosts import simulation
from slipway.hosts.project import Project, open_project
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.hosts.teller import Teller
from slipway.ledger import entries
from slipway.loop import CONTROLLER
from slipway.loop import reconcile as loop
from slipway.operations.endpoints import Deploy
from slipway.operations.people import AddPerson, AddToken
from slipway.operations.rollouts import Reconcile
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Finding
from slipway.runs import tracking
from slipway.tables import versions

__all__ = [
    "BEFORE",
    "DAY",
    "HOUR",
    "LIVE",
    "NAME",
    "START",
    "Bent",
    "Minutes",
    "Row",
    "Store",
    "Weeks",
    "opened",
    "prepare",
    "write_depots",
]

SOURCE = Path(__file__).with_name("watched")
NAME, LIVE = "parcels", "customers"
PEOPLE = ("bea", "dan", "dora", "finn", "grace", "mia", "moe", "tess")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 2, tzinfo=UTC)
BEFORE = 35
"""So many days of ordinary traffic lie before a fault."""
_AT_PASS = timedelta(minutes=30)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bent:
    """What arrives otherwise than it is; each is given the hour and what would arrive, and gives what does.

    Args:
        asked: Rows that are asked.
        wind: Rows of the weather that are pushed.
        labels: Labels that are sent.
        online: Done to the endpoint's folder after what was pushed, and before it is asked.
    """

    asked: Callable[[datetime, list[Row]], list[Row]] = lambda at, rows: rows
    wind: Callable[[datetime, list[Row]], list[Row]] = lambda at, rows: rows
    labels: Callable[[datetime, list[Row]], list[Row]] = lambda at, rows: rows
    online: Callable[[Path], object] = lambda folder: None


@dataclass
class Store:
    """A store with people in it, opened, and what it told them.

    Args:
        project: The project.
        post: Where its messages arrive.
        name: The endpoint's.
        token: By which callers are known.
    """

    project: Project
    post: Post
    name: str
    token: str
    problems: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def folder(self) -> Path:
        return folder_of(self.workspace, self.name)

    @property
    def client(self) -> EndpointClient:
        """Somebody who asks the endpoint."""
        url = self.workspace.launcher.ensure(self.folder).url
        return EndpointClient(url, self.name, self.token)

    def look(self) -> None:
        """One pass of the loop over all, and one look of who sends messages."""
        try:
            loop.reconcile(replace(self.workspace, actor=CONTROLLER), Reconcile(settle=True))
        except SlipwayError as problem:  # what cannot be started again is part of some faults
            self.problems.append(str(problem))
        Teller(self.workspace).look()

    def findings(self, monitor: str) -> list[Finding]:
        """What a monitor found, the newest first."""
        with self.workspace.ledger.read() as tx:
            return entries.find(tx, Finding, parent=f"{self.workspace.project}/{self.name}", name=monitor, limit=100)


class Weeks(Store):
    """The endpoint behind features."""

    @property
    def clock(self) -> FileClock:
        return FileClock(self.workspace.root / CLOCK_FILE)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def redeclare(self, **changes: Any) -> None:
        """Declare and deploy the endpoint with some of it changed."""
        declare_endpoint(self.workspace, replace(self.project.module().watched, **changes))
        deploy(self.workspace, Deploy(model=NAME, version="1", endpoint=NAME))

    def days(self, count: float, bent: Bent | None = None, *, every: int = 24) -> None:
        """Drive it for some days.

        Args:
            count: How many.
            bent: What arrives otherwise.
            every: After how many hours the loop passes.
        """
        bent = bent or Bent()
        since = self.now.replace(minute=0) + HOUR
        until = since + timedelta(days=count)
        asked = _by(self.workspace, NAME, "asked_at", since, until)
        known = _by(self.workspace, NAME, "known_at", since, until)
        wind = _by(self.workspace, "weather", "observed_at", since, until)
        with self.client as client:
            for hour in range(round(count * 24)):
                at = since + hour * HOUR
                self.clock.advance_to(at)
                if pushed := bent.wind(at, wind.get(at, [])):
                    client.view_rows("weather_now", pushed)
                bent.online(self.folder)
                self._ask(client, at, bent.asked(at, asked.get(at, [])))
                labels = [_label(row, at) for row in known.get(at, [])]
                if sent := bent.labels(at, labels):
                    client.labels(sent)
                if at.hour % every == 0:
                    client.settle()
                    self.clock.advance_to(at + _AT_PASS)
                    self.look()

    def _ask(self, client: EndpointClient, at: datetime, rows: list[Row]) -> None:
        fields = {one.name for one in revision_of(self.workspace, NAME).contract.fields}
        if rows:
            client.predict([{name: row[name] for name in fields} for row in rows], at=at)


class Minutes(Store):
    """The endpoint in machine time."""

    @property
    def switch(self) -> Path:
        return self.workspace.root / "switch"

    def go_wrong(self, word: str) -> None:
        """From now on the model goes wrong in some way, "" for in none."""
        self.switch.write_text(word)

    def ask(self, requests: int, *, at: datetime | None = None, **values: float) -> int:
        """Send so many requests of a row each; gives how many were not answered.

        Args:
            requests: How many.
            at: The decision time, in a simulation.
            **values: What each row has in place of what is drawn.
        """
        chance, failed = np.random.default_rng(11), 0
        with self.client as client:
            for number in range(requests):
                row = {"x0": round(float(chance.normal()), 4), "x1": round(float(chance.random() * 0.8), 4), **values}
                try:
                    client.predict([{"case": f"{time.time_ns()}-{number}", **row}], at=at)
                except SlipwayError:
                    failed += 1
        return failed

    def until_told(self, within_s: float = 60.0, *, between: Callable[[], object] = lambda: None) -> None:
        """Let the loop pass until somebody was told, or the time is up, and twice more."""
        end = time.monotonic() + within_s
        while not self.post.facts and time.monotonic() < end:
            between()
            self.look()
            time.sleep(0.3)
        for _ in range(2):
            self.look()
            time.sleep(0.3)


def prepare(folder: Path, which: str) -> Path:
    """Make a store unless it is there: `weeks` with ordinary traffic, `minutes`, or `leak`, which is that in business time.

    Args:
        folder: Where they lie.
        which: Which one.
    """
    found = folder / which
    if not found.exists():
        if which == "weeks":
            _weeks(found)
        else:
            _minutes(found, is_simulated=which == "leak")
    return found


def _weeks(folder: Path) -> None:
    _copy_source(folder)
    simulation.fresh_store(folder / "store", START)
    with _open(folder) as project:
        project.declare_settings()
        _let_in(project.workspace, folder)
        simulation.ingest_all(project)
        simulation.first_model(project, project.module().watched, START)
        deploy(project.workspace, Deploy(model=NAME, version="1", endpoint=NAME))
    with Post() as post, opened(folder, post, Weeks, NAME) as store:
        assert isinstance(store, Weeks)
        store.days(BEFORE)
        said = [one["sentence"] for one in post.facts if "sentence" in one]
        assert not said, said


def _minutes(folder: Path, *, is_simulated: bool) -> None:
    _copy_source(folder)
    if is_simulated:
        simulation.fresh_store(folder / "store", START)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x0": rng.normal(size=200), "x1": rng.random(200) * 0.8})
    with _open(folder) as project:
        workspace = project.workspace
        project.declare_settings()
        _let_in(workspace, folder)
        for kind in ("sound", "breaks"):
            with tracking.start(workspace, f"train {kind}", system_metrics=False) as run:
                log_model(
                    workspace, run.record, Switched(kind), sample=frame, name=LIVE, task="classification",
                    trust=["benchmarks.fault_models.Switched"],
                )  # fmt: skip
        service = sw.Service(availability=0.99 if is_simulated else 0.999, probe="1s", down_after="1s")
        declare_endpoint(workspace, sw.Endpoint(LIVE, key="case", monitors=[service]), simulation=is_simulated)
        deploy(workspace, Deploy(model=LIVE, version="1"))
        workspace.launcher.stop(folder_of(workspace, LIVE))


def write_depots(folder: Path, *, doors: str = "integer", row: str = "(1, 10, 4)") -> None:
    """Make the shop's database, whose doors are counted by numbers or by words."""
    with closing(sqlite3.connect(folder / "shop.db")) as link, link:
        link.execute("drop table if exists depots")
        link.execute(f"create table depots (id integer, seen integer, doors {doors})")
        link.execute(f"insert into depots values {row}")


def _copy_source(folder: Path) -> None:
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    write_depots(folder)


def _let_in(workspace: Workspace, folder: Path) -> None:
    """People with addresses, and a token for who asks."""
    people.add(workspace, AddPerson(name="ada", roles=("admin",), account=getpass.getuser()))
    for name in PEOPLE:
        people.add(workspace, AddPerson(name=name, email=f"{name}@example.org"))
    people.add(workspace, AddPerson(name="shop", roles=("software engineer",), is_service=True))
    made = tokens.add_token(workspace, AddToken(name="shop", days=366))
    (folder / "token").write_text(made.text)


@contextmanager
def _open(folder: Path) -> Iterator[Project]:
    """The project in a folder; its module is that folder's."""
    sys.modules.pop("watched_parcels", None)
    former = list(sys.path)
    try:
        with open_project(folder, root=folder / "store") as project:
            yield project
    finally:
        sys.path[:] = former
        loop._desks.clear()


@contextmanager
def opened(folder: Path, post: Post, kind: type[Store], name: str) -> Iterator[Store]:
    """A prepared folder, opened, its messages going to a post; what runs there is stopped afterwards."""
    os.environ[SWITCH] = str((folder / "store" / "switch").resolve())
    with _open(folder) as project:
        workspace = project.workspace
        channels.remember(workspace.root, workspace.project, post.settings())
        try:
            yield kind(project, post, name, (folder / "token").read_text())
        finally:
            with suppress(SlipwayError):
                workspace.launcher.stop(folder_of(workspace, name))
            os.environ.pop(SWITCH, None)


def _by(
    workspace: Workspace, table: str, time_of: str, since: datetime, until: datetime
) -> Mapping[datetime, Sequence[Row]]:
    """A table's rows by the hour of one of their times."""
    fits = pl.col(time_of).is_between(since, until, closed="left")
    found: dict[datetime, list[Row]] = {}
    for row in versions.read(workspace, table).filter(fits).collect().iter_rows(named=True):
        found.setdefault(row[time_of], []).append(row)
    return found


def _label(row: Row, at: datetime) -> Row:
    return {"key": {"parcel_id": row["parcel_id"]}, "value": int(row["late"]), "observed_at": at}
