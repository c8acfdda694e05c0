"""One store of the journey's project, opened, with its server and its endpoint: what every behaviour is asked of."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import httpx
import pytest
from click.testing import CliRunner, Result

import objects_here
import postgres_here
import redis_here
from hosts_up import up
from slipway.backends.clocks import FileClock
from slipway.cli import main
from slipway.client.api import Client
from slipway.flows.release import Released, run_pipeline
from slipway.hosts.project import Project, open_project
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.operations.endpoints import Deployed
from slipway.pipelines import engine
from slipway.ports.workspace import Workspace

SOURCE = Path(__file__).parent / "project"
NAME = "shop"
NOW = datetime(2013, 3, 13, tzinfo=UTC)
PATIENCE_S = 60
TRIES = 4
COLUMNS = ("embedded", "scaled")
EMBEDDED = 'executor = "processes"\nworkers = 2\n'
SCALED = """ledger = "env:SLIPWAY_TEST_LEDGER"
blobs = "s3://store/journey"
online = "{redis}"
executor = "ray:{ray}"
workers = 2
"""
ROW = {"order_id": "Q1", "region": "east", "size": 1.0, "asked_at": "2013-03-12T12:00:00Z"}


@dataclass
class World:
    """A store and whoever works with it; what is dear is made once, when a behaviour first needs it."""

    column: str
    project: Project
    server: str
    clock: FileClock
    kept: dict[str, Any] = field(default_factory=dict)
    clients: list[Client | httpx.Client] = field(default_factory=list)

    def client_of(self, token: str | None = None) -> Client:
        """A client of the server, closed at the end."""
        self.clients.append(made := Client(self.server, NAME, token))
        return made

    def plain(self, url: str) -> httpx.Client:
        """A plain HTTP client, closed at the end."""
        self.clients.append(made := httpx.Client(base_url=url, timeout=60))
        return made

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @cached_property
    def module(self) -> ModuleType:
        return self.project.module()

    @cached_property
    def client(self) -> Client:
        """The server's operations."""
        return self.client_of()

    def call(self, name: str, /, **fields: Any) -> Any:
        """An operation, over HTTP."""
        return self.client.call(name, **fields)

    @cached_property
    def http(self) -> httpx.Client:
        """The server's plain HTTP."""
        return self.plain(self.server)

    def get(self, path: str, /, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def api(self, name: str, /, method: str = "GET", **fields: Any) -> httpx.Response:
        """An operation's route, without its client."""
        path = f"/api/v1/projects/{NAME}/{name.replace('.', '/')}"
        return self.http.request(method, path, **{"json" if method == "POST" else "params": fields})

    def mlflow(self, path: str, /, method: str = "POST", **fields: Any) -> httpx.Response:
        """A route of MLflow's REST API."""
        how = "json" if method in ("POST", "PATCH", "DELETE") else "params"
        return self.http.request(method, f"/api/2.0/mlflow/{path}", **{how: fields})

    def slipway(self, *arguments: str, stdin: str | None = None) -> Result:
        """A command, in this process."""
        return CliRunner().invoke(main, list(arguments), input=stdin)

    def answer(self, *arguments: str, stdin: str | None = None) -> Any:
        """What a command answers in JSON."""
        done = self.slipway(*arguments, "--json", stdin=stdin)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def run(self, pipeline: str, **more: Any) -> engine.PipelineResult:
        """Run one of the project's pipelines."""
        params = more.pop("params", {} if "resume" not in more else None)
        return engine.run(
            self.workspace, getattr(self.module, pipeline), params, snapshot=self.project.snapshot(), **more
        )

    def path(self, name: str) -> Path:
        """A new folder of a behaviour's own."""
        made = self.project.folder / "beside" / name
        made.mkdir(parents=True)
        return made

    @cached_property
    def stored(self) -> None:
        """The project's tables have their first versions."""
        for table in (self.module.orders, self.module.load):
            table.overwrite(table())

    def _released(self, **params: Any) -> Released:
        _ = self.stored
        module, snapshot = self.module, self.project.snapshot()
        return run_pipeline(self.workspace, module.release, params, endpoint=module.endpoint, snapshot=snapshot)

    @cached_property
    def first(self) -> Released:
        """The run that made version 1."""
        return self._released()

    @cached_property
    def second(self) -> Released:
        """The run that made version 2."""
        assert self.first.version
        return self._released(rounds=12)

    @cached_property
    def spread(self) -> engine.PipelineResult:
        """The first run of the pipeline whose steps fan out."""
        return self.run("spread")

    @cached_property
    def deployed(self) -> Deployed:
        """Version 1 serves."""
        assert self.first.version
        found: Deployed = self.call("endpoints.deploy", model=NAME, version="1")
        return found

    @cached_property
    def endpoint(self) -> httpx.Client:
        """The endpoint's plain HTTP."""
        assert self.deployed.status
        return self.plain(self.deployed.status.url)

    def ask(self, *rows: dict[str, Any], query: str = "", **more: Any) -> httpx.Response:
        """Ask the endpoint for predictions."""
        return self.endpoint.post(f"/endpoints/{NAME}/predict{query}", json={"rows": rows or [ROW], **more})

    def until(self, look: Callable[[], Any]) -> Any:
        """Look until something is there; gives it."""
        end = time.monotonic() + PATIENCE_S
        while not (found := look()):
            assert time.monotonic() < end, f"it was not there within {PATIENCE_S} seconds"
            time.sleep(0.05)
        return found

    def later(self, **time: float) -> datetime:
        """Business time goes on; gives the new present."""
        self.clock.advance_to(self.clock.now() + timedelta(**time))
        return self.clock.now()


@contextmanager
def _cluster() -> Iterator[str]:
    """The address of a Ray cluster of one node on this machine."""
    utils = pytest.importorskip("ray.cluster_utils", reason="pip install 'slipway[ray]'")
    made = _started(utils)
    try:
        yield made.address
    finally:
        made.shutdown()


def _started(utils: Any) -> Any:
    """Ray gives a node 30 seconds to begin: on a machine that is busy it is tried again."""
    for attempt in range(TRIES):
        made = utils.Cluster()
        try:
            made.add_node(num_cpus=2, include_dashboard=False)
            return made
        except Exception:  # it raises no class of its own
            made.shutdown()
            if attempt == TRIES - 1:
                raise
    return None


@contextmanager
def _places(column: str) -> Iterator[str]:
    """What the environment's section of slipway.toml has besides the store's folder."""
    if column == "embedded":
        yield EMBEDDED
        return
    with ExitStack() as stack:
        ledger = stack.enter_context(postgres_here.cleaned())
        told = {"SLIPWAY_TEST_LEDGER": ledger, "RAY_USAGE_STATS_ENABLED": "0", **stack.enter_context(objects_here.s3())}
        stack.enter_context(redis_here.cleaned(f"slipway:{NAME}"))
        stack.enter_context(mock.patch.dict(os.environ, told))
        yield SCALED.format(redis=redis_here.URL, ray=stack.enter_context(_cluster()))


@contextmanager
def _imports() -> Iterator[None]:
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.pop("shop_project", None)


@contextmanager
def opened(column: str, home: Path) -> Iterator[World]:
    """The journey's world in a column; everything that it started ends with it.

    Args:
        column: One of `COLUMNS`.
        home: An empty folder.
    """
    folder = home / "shop"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    settings = folder / "slipway.toml"
    clock = FileClock(folder / ".slipway" / CLOCK_FILE)
    (folder / ".slipway").mkdir()
    clock.advance_to(NOW)
    with ExitStack() as stack:
        settings.write_text(settings.read_text() + stack.enter_context(_places(column)))
        stack.enter_context(_imports())
        stack.enter_context(chdir(folder))
        project = stack.enter_context(open_project(folder))
        stack.callback(_stop, project.workspace)
        url, _ = stack.enter_context(up(project.workspace.root))
        world = World(column, project, url, clock)
        try:
            yield world
        finally:
            for client in world.clients:
                client.close()


def _stop(workspace: Workspace) -> None:
    for endpoint in workspace.root.glob("endpoints/*/*/"):
        workspace.launcher.stop(endpoint)
    for task in workspace.root.glob("tasks/*/"):
        workspace.runner.stop(task)
