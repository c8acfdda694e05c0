"""`slipway approve`: a person's word for one model version, or ahead of time for an endpoint's retraining."""

from datetime import UTC, date, datetime, time

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import instant
from slipway.errors import InvalidInput
from slipway.operations.governance import Granted, Standing

__all__ = ["approve"]


@click.command()
@click.argument("name", metavar="MODEL|ENDPOINT")
@click.option("--version", default="latest", show_default=True, help="A number, an alias, or latest.")
@click.option("--role", default="accountable", show_default=True, help="In which role.")
@click.option("--reject", is_flag=True, help="Reject instead of approving.")
@click.option("--standing", is_flag=True, help="Approve an endpoint's retraining policy ahead of time.")
@click.option("--until", metavar="DATE", help="With --standing: the last day on which the word counts (UTC).")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 366), help="For how long it counts.")
@click.option("--comment", default="", help="Why.")
@opened
def approve(
    door: Door,
    name: str,
    version: str,
    role: str,
    reject: bool,
    standing: bool,
    until: str | None,
    days: int,
    comment: str,
) -> None:
    """Approve or reject a version of MODEL; the word is bound to its bundle's digest.

    With --standing it is for a policy of ENDPOINT: what its pipeline makes and its gate and roll-out let through may
    serve unattended, until the given day and as long as none of these is changed.
    """
    if standing:
        lapses = _end_of(until, name, has_more=reject or version != "latest")
        answer = door.call("approvals.stand", endpoint=name, until=lapses, role=role, comment=comment)
        door.show(answer, _standing_text)
        return
    if until is not None:
        raise InvalidInput(
            "--until is given without --standing.",
            why="An approval of one version is of that bundle, and counts for so many days: --days.",
            fix=f"Leave it out, or approve the policy: slipway approve {name} --standing --until {until}",
            field="until",
        )
    decision = "rejected" if reject else "approved"
    given = {"model": name, "version": version, "role": role, "decision": decision, "comment": comment, "days": days}
    granted = door.call("approvals.grant", **given)
    door.show(granted, _text)


def _end_of(until: str | None, name: str, *, has_more: bool) -> datetime:
    """The end of the last day on which a standing approval counts."""
    if has_more:
        raise InvalidInput(
            "--standing is given with --reject or --version.",
            why="A standing approval is of a policy, not of one version; what was given is taken back by its id.",
            fix="Leave these out, or: slipway api approvals.revoke id=ID",
        )
    try:
        day = date.fromisoformat(until or "")
    except ValueError as problem:
        raise InvalidInput(
            f"{until!r} is no day on which a standing approval lapses." if until else "--standing needs --until.",
            why="A word that was given ahead of time has an end.",
            fix=f"For example: slipway approve {name} --standing --until 2014-01-31",
            field="until",
        ) from problem
    return datetime.combine(day, time.max, tzinfo=UTC)


def _text(answer: Granted) -> str:
    given = answer.approval
    until = f" until {instant(given.expires_at)}" if given.expires_at else ""
    return f"{given.actor} {given.decision} the bundle {given.bundle[:12]} as {given.name}{until}."


def _standing_text(answer: Standing) -> str:
    given = answer.approval
    return (
        f"{given.actor} approved the retraining policy of {given.name} as {given.role} until {instant(given.until)} "
        f"(policy {given.policy[:12]}; any change of it voids this)."
    )
