"""`slipway approve`: a person's word for one model version."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import instant
from slipway.operations.governance import Granted

__all__ = ["approve"]


@click.command()
@click.argument("model")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--role", default="accountable", show_default=True, help="In which role.")
@click.option("--reject", is_flag=True, help="Reject instead of approving.")
@click.option("--comment", default="", help="Why.")
@opened
def approve(door: Door, model: str, version: str, role: str, reject: bool, comment: str) -> None:
    """Approve or reject a version of MODEL; the word is bound to its bundle's digest."""
    decision = "rejected" if reject else "approved"
    answer = door.call("approvals.grant", model=model, version=version, role=role, decision=decision, comment=comment)
    door.show(answer, _text)


def _text(answer: Granted) -> str:
    given = answer.approval
    until = f" until {instant(given.expires_at)}" if given.expires_at else ""
    return f"{given.actor} {given.decision} the bundle {given.bundle[:12]} as {given.name}{until}."
