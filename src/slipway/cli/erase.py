"""`slipway erase`: a person's rows, removed everywhere."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, instant
from slipway.errors import InvalidInput
from slipway.operations.erasures import ErasureReport, Erasures

__all__ = ["erase"]


@click.command()
@click.option("--table", default="", metavar="T", help="A table, with --key.")
@click.option("--key", multiple=True, metavar="K", help="A value of its key; once a column of the key, in their order.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="In every table where it is personal or a key.")
@click.option("--files", default="", metavar="NAME", help="A file set, with --path.")
@click.option("--path", "paths", multiple=True, metavar="P", help="A file of it, or a folder in it.")
@click.option("--reason", default="", help="Why. It is kept: no personal data.")
@click.option("--dry-run", is_flag=True, help="Count the rows per place; erase nothing.")
@click.option("--list", "listed", is_flag=True, help="List the erasures so far.")
@opened
def erase(
    door: Door,
    table: str,
    key: tuple[str, ...],
    where: tuple[str, ...],
    files: str,
    paths: tuple[str, ...],
    reason: str,
    dry_run: bool,
    listed: bool,
) -> None:
    """Erase a person's rows from tables, logs, stored results and online stores, and prove that none is left.

    Only this removes rows that a run's record pins. It may be interrupted and asked for again.
    """
    if listed:
        door.show(door.call("erasures.list"), _list_text)
        return
    pairs = []
    for one in where:
        column, sign, value = one.partition("=")
        if not sign:
            raise InvalidInput(f"{one!r} has no '='.", fix="Say --where email=ada@example.org", field="where")
        pairs.append([column, value])
    named = {"table": table, "key": list(key), "where": pairs, "files": files, "paths": list(paths)}
    answer: ErasureReport = door.call("erasures.start", **named, reason=reason, dry_run=dry_run)
    door.show(answer, _text)
    if answer.left:
        raise click.exceptions.Exit(1)


def _text(answer: ErasureReport) -> str:
    rows = [(place.place, f"{place.rows:,}", place.note) for place in answer.places]
    found = columns(("place", "rows", ""), rows, empty="No such rows are anywhere.")
    if answer.dry_run:
        end = "Nothing was erased: this was a dry run."
    elif answer.left:
        end = f"{count(answer.left, 'row')} are still found. Erase again."
    else:
        but = ", but for what is named above" if answer.kept else ""
        end = f"Everything was searched again: none is left{but}. Erasure {answer.erasure}"
    return "\n\n".join([found, *(("\n".join(answer.kept),) if answer.kept else ()), end])


def _list_text(answer: Erasures) -> str:
    rows = [
        (
            one.id,
            one.state,
            instant(one.created_at),
            str(one.actor),
            f"{one.rows:,}",
            ", ".join(one.columns),
            one.reason,
        )
        for one in answer.erasures
    ]
    return columns(("erasure", "state", "begun (UTC)", "by", "rows", "named by", "reason"), rows, empty="None so far.")
