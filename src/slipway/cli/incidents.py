"""`slipway incidents`: what is wrong, what to do about it, and whether it was worth telling."""

from datetime import UTC, datetime, timedelta

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, facts, instant
from slipway.errors import InvalidInput
from slipway.operations.incidents import Delivered, IncidentDetail, IncidentKept, Incidents, Precision, Tested
from slipway.operations.responsibility import whom
from slipway.records.monitors import Incident
from slipway.schema.durations import microseconds

__all__ = ["incidents"]

_WIDEST = 90


@click.group()
def incidents() -> None:
    """See what is wrong, and say what becomes of it."""


@incidents.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
@click.option("--endpoint", default="", help="Of one endpoint.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@opened
def list_(door: Door, everything: bool, endpoint: str, limit: int) -> None:
    """List open incidents, the newest first, and which share of those that were judged was useful."""
    state = "" if everything else "open"
    door.show(door.call("incidents.list", state=state, endpoint=endpoint, limit=limit), _list_text)


@incidents.command()
@click.argument("id")
@opened
def show(door: Door, id: str) -> None:
    """Show the incident ID: how much, since when, what probably caused it, what to do."""
    door.show(door.call("incidents.get", id=id), _text)


@incidents.command()
@click.argument("id")
@click.option("--comment", default="", help="What you know of it.")
@opened
def ack(door: Door, id: str, comment: str) -> None:
    """Acknowledge the incident ID: you look at it, and nobody else is told that nobody does."""
    door.show(door.call("incidents.ack", id=id, comment=comment), _acknowledged)


@incidents.command()
@click.argument("id")
@click.option("--for", "span", metavar="TIME", help="For how long: 4h, 2d.")
@click.option("--until", metavar="DATE", help="Or until then: 2030-01-01, 2030-01-01T08:00.")
@click.option("--comment", default="", help="Why.")
@opened
def snooze(door: Door, id: str, span: str | None, until: str | None, comment: str) -> None:
    """Put the incident ID off: nobody is told of it until then."""
    door.show(door.call("incidents.snooze", id=id, until=_until(span, until), comment=comment), _snoozed)


@incidents.command()
@click.argument("id")
@click.option("--reason", required=True, help="Why; it is kept.")
@opened
def close(door: Door, id: str, reason: str) -> None:
    """Close the incident ID by hand. A monitor that shows it again opens it again."""
    door.show(door.call("incidents.close", id=id, reason=reason), lambda kept: f"Closed {kept.incident.id}.")


@incidents.command()
@click.argument("id")
@click.argument("word", type=click.Choice(["useful", "noise", "known"]))
@click.option("--comment", default="", help="Why.")
@opened
def feedback(door: Door, id: str, word: str, comment: str) -> None:
    """Say whether it was worth telling you of the incident ID. Noise, and what is known, hold repeats back for a time."""
    door.show(door.call("incidents.feedback", id=id, word=word, comment=comment), _judged)


@incidents.command()
@click.argument("channel", required=False)
@opened
def test(door: Door, channel: str | None) -> None:
    """Send a message by the channels of slipway.toml, or by CHANNEL, and say what became of it."""
    answer = door.call("incidents.test", channel=channel or "")
    door.show(answer, _tested)
    if any(one.state != "sent" for one in answer.channels):
        raise click.exceptions.Exit(3)


def _until(span: str | None, until: str | None) -> datetime:
    if bool(span) == bool(until):
        raise InvalidInput("It does not say until when.", fix="Give one of them: --for 2d, or --until 2030-01-01.")
    if span:
        return datetime.now(UTC) + timedelta(microseconds=microseconds(span))
    try:
        found = datetime.fromisoformat(until or "")
    except ValueError as problem:
        raise InvalidInput(f"--until {until!r} is no date.", fix="For example --until 2030-01-01.") from problem
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _list_text(answer: Incidents) -> str:
    head = ("incident", "where", "cause", "state", "since (UTC)", "for", "what")
    rows = [
        (
            one.id,
            one.parent_id.partition("/")[2],
            _cause(one),
            _state(one),
            instant(one.since or one.created_at),
            one.owner,
            one.sentence if len(one.sentence) <= _WIDEST else f"{one.sentence[:_WIDEST]}...",
        )
        for one in answer.incidents
    ]
    return f"{columns(head, rows, empty='No incident is open.')}\n\n{_precision(answer.precision)}"


def _precision(found: Precision) -> str:
    judged = found.useful + found.noise + found.known
    if found.share is None or found.low is None or found.high is None:
        return f"People were told of {count(found.told, 'incident')}; none was judged yet: slipway incidents feedback ID useful"
    return (
        f"{found.share:.0%} of {judged} judged were useful ({found.low:.0%} to {found.high:.0%}); "
        f"{found.noise} noise, {found.known} known; people were told of {found.told} in all."
    )


def _cause(one: Incident) -> str:
    return f"{one.cause or one.name}{f' ({one.about})' if one.about else ''}"


def _state(one: Incident) -> str:
    if one.state == "closed":
        return "closed"
    if one.silenced_by:
        return "silent: explained"
    if one.held and one.told_at is None:
        return "silent: held back"
    if one.snoozed_until:
        return f"put off until {instant(one.snoozed_until)}"
    return f"{one.acknowledged_by} looks" if one.acknowledged_by else "open"


def _text(answer: IncidentDetail) -> str:
    one = answer.incident
    closed = f"{instant(one.closed_at)} UTC: {one.why or 'no longer so'}" if one.closed_at else ""
    judged = f"{one.feedback}, by {one.feedback_by}" if one.feedback else ""
    known = facts(
        [
            ("incident", one.id),
            ("where", answer.where),
            ("cause", _cause(one)),
            ("level", answer.level),
            ("state", _state(one)),
            ("since", f"{instant(one.since or one.created_at)} UTC, first seen {instant(one.created_at)} UTC"),
            ("how much", answer.much),
            ("rows", f"{one.rows:,}" if one.rows else ""),
            ("inputs", ", ".join(one.columns)),
            ("shown by", ", ".join(one.monitors)),
            ("cost", answer.cost),
            ("perhaps by", "\n".join(f"{s.sentence}, {instant(s.at)} UTC" for s in answer.suspects)),
            ("for", whom(one.owner)),
            ("silent", one.silenced or (one.held if one.told_at is None else "")),
            ("came back", f"{one.reopened} times" if one.reopened else ""),
            ("closed", closed),
            ("judged", judged),
            ("comment", one.comment),
            ("told", "\n".join(_told(each) for each in answer.delivered)),
            ("next", answer.command if one.state == "open" else ""),
        ]
    )
    return f"{one.sentence}\n\n{known}\n\n{answer.book.strip()}"


def _told(one: Delivered) -> str:
    if not one.channel:
        return f"{one.occasion}: {'waits' if one.state == 'due' else 'in inboxes only'}"
    problem = f": {one.problem}" if one.problem else ""
    tried = f" after {count(one.attempts, 'attempt')}" if one.attempts > 1 else ""
    return f"{one.occasion}, by {one.channel}: {one.state}{tried}{problem}"


def _acknowledged(kept: IncidentKept) -> str:
    return f"{kept.incident.acknowledged_by} looks at {kept.incident.id}."


def _snoozed(kept: IncidentKept) -> str:
    return f"{kept.incident.id} is put off until {instant(kept.incident.snoozed_until)} UTC."


def _judged(kept: IncidentKept) -> str:
    held = f" Repeats are held back until {instant(kept.held_until)} UTC." if kept.held_until else ""
    return f"{kept.incident.id} is judged {kept.incident.feedback}.{held}"


def _tested(answer: Tested) -> str:
    lines = [f"{one.channel}: {one.state}{f'. {one.problem}' if one.problem else ''}" for one in answer.channels]
    return "\n".join(lines) or "No channel is configured: see [notify.channels] in docs/incidents.md."
