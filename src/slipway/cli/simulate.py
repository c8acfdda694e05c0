"""`slipway simulate`: a project's retraining policy, tried on a past period before anybody trusts it."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.door import command, json_option
from slipway.cli.layout import count, instant
from slipway.cli.simulation_text import simulation_text
from slipway.client.api import Client
from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput
from slipway.hosts.project import Project, open_project
from slipway.hosts.server_process import ServerProcess
from slipway.hosts.settings import locate
from slipway.operations.rollouts import Reconciled, Started
from slipway.records.loop import Action
from slipway.records.people import Actor
from slipway.records.simulations import Simulation

if TYPE_CHECKING:
    from threading import Thread

    from slipway.flows.simulate import Plan, Simulated
    from slipway.hosts.simulation import First

__all__ = ["RemoteControl", "Story", "day_of", "recorded", "replay_period", "report", "simulate", "stopping"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_RECONCILED_WITHIN_S = 3600.0  # a tick waits for retrainings that run
_LENGTH = re.compile(r"([1-9]\d*)\s*([mhd])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class RemoteControl:
    """A control plane in a process of its own, asked over HTTP: see `flows.faults.ControlPlane`.

    Args:
        root: The store's folder.
        project: The project.
        endpoint: Which endpoint it looks after.
        ports: The ports to try in turn, 0 for any free one.
        environment: Which environment the store is.
    """

    def __init__(
        self, root: Path, project: str, endpoint: str, *, ports: tuple[int, ...] = (0,), environment: str = "dev"
    ) -> None:
        self._server = ServerProcess(root, ports=ports, environment=environment)
        self._project = project
        self._endpoint = endpoint
        self._client: Client | None = None

    @property
    def url(self) -> str:
        """Where its pages are."""
        return self._server.url

    @property
    def is_up(self) -> bool:
        """See `flows.faults.ControlPlane`."""
        return self._server.is_up

    def start(self) -> None:
        """See `flows.faults.ControlPlane`."""
        self._server.start()
        self._client = Client(self._server.url, self._project, timeout_s=_RECONCILED_WITHIN_S)

    def reconcile(self, settle: bool) -> Reconciled:
        """See `flows.faults.ControlPlane`."""
        return self._call("loop.reconcile", endpoint=self._endpoint, settle=settle)  # type: ignore[no-any-return]

    def start_retraining(self, endpoint: str, reason: str) -> Started:
        """See `flows.faults.ControlPlane`."""
        return self._call("retrainings.start", endpoint=endpoint, reason=reason)  # type: ignore[no-any-return]

    def kill(self) -> None:
        """See `flows.faults.ControlPlane`."""
        self.leave()
        self._server.kill()

    def stop(self) -> None:
        """Let it finish what it does, and end."""
        self.leave()
        self._server.stop()

    def leave(self) -> None:
        """Close the connection; the process goes on."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, name: str, **fields: Any) -> Any:
        assert self._client is not None  # it is called between start and stop only
        return self._client.call(name, **fields)


class Story:
    """Tells a simulation on standard error: a bar that moves with business time, and a line for what happens.

    Args:
        since: Where the bar begins.
        until: Where it ends.
        label: What stands before it.
    """

    def __init__(self, since: datetime, until: datetime, label: str) -> None:
        self._since = since
        self._bar: Any = click.progressbar(
            length=max((until - since).days, 1), label=f"   {label}", file=sys.stderr, show_pos=True
        )

    def __enter__(self) -> "Story":
        """Show the bar."""
        self._bar.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """End its line."""
        self._bar.__exit__(*problem)

    def asked(self, at: datetime, rows: int) -> None:
        """See `flows.simulate.Teller`."""
        self._bar.update(max(min((at - self._since).days, self._bar.length) - self._bar.pos, 0))

    def acted(self, at: datetime, action: Action) -> None:
        """See `flows.simulate.Teller`."""
        told = f" [{action.owner}]" if action.owner else ""
        self._line(at, f"{action.name}{told}: {action.sentence}")

    def said(self, at: datetime, line: str) -> None:
        """See `flows.simulate.Teller`."""
        self._line(at, f"! {line}")

    def _line(self, at: datetime, line: str) -> None:
        is_bar = sys.stderr.isatty()
        click.echo(f"{chr(13)}{chr(27)}[K" * is_bar + f"   {instant(at)}  {line}", err=True)
        if is_bar:
            self._bar.render_progress()


@command("simulate")
@click.argument("endpoint", required=False)
@click.option(
    "--since", required=True, metavar="DATE", help="The first day; the first model learns what was before it."
)
@click.option("--until", required=True, metavar="DATE", help="The first day that is no longer replayed.")
@click.option(
    "--from-log",
    metavar="DIR",
    type=_FOLDER,
    help="Ask what an endpoint was really asked: its folder, or its store. The training table's rows if missing.",
)
@click.option("--seed", default=0, show_default=True, help="From which everything random is drawn.")
@click.option("--tick", default="6h", show_default=True, help="How often the control plane looks, in simulated time.")
@click.option(
    "--root", metavar="DIR", type=_FOLDER, help="The simulation's store; one beside the project's if missing."
)
@click.option("--keep", is_flag=True, help="Leave the endpoint and the pages running.")
@click.option("-C", "folder", metavar="DIR", type=_FOLDER, help="The project's folder; the present one if missing.")
@click.option("--env", "environment", metavar="NAME", default="dev", show_default=True, help="The environment.")
@json_option
def simulate(
    endpoint: str | None,
    since: str,
    until: str,
    from_log: Path | None,
    seed: int,
    tick: str,
    root: Path | None,
    keep: bool,
    folder: Path | None,
    environment: str,
    as_json: bool,
) -> Simulation:
    """Try ENDPOINT's retraining policy on a past period: every row is asked, and the loop does what it would have done.

    It happens in a store of its own, with a first model that a simulated person approves. ENDPOINT may be left out
    where the project declares only one.
    """
    from slipway.flows.simulate import Plan
    from slipway.hosts.simulation import label_delay_of, log_folder, pick_endpoint, refuse_to_move
    from slipway.operations.declare import check_allowed

    first_day, last_day = day_of(since, "since"), day_of(until, "until")
    length = _length(tick)
    home, settings = locate(folder or Path())
    with open_project(home, environment=environment) as declared:
        wanted = pick_endpoint(declared, endpoint)
        check_allowed(declared.workspace, "simulations.run", "runs.write")
        actor = Actor(declared.workspace.actor.name, kind="simulated", roles=("business owner",))
    done_at = last_day + 2 * label_delay_of(wanted)
    plan = Plan(since=first_day, until=last_day, done_at=done_at, tick=length, seed=seed)
    log = None if from_log is None else log_folder(from_log, settings.project.name, wanted.name)
    store = root or home / settings.environment(environment).store / "simulations" / wanted.name
    if log is not None:
        refuse_to_move(log, store)
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        found = _simulate(home, environment, store, wanted.name, plan, actor, log=log, keep=keep)
        if not as_json:
            click.echo(simulation_text(found))
    return found


def _simulate(
    home: Path,
    environment: str,
    store: Path,
    name: str,
    plan: "Plan",
    actor: Actor,
    *,
    log: Path | None,
    keep: bool,
) -> Simulation:
    from slipway.hosts import simulation as hosts

    say_previous(hosts.fresh_store(store, plan.since), store)
    with open_project(home, environment=environment, root=store, say=_detail) as project:
        endpoint = hosts.pick_endpoint(project, name)
        control = RemoteControl(store, project.name, name, environment=environment)
        with stopping(project, name, control, keep=keep):
            hosts.ingest_all(project)
            version = hosts.first_model(project, endpoint, plan.since)
            comment = f"To try the policy from {plan.since.date()} to {plan.until.date()}."
            deployed = hosts.approve_first(project.workspace, endpoint, version, actor, plan.done_at, comment)
            control.start()
            first = hosts.First(endpoint=endpoint, version=version, deployed=deployed)
            with recorded(project, name, plan) as begun, hosts.blind_trainings(project, first, plan) as trainings:
                done = replay_period(project, first, plan, control, log=log, label=name)
                found = report(project, first, begun, done, trainings)
        if keep and deployed.status is not None:
            click.echo(f"The pages:    {control.url}\nThe endpoint: {deployed.status.url}/endpoints/{name}")
    return found


@contextmanager
def recorded(project: Project, endpoint: str, plan: "Plan") -> Iterator[Simulation]:
    """A simulation's record from its beginning on; where the block raises, it says that it failed and why."""
    from slipway.flows import simulations

    begun = simulations.begin(project.workspace, endpoint, since=plan.since, until=plan.until, seed=plan.seed)
    try:
        yield begun
    except BaseException as problem:
        simulations.fail(project.workspace, begun, str(problem) or type(problem).__name__)
        raise


def report(project: Project, first: "First", begun: Simulation, done: "Simulated", trainings: "Thread") -> Simulation:
    """Write a simulation's report, with a bar, once the blind policy's models are there."""
    from slipway.hosts.simulation import finish_report

    trainings.join()
    bar: Any
    with click.progressbar(length=100, label="   report", file=sys.stderr) as bar:
        return finish_report(
            project, first, begun, done, progress=lambda share: bar.update(round(100 * share) - bar.pos)
        )


def say_previous(previous: Path | None, store: Path) -> None:
    """Say where a former simulation's store went."""
    if previous is not None:
        _detail(f"The former simulation in {store} was stopped and is kept as {previous}; one that lay there is gone.")


@contextmanager
def stopping(project: Project, endpoint: str, control: RemoteControl, *, keep: bool) -> Iterator[None]:
    """Stop what a simulation has started, however it ends; with `keep` leave it running where it ended well."""
    from slipway.flows.endpoints import folder_of
    from slipway.hosts.simulation import stop_tasks

    is_left = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to end is like Ctrl-C: nothing stays behind
    try:
        yield
        is_left = keep
    finally:
        if is_left:
            control.leave()
        else:
            try:
                control.stop()
            finally:
                project.workspace.launcher.stop(folder_of(project.workspace, endpoint))
                stop_tasks(project.workspace.root, project.workspace.runner)


def replay_period(
    project: Project, first: "First", plan: "Plan", control: RemoteControl, *, log: Path | None = None, label: str
) -> "Simulated":
    """Replay a plan's period through the endpoint that serves, telling on standard error how it goes.

    Args:
        project: The simulation's project.
        first: What serves at the beginning.
        plan: The period and what happens in it.
        control: The control plane, started.
        log: Another endpoint's folder whose log is replayed, None for the training table.
        label: What stands before the bar.
    """
    from slipway.flows.faults import World
    from slipway.flows.simulate import simulate as run
    from slipway.hosts.simulation import source_of
    from slipway.hosts.store_clock import CLOCK_FILE
    from slipway.plugins import load

    source = source_of(project, first, plan, log)
    for line in source.told:
        _detail(line)
    name = first.endpoint.name
    assert first.deployed.status is not None
    clock = load("clock", "file")(project.workspace.root / CLOCK_FILE)
    caller: Any
    with (
        EndpointClient(first.deployed.status.url, name) as caller,
        Story(plan.since, plan.until, label) as story,
    ):
        world = World(workspace=project.workspace, endpoint=name)
        done = run(clock, caller, control, source, plan, story, world=world)
    _detail(
        f"{count(len(done.scores), 'row')} asked in {count(done.requests, 'request')}; {count(done.events, 'event')} and "
        f"{count(done.labels, 'label')} delivered; the control plane looked {done.ticks:,} times."
    )
    if done.failures:
        _detail(f"{count(done.failures, 'request')} failed.")
    return done


def day_of(text: str, option: str) -> datetime:
    """A day as an option gives it, from its beginning in UTC.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(
            f"--{option} {text!r} is no day.",
            fix=f"Write it as --{option} 2013-04-01; it begins at 00:00 UTC.",
            field=option,
        ) from None


def _length(text: str) -> timedelta:
    found = _LENGTH.match(text)
    if found is None:
        raise InvalidInput(f"--tick {text!r} is no length of time.", fix="Write it as 30m, 6h or 1d.", field="tick")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _detail(line: str) -> None:
    click.echo(f"   {line}", err=True)
