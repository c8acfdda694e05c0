"""`slipway trash`: what is put aside, taken back, and removed for good."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, instant
from slipway.operations.trash import Expired, Purged, Swept, Trash, TrashMoved
from slipway.records.trash import TrashRule

__all__ = ["trash"]

_SHOWN = 20


@click.group()
def trash() -> None:
    """Put runs, experiments and models into the trash, take them back, or purge them.

    ITEM is run:ID, experiment:NAME, model:NAME, model:NAME:NUMBER or logged:ID. What is in the trash is purged by the
    server after 30 days, unless `slipway trash keep` says otherwise. See docs/deletion.md.
    """


@trash.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Of each sort at most.")
@opened
def list_(door: Door, limit: int) -> None:
    """List what is in the trash, newest first."""
    door.show(door.call("trash.list", limit=limit), _list_text)


@trash.command()
@click.argument("items", metavar="ITEM...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why; kept in the audit log.")
@opened
def put(door: Door, items: tuple[str, ...], reason: str) -> None:
    """Put things into the trash; an experiment goes with its runs, a model with its versions."""
    answer = door.call("trash.put", items=list(items), reason=reason)
    door.show(answer, lambda moved: _moved_text(moved, "is in the trash"))


@trash.command()
@click.argument("items", metavar="ITEM...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why; kept in the audit log.")
@opened
def restore(door: Door, items: tuple[str, ...], reason: str) -> None:
    """Take things out of the trash, with what went with them."""
    answer = door.call("trash.restore", items=list(items), reason=reason)
    door.show(answer, lambda moved: _moved_text(moved, "is not in the trash"))


@trash.command()
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@click.option("--older-than", type=float, metavar="DAYS", help="All that is there longer; as `keep` says if left out.")
@click.option(
    "--grace", default=1.0, show_default=True, metavar="DAYS", help="Leave bytes stored since; 0 if none write."
)
@click.option("--reason", default="", help="Why; kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Say how many records and bytes would go; remove nothing.")
@opened
def purge(
    door: Door, items: tuple[str, ...], older_than: float | None, grace: float, reason: str, dry_run: bool
) -> None:
    """Remove for good what is in the trash, with its bytes. It may be interrupted and asked for again."""
    asked = {"items": list(items), "older_than_days": older_than, "grace_days": grace}
    door.show(door.call("trash.purge", **asked, reason=reason, dry_run=dry_run), _purged_text)


@trash.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and its bytes; change nothing.")
@opened
def expire(door: Door, dry_run: bool) -> None:
    """Let go what [retention] in slipway.toml says, as the server does once a day. Old runs go into the trash."""
    door.show(door.call("trash.expire", dry_run=dry_run), _expired_text)


@trash.command()
@click.argument("days", metavar="DAYS|forever")
@opened
def keep(door: Door, days: str) -> None:
    """Say after how many days the server purges what is in the trash."""
    asked: dict[str, object] = {"days": None if days == "forever" else days}
    door.show(door.perform("trash.keep", asked, texts=True), _keep_text)


@trash.command()
@click.option(
    "--grace", default=1.0, show_default=True, metavar="DAYS", help="Leave bytes stored since; 0 if none write."
)
@click.option("--dry-run", is_flag=True, help="Count only; remove nothing.")
@opened
def sweep(door: Door, grace: float, dry_run: bool) -> None:
    """Remove bytes of the whole store that nothing names: of artifacts that were replaced, of broken uploads."""
    door.show(door.call("trash.sweep", grace_days=grace, dry_run=dry_run), _swept_text)


def _list_text(answer: Trash) -> str:
    rows = [
        (one.item, one.name, instant(one.deleted_at), one.by, one.reason, instant(one.goes_at) or "never")
        for one in answer.items
    ]
    heads = ("item", "name", "since (UTC)", "by", "why", "purged after (UTC)")
    return columns(heads, rows, empty="Nothing is in the trash.")


def _moved_text(answer: TrashMoved, words: str) -> str:
    return "\n".join(f"{item} {words}." for item in answer.items)


def _purged_text(answer: Purged) -> str:
    went = "would go" if answer.dry_run else "went"
    lines = [f"{item} {went}" for item in answer.items[:_SHOWN]]
    if len(answer.items) > _SHOWN:
        lines.append(f"and {len(answer.items) - _SHOWN:,} more")
    lines += [f"{item} was purged before" for item in answer.gone]
    lines += [f"{one.item} stays: {one.why}" for one in answer.kept]
    if not (answer.records or answer.blobs or answer.waiting):
        return "\n".join([*lines, "Nothing was to be purged."])
    lines.append(
        f"{count(answer.records, 'record')} and {answer.bytes:,} bytes in {count(answer.blobs, 'blob')} {went}."
    )
    if answer.waiting:
        what = "was" if answer.waiting == 1 else "were"
        lines.append(
            f"{count(answer.waiting, 'blob')} that {what} stored within the grace will go with a later purge "
            "(--grace 0: at once, where nobody writes)."
        )
    return "\n".join(lines)


def _expired_text(answer: Expired) -> str:
    rule = answer.rule
    if not (rule.runs or rule.tasks or rule.unnamed):
        return "slipway.toml has no [retention]: nothing goes by itself but what is in the trash."
    went = "would go" if answer.dry_run else "went"
    lines = [f"{one.item} stays: {one.why}" for one in answer.kept[:_SHOWN]]
    if len(answer.kept) > _SHOWN:
        lines.append(f"and {len(answer.kept) - _SHOWN:,} more stay")
    if rule.runs:
        bytes_of = f"; purged, {answer.runs_bytes:,} bytes" if answer.dry_run else ""
        lines.append(
            f"{count(len(answer.runs), 'run')} that ended {count(rule.runs, 'day')} ago {went} into the trash{bytes_of}."
        )
    if rule.tasks:
        lines.append(f"{count(answer.tasks, 'folder')} of ended tasks {went}, {answer.tasks_bytes:,} bytes.")
    if rule.unnamed:
        lines.append(f"{count(answer.unnamed, 'blob')} that nothing names {went}, {answer.unnamed_bytes:,} bytes.")
    return "\n".join(lines)


def _keep_text(answer: TrashRule) -> str:
    if answer.keep_days is None:
        return "What is in the trash stays there until somebody purges it."
    return f"What is in the trash is purged after {count(answer.keep_days, 'day')}."


def _swept_text(answer: Swept) -> str:
    went = "would go" if answer.dry_run else "went"
    return (
        f"{answer.bytes:,} bytes in {count(answer.blobs, 'blob')} that nothing names {went}, and {answer.left_bytes:,} "
        "bytes that killed writers had left."
    )
