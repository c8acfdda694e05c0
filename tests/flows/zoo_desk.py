"""The project of orders, released; ways to release it wrongly, and what stops that before anybody is answered."""

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import polars as pl

from slipway.backends.clocks import SimulatedClock
from slipway.errors import SlipwayError
from slipway.features.certificate import certificate_of
from slipway.flows.evidence import collect
from slipway.flows.feed import keep_views
from slipway.flows.package import package
from slipway.flows.passing import laid_out
from slipway.flows.release import Released, run_pipeline
from slipway.flows.replay_rows import Served, fitted_rows, replay_rows
from slipway.flows.trained_on import training_set_of
from slipway.gates.declare import Gate, environment_resolves, no_skew
from slipway.gates.judge import judge
from slipway.hosts.endpoint import open_signer
from slipway.hosts.endpoint_loader import Loader
from slipway.hosts.project import Project, open_project
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.model import Model
from slipway.ports.workspace import Workspace
from slipway.records.load import Replay
from slipway.records.models import Bundle, ModelVersion
from slipway.serving.answers import Scorer
from slipway.serving.counters import Counters
from slipway.serving.http import error_body, status_of
from slipway.serving.open_loop import Answer
from slipway.serving.row_scorer import RowScorer
from slipway.tables import prediction_log, versions

SOURCE = Path(__file__).parent / "zoo_project"
ROWS = 150

Change = Callable[[dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Zoo:
    """An open copy of the project, with its tables."""

    project: Project

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def module(self) -> ModuleType:
        return self.project.module()

    def write(self, seed: int = 1, **tables: pl.DataFrame) -> None:
        """Make tables what they are by a seed, or what is given."""
        made = {"orders": self.module.orders_of(seed), "rates": self.module.rates_of(seed)} | tables
        versions.overwrite(self.workspace, "orders", made["orders"], key=("order_id",), time="placed_at")
        versions.overwrite(self.workspace, "rates", made["rates"], key=("shop", "valid_at"), time="observed_at")

    def release(self, **params: Any) -> Released:
        """Run the pipeline; its model is packaged and registered."""
        return run_pipeline(self.workspace, self.module.release, params, endpoint=self.module.endpoint)

    def variant(self, old: str, new: str) -> ModuleType:
        """The project's module with one text changed, as a module of its own."""
        folder = self.project.folder
        source = (folder / "zoo_orders.py").read_text()
        assert source.count(old) >= 1, old
        name = f"zoo_orders_{abs(hash((old, new))):x}"
        (folder / f"{name}.py").write_text(source.replace(old, new))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def serving(self, released: Released, other: ModuleType, *, anew: bool = False) -> ModelVersion:
        """The released model, packaged with the features of another module."""
        assert isinstance(released.value, Model)
        spec = other.features.spec("orders")
        keep_views(self.workspace, other.features)
        functions = other.features.functions
        return package(
            self.workspace,
            released.value,
            released.run,
            name="zoo-orders",
            features=spec,
            functions=functions,
            training=training_set_of(self.workspace, released.run),
            certificate=certificate_of(self.workspace, spec, functions, anew=anew),
        )

    def stopped_by(
        self,
        version: ModelVersion,
        *,
        workspace: Workspace | None = None,
        change: Change | None = None,
        **altered: Any,
    ) -> tuple[str, str]:
        """Which check stops a version before it answers anybody, and what it says; ("", "") where none does."""
        there = workspace or self.workspace
        bundle = msgspec.structs.replace(registry.bundle_of(there, version), **altered)
        outcomes = judge(
            Gate(no_skew(), environment_resolves()).spec,
            collect(there, version, bundle, Gate(no_skew(), environment_resolves()).spec),
            [],
            subject=version.bundle,
            at=there.clock.now(),
            champion_known=False,
        )
        for outcome, name in zip(outcomes, ("certificate", "environment"), strict=True):
            if outcome.result != "passed":
                return name, outcome.found
        found = self.replayed(version, bundle, workspace=there, change=change)
        if found.verdict == "equal":
            return "", ""
        return "contract" if "The endpoint refuses" in found.sentence else "replay", found.sentence

    def replayed(
        self,
        version: ModelVersion,
        bundle: Bundle,
        *,
        workspace: Workspace | None = None,
        change: Change | None = None,
    ) -> Replay:
        """A replay by the endpoint's own code in this process: all of it but the socket."""

        def serve(where: Workspace, version: ModelVersion, bundle: Bundle, bodies: Sequence[bytes]) -> Served:
            return in_this_process(where, version, bundle, [changed(body, change) for body in bodies])

        return replay_rows(workspace or self.workspace, version, bundle, ROWS, serve=serve)


def changed(body: bytes, change: Change | None) -> bytes:
    """A request as another caller writes it."""
    if change is None:
        return body
    said = json.loads(body)
    said["rows"] = [change(row) for row in said["rows"]]
    return json.dumps(said).encode()


def in_this_process(workspace: Workspace, version: ModelVersion, bundle: Bundle, bodies: Sequence[bytes]) -> Served:
    """Ask the endpoint's code as its workers do."""
    with laid_out(workspace, version, bundle) as (folder, revision):
        loader = Loader(folder, open_signer(folder))
        counters = Counters(folder / "counters", 0)
        try:
            active = loader.load(revision)
            score = Scorer(workspace.clock.now, RowScorer(counters, lambda row: None))
            answers, logged = [], []
            for body in bodies:
                try:
                    said, rows = score(active, active.contract.decode(body))
                    answers.append(Answer(200, 0.0, 0.0, said))
                    logged += rows
                except SlipwayError as problem:
                    answers.append(Answer(status_of(problem), 0.0, 0.0, msgspec.json.encode(error_body(problem))))
        finally:
            loader.close()
        model = bundles.load(folder / "bundles" / version.bundle, expect=version.bundle, signer=workspace.signer)
        whole = len(logged) == len(bodies)
        given = prediction_log.answers_frame(_plain(logged), revision.contract, bundle.signature) if whole else None
        return Served(answers=answers, given=given, model=model, fitted=fitted_rows(model))


def _plain(rows: list[Any]) -> list[Any]:
    """Rows as they come back out of the log."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(rows), type=list[type(rows[0])]) if rows else []


@contextmanager
def opened_zoo(folder: Path, at: datetime) -> Iterator[Zoo]:
    """Open a copy of the project at a business time."""
    if not folder.exists():
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    path, known = list(sys.path), set(sys.modules)
    try:
        with open_project(folder, clock=SimulatedClock(at)) as project:
            yield Zoo(project)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if name.startswith("zoo_orders"):
                del sys.modules[name]
