"""`slipway audit`: what happened, and proof of it."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, instant
from slipway.operations.governance import AuditState, Events, Sealed

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """List what happened, verify or seal the audit log."""


@audit.command("list")
@click.option("--after", default=0, help="Only events after this position.")
@click.option("--subject", default="", help="Only what happened to this: model:m-0192...")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@opened
def list_(door: Door, after: int, subject: str, limit: int) -> None:
    """List events in order."""
    door.show(door.call("audit.list", after=after, subject=subject, limit=limit), _list_text)


@audit.command()
@opened
def verify(door: Door) -> None:
    """Check every seal: an edit, deletion, swap or truncation is named and ends with an error."""
    door.show(door.call("audit.verify"), _verify_text)


@audit.command()
@opened
def seal(door: Door) -> None:
    """Seal all events so far under one signed root."""
    door.show(door.call("audit.seal"), _seal_text)


def _list_text(answer: Events) -> str:
    rows = [(str(event.seq), instant(event.at), str(event.actor), event.verb, event.subject) for event in answer.events]
    return columns(("event", "at (UTC)", "who", "what", "on what"), rows, empty="Nothing has happened yet.")


def _verify_text(answer: AuditState) -> str:
    if not answer.sealed:
        return f"Nothing is sealed yet, {count(answer.unsealed, 'event')} could be: slipway audit seal"
    tail = f" {count(answer.unsealed, 'event')} not sealed yet." if answer.unsealed else ""
    return f"{count(answer.sealed, 'sealed event')}, every seal holds.{tail}"


def _seal_text(answer: Sealed) -> str:
    if answer.root is None:
        return "There was nothing to seal."
    return f"Sealed events {answer.root.first_seq} to {answer.root.last_seq} under root {answer.root.index}."
