"""`slipway schedules`: pipelines that run by themselves."""

from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import age, columns, count, facts, instant
from slipway.errors import InvalidInput
from slipway.operations.schedules import Fired, Hook, ScheduleDetail, ScheduleRow, Schedules
from slipway.records.schedules import Firing, Schedule
from slipway.schema.schedules import trigger_in_words

__all__ = ["publish", "schedules"]


@click.group()
def schedules() -> None:
    """Let pipelines run by themselves: by the clock, new data, incidents, pushes and requests."""


@schedules.command()
@opened
def apply(door: Door) -> None:
    """Publish the schedules that the project declares. Those that it declares no more are withdrawn."""
    made = publish(door)
    if door.as_json:
        door.show(made, str)
        return
    for one in made:
        door.workspace.say(f"{one.name}: {one.spec.pipeline}, {_when(one)}")
    door.show(door.call("schedules.list"), _list_text)


@schedules.command("list")
@click.option("--withdrawn", is_flag=True, help="Those that are declared no more, too.")
@opened
def list_(door: Door, withdrawn: bool) -> None:
    """List schedules: what makes them run, what ran last, what is next."""
    door.show(door.call("schedules.list", withdrawn=withdrawn), _list_text)


@schedules.command()
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many firings.")
@opened
def show(door: Door, name: str, limit: int) -> None:
    """Show the schedule NAME, its next times and its firings."""
    door.show(door.call("schedules.get", name=name, limit=limit), _text)


@schedules.command("next")
@click.argument("name")
@click.option("--count", "number", default=10, show_default=True, type=click.IntRange(1, 100), help="How many.")
@opened
def next_(door: Door, name: str, number: int) -> None:
    """Tell when the schedule NAME will fire next by the clock."""
    door.show(door.call("schedules.get", name=name, limit=1, next=number), _next_text)


@schedules.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; it is kept.")
@opened
def pause(door: Door, name: str, reason: str) -> None:
    """Pause the schedule NAME. Nothing fires by itself until it is resumed; what runs runs on."""
    door.show(door.call("schedules.pause", name=name, reason=reason), _text)


@schedules.command()
@click.argument("name")
@opened
def resume(door: Door, name: str) -> None:
    """Let the paused schedule NAME fire again. What happened meanwhile is not caught up."""
    door.show(door.call("schedules.resume", name=name), _text)


@schedules.command()
@click.argument("name")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline.")
@click.option("--key", default="", help="The same key again is the same firing.")
@click.option("--reason", default="", help="Why; it is kept.")
@opened
def fire(door: Door, name: str, settings: tuple[str, ...], key: str, reason: str) -> None:
    """Run the pipeline of the schedule NAME now."""
    params: dict[str, Any] = {}
    for setting in settings:
        word, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting!r} is not NAME=VALUE.", fix="For example --set learning_rate=0.1")
        params[word] = text
    door.show(door.call("schedules.fire", name=name, params=params, key=key, reason=reason), _fired_text)


@schedules.command()
@click.argument("name")
@opened
def hook(door: Door, name: str) -> None:
    """Make a secret by which requests fire the schedule NAME. A former one is void."""
    door.show(door.call("schedules.hook", name=name), _hook_text)


def publish(door: Door) -> list[Schedule]:
    """Publish what the project's module declares."""
    from slipway.data.declare import Table
    from slipway.flows.endpoint import Endpoint
    from slipway.flows.schedules import declare_schedules, named
    from slipway.pipelines.declare import Pipeline

    project = door.project
    return declare_schedules(
        door.workspace,
        named(vars(project.module())),
        snapshot=project.published(),
        folder=project.folder,
        pipelines=project.declared(Pipeline),
        endpoints=list(project.declared(Endpoint).values()),
        tables=list(project.declared(Table)),
    )


def _when(schedule: Schedule) -> str:
    return ", ".join(trigger_in_words(trigger) for trigger in schedule.spec.when) or "by hand only"


def _list_text(answer: Schedules) -> str:
    head = ("schedule", "pipeline", "when", "state", "last", "next (UTC)")
    rows = [_row(row) for row in answer.schedules]
    text = columns(
        head, rows, empty="No schedule yet. Declare one with sw.Schedule(...), then: slipway schedules apply"
    )
    told = [f"{row.schedule.name}: {row.incident}" for row in answer.schedules if row.incident]
    return "\n".join([text, *(["", *told] if told else [])])


def _row(row: ScheduleRow) -> tuple[str, ...]:
    one, last = row.schedule, row.last
    ran = "" if last is None else f"{last.state} {instant(last.due_at)}"
    return (one.name, one.spec.pipeline, _when(one), one.state, ran, instant(row.next_at))


def _text(answer: ScheduleDetail) -> str:
    one, spec = answer.schedule, answer.schedule.spec
    given = [f"{name}={value}" for name, value in spec.params.items()] + [f"{name}=the day" for name in spec.today]
    paused = f"paused by {one.paused_by} since {instant(one.paused_at)}" if one.paused_by else one.state
    parts = [
        facts(
            [
                ("schedule", one.name),
                ("runs", spec.pipeline + (f" for the endpoint {spec.endpoint}" if spec.endpoint else "")),
                ("when", _when(one).replace(", ", "\n")),
                ("state", paused + (f": {one.reason}" if one.reason else "")),
                ("parameters", ", ".join(given)),
                ("missed ones", spec.catch_up),
                ("overlaps", spec.overlap),
                ("retries", str(spec.retries) if spec.retries else ""),
                ("snapshot", one.snapshot[:12]),
                ("next", "\n".join(f"{following.local} ({following.trigger})" for following in answer.next)),
            ]
        ),
        *(incident.sentence for incident in answer.incidents),
        columns(
            ("due (UTC)", "trigger", "state", "late", "run", "what came of it"),
            [_firing(firing) for firing in answer.firings],
            empty="It has not fired yet.",
        ),
    ]
    return "\n\n".join(parts)


def _firing(one: Firing) -> tuple[str, ...]:
    late = age((one.started_at - one.due_at).total_seconds()) if one.started_at and one.started_at > one.due_at else ""
    missed = f" Stands for {count(one.missed, 'earlier one')} too." if one.missed else ""
    return (instant(one.due_at), one.trigger, one.state, late, one.run_id[:12], f"{one.sentence}{missed}".strip())


def _next_text(answer: ScheduleDetail) -> str:
    rows = [(instant(one.at), one.local, one.trigger) for one in answer.next]
    is_paused = answer.schedule.state != "active"
    empty = f"It is {answer.schedule.state}." if is_paused else "It has no clock: it fires by what happens."
    return columns(("UTC", "there", "trigger"), rows, empty=empty)


def _fired_text(answer: Fired) -> str:
    one = answer.firing
    if not answer.is_new:
        return f"This key has fired {one.name} already: {one.state}. {one.sentence}".strip()
    if one.state == "skipped":
        return one.sentence
    told = f"{one.name} fires: {one.pipeline} " + ("began." if one.state == "started" else "waits for its turn.")
    return f"{told}\nLook:  slipway schedules show {one.name}"


def _hook_text(answer: Hook) -> str:
    return (
        f"POST {answer.path}\n"
        f"Secret: {answer.secret}\n"
        "It is shown this once. Send it as 'Authorization: Bearer SECRET', or give it to GitHub as the webhook's secret."
    )
