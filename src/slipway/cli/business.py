"""`slipway business`: one model in words that need no knowledge of machine learning, and who sees that without an account."""

from __future__ import annotations

from pathlib import Path

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, instant
from slipway.errors import InvalidInput
from slipway.operations.business import BusinessPage, SharedMade, Sharing

__all__ = ["business"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@click.group()
def business() -> None:
    """Show what a model is worth and whether it can be trusted; let others see just that, by a link or by mail."""


@business.command()
@click.argument("model")
@click.option("--pdf", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file.")
@opened
def show(door: Door, model: str, pdf: Path | None) -> None:
    """Show MODEL as the business sees it: figure, value, cost, incidents, trust."""
    from slipway.flows.business_document import document, letter_text
    from slipway.plugins import load

    found: BusinessPage = door.call("business.get", model=model)
    if pdf is not None:
        data = load("document", "pdf")(document(found))
        try:
            pdf.write_bytes(data)
        except OSError as problem:
            raise InvalidInput(
                f"{pdf} cannot be written: {problem.strerror}.", fix="Name a file in a folder that is there: --pdf FILE"
            ) from problem
    door.show(found, lambda page: letter_text(page, "")[1] if pdf is None else f"Written: {pdf}")


@business.command()
@click.argument("model")
@click.option("--for", "label", default="", help="Whom it is for.")
@click.option("--days", default=30, show_default=True, help="How long it lasts.")
@opened
def share(door: Door, model: str, label: str, days: int) -> None:
    """Make a link to MODEL's page: whoever has it sees that page, and nothing else, without an account."""
    made: SharedMade = door.call("business.share", model=model, label=label, days=days)
    address = f"{door.server.rstrip('/')}{made.path}"
    told = f"{address}\nIt is shown once, and lasts until {instant(made.link.expires_at)}. To end it:  slipway business revoke {made.link.id}"
    door.show(
        made, lambda _: told if door.server else f"{told}\nIt stands after the address of the server of this store."
    )


@business.command()
@click.argument("model")
@opened
def links(door: Door, model: str) -> None:
    """List the links to MODEL's page, and the mail that is set."""
    door.show(door.call("business.sharing", model=model), _text)


@business.command()
@click.argument("id")
@opened
def revoke(door: Door, id: str) -> None:
    """End the link ID: from now on it shows nothing."""
    door.show(door.call("business.revoke", id=id), _text)


@business.command()
@click.argument("model")
@click.argument("to", nargs=-1, metavar="[ADDRESS]...")
@click.option("--day", type=click.Choice(_DAYS), default="monday", show_default=True, help="On which day.")
@click.option("--hour", default=7, show_default=True, help="At which hour, UTC.")
@opened
def mail(door: Door, model: str, to: tuple[str, ...], day: str, hour: int) -> None:
    """Send MODEL's page to each ADDRESS every week; without any, to nobody any more."""
    door.show(door.call("business.mail", model=model, to=list(to), weekday=_DAYS.index(day), hour=hour), _mail_text)


def _text(answer: Sharing) -> str:
    rows = [
        (
            one.id,
            one.label,
            one.made_by,
            f"ended by {one.revoked_by}" if one.revoked_at else f"until {instant(one.expires_at)}",
            instant(one.first_used_at) if one.first_used_at else "never",
        )
        for one in answer.links
    ]
    told = columns(("link", "for", "made by", "lasts", "first opened"), rows, empty="No link was made.")
    return f"{told}\n{_mail_text(answer)}"


def _mail_text(answer: Sharing) -> str:
    if answer.mail is None or answer.next_at is None:
        return "No mail is sent."
    day, to = _DAYS[answer.mail.weekday].title(), ", ".join(answer.mail.to)
    told = f"By mail each {day} to {to}, next {instant(answer.next_at)}."
    return f"{told}\n{answer.trouble}" if answer.trouble else told
