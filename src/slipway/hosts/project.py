"""A person's process: the project around the current folder, opened with its store and its declarations."""

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from slipway import plugins
from slipway.errors import InvalidDeclaration, InvalidSetting, NotFound, SlipwayError, StepFailed, near
from slipway.flows.cost_rates import declare_rates
from slipway.flows.endpoint import Endpoint
from slipway.flows.limits import declare_limits
from slipway.governance import anchors, channels, raci
from slipway.hosts.blob_places import open_blobs
from slipway.hosts.endpoint_port import keep_port
from slipway.hosts.environment_use import using
from slipway.hosts.executors import THREADS, placement
from slipway.hosts.identity import local_actor
from slipway.hosts.ledgers import open_ledger, upgraded
from slipway.hosts.online_stores import open_online
from slipway.hosts.settings import FILE, Settings, locate, raci_rows, read_local
from slipway.hosts.store_clock import open_clock
from slipway.hosts.traces import traces_environment
from slipway.ledger import entries, projects
from slipway.ledger.provenance import user_trace
from slipway.ledger.reindex import index_anew
from slipway.models import found_by
from slipway.pipelines import beside
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.hidden import hooks
from slipway.pipelines.hidden.recorder import recording
from slipway.pipelines.params import parameters_of
from slipway.pipelines.snapshot import AboutPipeline, take
from slipway.ports.clock import Clock
from slipway.ports.ledger_store import LedgerStore
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.runs import Run, StepRun
from slipway.runs.recovery import recover

__all__ = ["Project", "open_project", "open_workspace"]

_STEPS_LOOKED_AT = 2000
_RUNS_LOOKED_AT = 200
_read_at_import: dict[Path, set[str]] = {}


@dataclass(frozen=True, slots=True)
class Project:
    """An opened project.

    Args:
        folder: Where slipway.toml lies.
        settings: What it says.
        workspace: The backends.
    """

    folder: Path
    settings: Settings
    workspace: Workspace

    @property
    def name(self) -> str:
        """The project's name."""
        return self.settings.project.name

    def module(self) -> ModuleType:
        """Import the module that declares the project's tables, features, pipelines and endpoints.

        Raises:
            NotFound: The module named in slipway.toml does not exist.
            StepFailed: It raised while being imported.
        """
        name = self.settings.project.module
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            with self.reading(), plugins.seldom_collected():
                return importlib.import_module(name)
        except ModuleNotFoundError as problem:
            if problem.name != name:
                raise StepFailed(
                    f"The project's module {name!r} imports {problem.name!r}, which is not installed.",
                    step=name,
                    fix=f"Install it, or remove the import from {self.folder / name}.py.",
                ) from problem
            if not (self.folder / FILE).is_file():
                raise NotFound(
                    f"The folder {self.folder} has no slipway.toml, so nobody knows which module is the project's.",
                    fix='Write one: [project], name = "...", module = "..."; or make a project: slipway new my-project',
                ) from problem
            known = [path.stem for path in self.folder.glob("*.py")]
            raise NotFound(
                f"slipway.toml names the module {name!r}, which is not in {self.folder}.",
                fix=near(name, known, what="modules there"),
            ) from problem
        except SlipwayError:
            raise
        except (Exception, SystemExit) as problem:
            raise StepFailed(
                f"The project's module {name!r} failed while it was imported: {type(problem).__name__}: {problem}",
                step=name,
                trace=user_trace(problem),
                fix=f"Mend it; `python {name}.py` in {self.folder} shows the same.",
            ) from problem

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside the block belongs to the project's snapshots, as far as it lies beside the code."""
        hooks.install()
        with recording(()) as reads:
            yield
        _read_at_import.setdefault(self.folder, set()).update(
            os.path.relpath(os.path.abspath(one.name), self.folder) for one in reads.taken()[0] if one.kind == "file"
        )

    def declared(self, kind: type | tuple[type, ...]) -> dict[str, Any]:
        """What the project's module declares of a kind, by the declaration's own name.

        Raises:
            InvalidDeclaration: Two declarations of the kind share a name.
        """
        found: dict[str, Any] = {}
        for value in self.all_declared(kind):
            name = str(getattr(value, "name", ""))
            if found.setdefault(name, value) is not value:
                raise InvalidDeclaration(
                    f"Two declarations in {self.settings.project.module!r} are called {name!r}.",
                    fix="Give one of them another name.",
                )
        return found

    def all_declared(self, kind: type | tuple[type, ...]) -> list[Any]:
        """What the project's module declares of a kind, an endpoint's own pipeline and tables among it; feature sets may share a name."""
        named = list(vars(self.module()).values())
        of_endpoints = [part for one in named if isinstance(one, Endpoint) for part in one.parts()]
        found = [value for value in (*named, *of_endpoints) if isinstance(value, kind)]
        return list({id(value): value for value in found}.values())

    def snapshot(self) -> str:
        """Keep the project's code, settings and lock as one blob; returns its digest. The same project gives the same one.

        Files beside the code belong to it that the project's module read when it was imported, and that its tables read
        when they were ingested; what a run reads is kept with the run.

        Raises:
            InvalidInput: There is no Python file in the project's folder.
        """
        return self._taken(())[0]

    def published(self) -> str:
        """The snapshot of what shall run without this folder; says what it lacks.

        Files beside the code belong to it that git tracks, and that runs have read.

        Raises:
            InvalidInput: There is no Python file in the project's folder.
        """
        with self.workspace.ledger.read() as tx:
            steps = entries.find(tx, StepRun, project=self.name, limit=_STEPS_LOOKED_AT)
            runs = entries.find(tx, Run, project=self.name, limit=_RUNS_LOOKED_AT)
        digest, left_out = self._taken([*beside.tracked(self.folder), *beside.kept_in((*steps, *runs))])
        if left_out:
            self.workspace.say(
                f"Left out beside the code: {beside.listed(left_out)}. What runs without this folder does not find them: "
                "make a table or a file set of what it needs."
            )
        return digest

    def _taken(self, read: Iterable[str]) -> tuple[str, tuple[str, ...]]:
        named = vars(self.module()).items()
        declared = [name for name, value in named if type(value).__module__.startswith("slipway.")]
        at_import = (name for name in _read_at_import.get(self.folder, ()) if not name.startswith(".."))
        chosen = beside.choose(self.workspace.blobs, self.folder, [*at_import, *read])
        about = {
            one.name: AboutPipeline(about=_first_line(one.function), parameters=parameters_of(one))
            for one in self.all_declared(Pipeline)
        }
        kept = take(self.workspace, self.folder, declared=declared, files=chosen.files, pipelines=about)
        return kept, chosen.left_out

    def declare_settings(self) -> None:
        """Keep what slipway.toml says of who answers for what, of costs and of limits: a server goes by it without the project's code."""
        raci.declare(self.workspace, raci_rows(self.settings))
        declare_rates(self.workspace, self.settings.cost)
        declare_limits(self.workspace, self.settings.retention, self.settings.quota)

    def pick(self, kind: type | tuple[type, ...], name: str, what: str) -> Any:
        """The declaration of a kind and name.

        Raises:
            NotFound: There is none.
        """
        found = self.declared(kind)
        if name not in found:
            raise NotFound(
                f"The project {self.name!r} declares no {what} {name!r}.", fix=near(name, found, what=f"{what}s")
            )
        return found[name]


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def open_workspace(
    root: Path,
    *,
    project: str,
    environment: str = "dev",
    actor: Actor | None = None,
    clock: Clock | None = None,
    ledger: str | None = None,
    blobs: str = "",
    online: str = "",
    executor: str = THREADS,
    workers: int = 0,
    memory_bytes: int = 0,
    traces: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Workspace:
    """Open a store's backends by name.

    Args:
        root: The store's folder; made when it is missing.
        project: The project.
        environment: "dev", "test" or "prod".
        actor: Who acts, None for whose process this is; see `local_actor`.
        clock: Business time, None for the store's own; see `open_clock`.
        ledger: The URL of the ledger that the environment's settings name; see `open_ledger`.
        blobs: The URL that the environment's settings name, "" for what the folder remembers; see `open_blobs`.
        online: The URL of the online store that the environment's settings name, "" for the embedded one.
        executor: Where pipelines carry out their steps; see `placement`.
        workers: How many steps run at once, 0 for as many as there is room for.
        memory_bytes: See `Workspace`.
        traces: The URL of the settings' receiver of traces, "" for none.
        say: Receives lines of progress.
    """
    placed, root = placement(executor, workers), root.resolve()
    opened = open_ledger(root, ledger)
    with _closed_if_it_fails(opened):
        _say_upgraded(opened, root, say)
        kept, open_parts = open_blobs(root, opened, blobs)
        index_anew(opened, {ModelVersion: found_by.completing(kept)})
        clock = clock or open_clock(root)
        acting, identity = (actor, None) if actor else local_actor(opened, project, clock.now(), environment)
    return Workspace(
        project=project,
        environment=environment,
        actor=acting,
        identity=identity,
        root=root,
        ledger=opened,
        blobs=kept,
        open_parts=open_parts,
        clock=clock,
        signer=plugins.load("signer", "ed25519")(root / "keys"),
        launcher=plugins.load("launcher", "process")(environment=traces_environment(traces)),
        runner=plugins.load("runner", "process")(),
        open_online=open_online,
        online=online,
        placement=placed,
        memory_bytes=memory_bytes,
        say=say,
    )


def _say_upgraded(ledger: LedgerStore, root: Path, say: Callable[[str], None]) -> None:
    if ledger.upgraded_from:
        say(upgraded(ledger, root).sentence)


def _remember(home: Path, store: Path, settings: Settings, port: int) -> None:
    """Tell a store what others learn from its folder: where roots are written too, how people are told, and where endpoints answer."""
    anchors.remember(store, settings.project.name, settings.audit.anchor, base=home)
    channels.remember(store, settings.project.name, settings.notify)
    keep_port(store, port)


@contextmanager
def _closed_if_it_fails(opened: LedgerStore) -> Iterator[None]:
    try:
        yield
    except BaseException:
        opened.close()
        raise


@contextmanager
def open_project(
    folder: Path | str = ".",
    *,
    environment: str = "dev",
    actor: Actor | None = None,
    clock: Clock | None = None,
    root: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    implicit: bool = False,
) -> Iterator[Project]:
    """Open the project around a folder and make its workspace current.

    Args:
        folder: Where to begin looking for slipway.toml, upwards.
        environment: Which environment.
        actor: Who acts; see `open_workspace`.
        clock: Business time; see `open_workspace`.
        root: Another store than slipway.toml names; ledger and blobs are where it says, online stores are embedded.
        say: Receives lines of progress.
        implicit: Whether a folder without slipway.toml becomes a project of its own name.

    Raises:
        NotFound: There is no slipway.toml, no such environment, or its store was taken away.
        InvalidSetting: slipway.toml does not fit, or a server keeps the environment.
    """
    home, settings = locate(Path(folder), implicit=implicit)
    chosen = settings.environment(environment)
    if chosen.server and root is None:
        raise InvalidSetting(
            f"The environment {environment!r} of {settings.project.name!r} is kept by the server {chosen.server}.",
            why="Runs are recorded in a store; another one beside the server's would split the project.",
            fix="Log runs with `sw.run`, which sends them there; for the rest open the store where the server keeps it.",
        )
    store = root or home / chosen.store
    is_on_demand = root is None and environment in read_local(home).made
    with using(store, name=environment if is_on_demand else ""):
        opened = open_workspace(
            store,
            project=settings.project.name,
            environment=environment,
            actor=actor,
            clock=clock,
            ledger=chosen.ledger if root is None else None,
            blobs=chosen.blobs if root is None else "",
            online=chosen.online if root is None else "",
            executor=chosen.executor,
            traces=chosen.traces,
            workers=chosen.workers,
            memory_bytes=chosen.memory_bytes,
            say=say,
        )
        try:
            if root is None:  # a simulation's history is nobody's to prove
                _remember(home, store, settings, chosen.port)
            projects.register(opened, template=settings.project.template)
            recover(opened)
            with current_workspace.filled(opened):
                yield Project(home, settings, opened)
        finally:
            opened.ledger.close()
