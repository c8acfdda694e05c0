"""`slipway backup` and `slipway restore`: the whole store, copied and taken back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.door import json_option
from slipway.cli.layout import count, instant, print_json
from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from slipway.hosts.backup import BackedUp
    from slipway.hosts.restoring import Restored
    from slipway.records.backups import Backup

__all__ = ["backup", "restore", "store_options"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_SHOWN = 5


def store_options(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that name a store: that of the project in the present folder, or a folder."""
    for option in (
        click.option("--env", "environment", metavar="NAME", default="dev", show_default=True, help="The environment."),
        click.option("--root", metavar="DIR", type=_FOLDER, help="The store's folder, to go without the project."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--with-keys", is_flag=True, help="Copy private keys too: then keep DIR as you keep passwords.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Remove all but the newest N backups in DIR.")
@store_options
@json_option
def backup(folder: Path, with_keys: bool, keep: int | None, root: Path | None, environment: str, as_json: bool) -> None:
    """Copy a store into DIR, while servers and runs go on writing it.

    Only what DIR does not hold yet is copied. A backup that is broken off is never taken for one; begin it again.
    """
    from slipway.hosts.backup import back_up
    from slipway.hosts.project import open_workspace

    store, ledger, blobs = _store_of(root, environment)
    opened = open_workspace(
        store,
        project="",
        environment=environment,
        ledger=ledger,
        blobs=blobs,
        say=lambda line: click.echo(line, err=True),
    )
    with closing(opened.ledger):
        made = back_up(opened, folder, has_keys=with_keys, keep=keep)
    if as_json:
        print_json(made)
    else:
        click.echo(_made_text(made))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--root", metavar="DIR", type=_FOLDER, help="The new store's folder: empty, or not there yet.")
@click.option("--check", "only_checks", is_flag=True, help="Read and verify all of it; restore nothing.")
@click.option("--at", "name", default="", metavar="ID", help="Which backup.  [default: the newest]")
@click.option("--signed-by", default="", metavar="KEY", help="The key that must have signed it, as `backup` said.")
@click.option("--ledger", default="", metavar="URL", help="An empty PostgreSQL database, for a ledger that was in one.")
@json_option
def restore(
    folder: Path, root: Path | None, only_checks: bool, name: str, signed_by: str, ledger: str, as_json: bool
) -> None:
    """Make a store out of a backup in DIR, or with --check look whether the backup is whole.

    Every content is compared with a signed list first; the restored audit log is verified at the end.
    """
    from slipway.hosts import restoring

    if (root is None) != only_checks:
        raise InvalidInput(
            "One thing is done: restoring, or checking.",
            fix="Say where: --root DIR; or that nothing is restored: --check.",
            field="root",
        )
    if root is None:
        found = restoring.verify_backup(folder, name, signed_by)
    else:
        found = restoring.restore(folder, root, name, signed_by=signed_by, ledger_url=ledger)
    if as_json:
        print_json(found)
    else:
        click.echo(_restored_text(found))


def _store_of(root: Path | None, environment: str) -> tuple[Path, str | None, str]:
    """The store's folder, and the URLs of its ledger and blobs as settings name them.

    Raises:
        InvalidInput: It is no store, or a server keeps it.
    """
    from slipway.hosts.ledgers import is_store
    from slipway.hosts.settings import locate

    ledger, blobs = None, ""
    if root is None:
        home, settings = locate(Path())
        chosen = settings.environment(environment)
        if chosen.server:
            raise InvalidInput(
                f"The environment {environment!r} is kept by the server {chosen.server}.",
                fix="Go to the machine where its store lies: slipway backup DIR --root STORE",
            )
        root, ledger, blobs = home / chosen.store, chosen.ledger, chosen.blobs
    if not is_store(root):
        raise InvalidInput(
            f"{root} is not a store.",
            why="A store's folder holds a file ledger.db, or ledger.url where its ledger is in a database.",
            fix="Name the folder that `slipway up --root` serves, or a project's .slipway.",
            field="root",
        )
    return root, ledger, blobs


def _made_text(made: BackedUp) -> str:
    found = made.backup
    lines = [
        f"{found.id} is in {made.folder}: {_size(found)}; copied anew: {count(made.new_files, 'content')}, {made.new_bytes:,} bytes.",
        f"Signed by {made.key_id}. {_keys(found)}",
        *_elsewhere(found),
    ]
    if found.left_out:
        lines.append(f"Left out: {', '.join(found.left_out)}.")
    for name in made.damaged[:_SHOWN]:
        lines.append(f"DAMAGED in the store, copied as it is: {name}")
    if len(made.damaged) > _SHOWN:
        lines.append(f"and {len(made.damaged) - _SHOWN:,} more damaged files")
    if made.removed:
        lines.append(f"{count(made.removed, 'older backup')} removed.")
    return "\n".join(lines)


def _restored_text(found: Restored) -> str:
    backup = found.backup
    about = f"{backup.id} of {instant(backup.made_at)} UTC, by Slipway {backup.slipway}: {_size(backup)}"
    if not found.root:
        return "\n".join((f"Whole: {about}.", _keys(backup), *_elsewhere(backup)))
    stopped = f"Stopped in it until somebody deploys there or rolls back: {', '.join(found.stopped)}."
    return "\n".join(
        (
            f"Restored {found.root} from {about}.",
            f"The audit log holds: {found.sealed:,} sealed events, {found.unsealed:,} not sealed yet, "
            f"{count(found.records, 'record')} that decide as they were kept.",
            _keys(backup),
            *_elsewhere(backup),
            *((stopped,) if found.stopped else ()),
            "`slipway up` over it acts as the store's own server does: schedules fire, what is due is trained, people are told.",
        )
    )


def _size(backup: Backup) -> str:
    return (
        f"the ledger up to event {backup.events:,} and {count(len(backup.files), 'file')}, {backup.size_bytes:,} bytes"
    )


def _keys(backup: Backup) -> str:
    if backup.has_keys:
        return "Private keys are in it: who has it can sign as this store does."
    return "Private keys are not in it: a store that is restored from it signs with a new one, and trusts the old."


def _elsewhere(backup: Backup) -> list[str]:
    if not backup.blobs_url:
        return []
    return [
        f"Not in it: blobs and parts of tables, which {backup.blobs_url} keeps. Let the bucket keep versions of them."
    ]
