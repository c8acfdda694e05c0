"""An opened copy of the small project, with what its tests do again and again."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from slipway.backends.clocks import SimulatedClock
from slipway.client.endpoint import EndpointClient
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoints import folder_of
from slipway.flows.release import declare_endpoint
from slipway.hosts.identity import ALONE
from slipway.hosts.project import Project, open_project
from slipway.models import registry
from slipway.operations.endpoints import Deploy, Deployed, Rollback
from slipway.operations.governance import Grant
from slipway.ports.signer import Signer
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EndpointStatus
from slipway.records.events import Event
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.serving.swap import REVISION_FILE, read_revision

NAME = "small-delays"
FIRST, BETTER, GUESSING = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Desk:
    """The project, its store with three versions (see `FIRST`, `BETTER`, `GUESSING`), and its clock."""

    project: Project
    clock: SimulatedClock

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def workspace_alone(self) -> Workspace:
        """The workspace of somebody who is alone with the store."""
        return dataclasses.replace(self.workspace, actor=Actor("alone", roles=ALONE))

    @property
    def folder(self) -> Path:
        return folder_of(self.workspace, NAME)

    def without_processes(self) -> "Desk":
        """The same desk, whose endpoints are files only."""
        workspace = dataclasses.replace(self.workspace, launcher=NoProcess(self.workspace.signer))
        return Desk(dataclasses.replace(self.project, workspace=workspace), self.clock)

    def in_environment(self, name: str) -> Workspace:
        there = dataclasses.replace(self.workspace, environment=name)
        declare_endpoint(there, self.project.module().delays)
        return there

    def version(self, number: int) -> ModelVersion:
        return registry.get(self.workspace, NAME, number)

    def approve(self, *numbers: int) -> None:
        for number in numbers:
            grant(self.workspace, Grant(model=NAME, version=str(number)))

    def deploy(self, number: int, **more: object) -> Deployed:
        return deploy(self.workspace, Deploy(model=NAME, version=str(number), **more))  # type: ignore[arg-type]

    def declare(self, **changes: object) -> None:
        """Declare the endpoint with some of it changed."""
        changed = dataclasses.replace(self.project.module().delays, **changes)
        declare_endpoint(self.workspace, changed, snapshot=self.project.snapshot())

    def rollback(self, to: int = 0) -> Deployed:
        return rollback(self.workspace, Rollback(name=NAME, to=to))

    def champion(self) -> int:
        return registry.aliases(self.workspace, NAME).get("champion", 0)

    def events(self) -> list[Event]:
        with self.workspace.ledger.read() as tx:
            return list(tx.events(limit=10_000))

    def ask(self, deployed: Deployed, **changes: object) -> dict[str, object]:
        """Ask for one row; gives the answer's first prediction with model, version and revision."""
        row = {
            "flight_id": "Q1",
            "origin": "JFK",
            "distance": 500,
            "departure": "2013-04-01T09:00:00Z",
            **changes,
        }
        assert deployed.status is not None
        with EndpointClient(deployed.status.url, NAME) as client:
            answer = client.predict([row])
        first = answer["predictions"][0]
        return {**first, "version": answer["model"]["version"], "revision": answer["revision"]}


@contextmanager
def opened(folder: Path, clock: SimulatedClock) -> Iterator[Desk]:
    """Open a copy of the project, and stop whatever it started afterwards."""
    with open_project(folder, clock=clock) as project:
        try:
            yield Desk(project, clock)
        finally:
            for endpoint in (project.workspace.root / "endpoints").glob("*/*/"):
                project.workspace.launcher.stop(endpoint)


def tables(desk: Desk) -> list[str]:
    """The names of the tables that have a version."""
    with desk.workspace.ledger.read() as tx:
        return sorted(tx.refs(desk.workspace.project, "head"))


class NoProcess:
    """A launcher that starts nothing: it says of each endpoint what one that took its published revision says."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._running: set[Path] = set()

    def ensure(self, folder: Path) -> EndpointStatus:
        self._running.add(folder)
        found = self.status(folder)
        assert found is not None
        return found

    def status(self, folder: Path) -> EndpointStatus | None:
        if folder not in self._running:
            return None
        number = read_revision(folder / REVISION_FILE, self._signer).number
        url = "http://127.0.0.1:1"
        return EndpointStatus(
            endpoint=folder.name, pid=1, url=url, revision=number, state="ready", at=datetime.now(UTC)
        )

    def stop(self, folder: Path) -> None:
        self._running.discard(folder)
