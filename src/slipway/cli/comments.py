"""`slipway comment` and `slipway inbox`: what people say to each other, and what needs one."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import count, instant
from slipway.errors import InvalidInput
from slipway.operations.comments import CommentKept, Comments, Inbox, NoticesMarked

__all__ = ["comment", "inbox"]


@click.command()
@click.argument("what", required=False, metavar="WHAT")
@click.argument("text", required=False)
@click.option("--edit", metavar="ID", help="Change a comment of yours to TEXT; WHAT is left out.")
@click.option("--delete", metavar="ID", help="Delete a comment of yours; a mark stays.")
@opened
def comment(door: Door, what: str | None, text: str | None, edit: str | None, delete: str | None) -> None:
    """Comment on WHAT (run:ID, model:NAME:VERSION, verdict:ID, incident:ID, table:NAME); without TEXT, list comments.

    TEXT is Markdown; @NAME tells that person.
    """
    if edit and delete:
        raise InvalidInput("--edit and --delete are given together.", fix="Give one of them.")
    if delete:
        door.show(door.call("comments.delete", id=delete), lambda answer: "Deleted; that there was one stays.")
    elif edit:
        words = text or what
        if not words:
            raise InvalidInput("--edit is given without a text.", fix=f'Add it: slipway comment --edit {edit} "..."')
        door.show(door.call("comments.edit", id=edit, text=words), _kept_text)
    elif not what:
        raise InvalidInput(
            "It does not say what to comment on.", fix='For example: slipway comment model:NAME:3 "..."', field="what"
        )
    elif text is None:
        door.show(door.call("comments.list", about=what), _comments_text)
    else:
        door.show(door.call("comments.add", about=what, text=text), _kept_text)


@click.command()
@click.option("--all", "everything", is_flag=True, help="What was read, too.")
@click.option("--read", is_flag=True, help="Mark notices as read; approvals that are waited for stay.")
@opened
def inbox(door: Door, everything: bool, read: bool) -> None:
    """Show what needs you: approvals, hand-overs, incidents, mentions, and what you are told."""
    if read:
        door.show(door.call("notices.mark"), _marked_text)
        return
    door.show(door.call("notices.list", everything=everything), _inbox_text)


def _kept_text(answer: CommentKept) -> str:
    told = ", ".join(answer.comment.mentions)
    return "\n".join([f"Kept as {answer.comment.id}{f'; {told} told' if told else ''}.", *answer.unheard])


def _comments_text(answer: Comments) -> str:
    parts = []
    for one in answer.comments:
        head = f"{one.actor}, {instant(one.created_at)} UTC, {one.id}"
        if one.deleted_at:
            parts.append(f"{head}\n  deleted {instant(one.deleted_at)} by {one.deleted_by}")
        else:
            body = "\n".join(f"  {line}" for line in one.text.splitlines())
            parts.append(f"{head}{', edited ' + instant(one.edited_at) if one.edited_at else ''}\n{body}")
    return "\n\n".join(parts) or "Nobody has said anything yet."


def _marked_text(answer: NoticesMarked) -> str:
    return f"{count(answer.marked, 'notice')} marked as read."


def _inbox_text(answer: Inbox) -> str:
    parts = [
        ("Waits for your approval", [f"{one.sentence}{_for(one.name, answer)}" for one in answer.approvals]),
        (
            "Offered to you",
            [
                f"{one.name} {one.number} by {one.actor}: slipway handover {one.name} --accept, or --return WHY"
                for one in answer.handovers
            ],
        ),
        ("Yours to look at", [f"{one.sentence} (since {instant(one.created_at)})" for one in answer.incidents]),
        ("Perhaps nobody was told elsewhere", list(answer.untold)),
        (
            "News",
            [f"{instant(one.created_at)}  {one.sentence}{_for(one.name, answer)}" for one in answer.notices],
        ),
    ]
    told = [f"{title}:\n" + "\n".join(f"- {line}" for line in lines) for title, lines in parts if lines]
    if answer.stands_for:
        told.append(f"You stand in for {', '.join(answer.stands_for)}.")
    if answer.more:
        told.append(f"{count(answer.more, 'older notice')} left out.")
    return "\n\n".join(told) or "Nothing needs you."


def _for(name: str, answer: Inbox) -> str:
    return f" (for {name})" if name in answer.stands_for else ""
