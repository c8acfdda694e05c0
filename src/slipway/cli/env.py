"""`slipway env`: a project's environments, and what differs between two of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from slipway.cli.door import Way, json_option
from slipway.cli.layout import columns, count, instant, print_json
from slipway.errors import Corrupt, InvalidInput
from slipway.hosts import on_demand
from slipway.hosts.environment_use import last_used, note_use, serving
from slipway.hosts.identity import user
from slipway.hosts.settings import FILE, LOCAL_FILE, Settings, locate, read_local

__all__ = ["env"]


class EnvironmentRow(Struct, frozen=True, kw_only=True):
    """An environment of the project.

    Args:
        name: Its name.
        where: Its store's folder, or the server that keeps it.
        declared_in: "slipway.toml", "slipway.local.toml", or "" for a dev that nobody declared.
        used_at: When it was last used; for one on demand.
        goes_at: When it counts as unused, None for never.
        trashed_at: When it goes into the trash unless somebody uses it; None while nobody was warned of that.
        kept_until: Until when it can be taken back; for one in the trash.
        serving: The endpoints whose processes run there.
    """

    name: str
    where: str
    declared_in: str
    used_at: datetime | None = None
    goes_at: datetime | None = None
    trashed_at: datetime | None = None
    kept_until: datetime | None = None
    serving: tuple[str, ...] = ()


class Environments(Struct, frozen=True):
    """All environments of the project, by name."""

    environments: tuple[EnvironmentRow, ...]


@click.group()
def env() -> None:
    """Make, compare, list and destroy environments; write a lock file.

    Environments are declared in slipway.toml; those that `create` makes are kept beside it, in slipway.local.toml, and go
    into the trash when nobody uses them. See docs/environments.md.
    """


def _of_project(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options -C and --json, and the project's folder and settings."""

    @json_option
    @click.option(
        "-C", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="The project's folder."
    )
    @wraps(function)
    def command(*, folder: Path | None, **rest: Any) -> Any:
        home, settings = locate(folder or Path())
        on_demand.look_after(home, lambda line: click.echo(line, err=True))
        return function(home, settings if not (home / LOCAL_FILE).exists() else locate(home)[1], **rest)

    return command


@env.command()
@click.argument("name")
@click.option(
    "--expires", default="7d", show_default=True, metavar="TIME", help="How long it may be unused: 12h, 7d, never."
)
@click.option(
    "--like", default="dev", show_default=True, metavar="NAME", help="Whose settings it takes, but for places."
)
@_of_project
def create(home: Path, settings: Settings, name: str, expires: str, like: str, as_json: bool) -> None:
    """Make an empty environment NAME in this checkout. It has a store and endpoints of its own."""
    made = on_demand.create(home, settings, name, by=user(), expires=expires, like=like)
    with Way(home, environment=name).open():
        pass  # its ledger and its keys are made now
    if as_json:
        print_json(_row(home, locate(home)[1], name))
        return
    goes = "It never goes by itself." if expires == "never" else f"It goes when nobody uses it for {expires}."
    click.echo(f"Made the environment {name!r} with the store {made.store}, as {LOCAL_FILE} says. {goes}")
    click.echo(f"Next: slipway run PIPELINE --env {name}")


@env.command()
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="Its name once more, instead of being asked for it.")
@click.option("--stop-endpoints", is_flag=True, help="Stop the endpoints that serve there.")
@click.option("--now", "is_final", is_flag=True, help="Keep nothing: it cannot be taken back.")
@_of_project
def destroy(
    home: Path, settings: Settings, name: str, confirm: str | None, stop_endpoints: bool, is_final: bool, as_json: bool
) -> None:
    """Take the environment NAME away. What it holds can be taken back for 30 days: slipway env restore NAME."""
    _confirmed(name, confirm)
    until = on_demand.destroy(home, settings, name, stops=stop_endpoints, is_final=is_final)
    if as_json:
        print_json({"name": name, "kept_until": until})
    elif until is None:
        click.echo(f"The environment {name!r} is gone.")
    else:
        click.echo(f"The environment {name!r} is in the trash until {instant(until)}: slipway env restore {name}")


@env.command()
@click.argument("name")
@_of_project
def restore(home: Path, settings: Settings, name: str, as_json: bool) -> None:
    """Take the environment NAME out of the trash."""
    on_demand.restore(home, settings, name)
    _shown(
        home,
        name,
        as_json,
        f"The environment {name!r} is there again. What served there starts again with: slipway deploy MODEL --env {name}",
    )


@env.command()
@click.argument("name")
@click.option("--expires", required=True, metavar="TIME", help="How long it may be unused from now on: 12h, 7d, never.")
@_of_project
def keep(home: Path, settings: Settings, name: str, expires: str, as_json: bool) -> None:
    """Set how long the environment NAME may go unused."""
    on_demand.keep(home, settings, name, expires)
    note_use(home / read_local(home).environments[name].store)
    _shown(home, name, as_json, f"The environment {name!r} may be unused for {expires} from now on.")


@env.command("list")
@_of_project
def list_(home: Path, settings: Settings, as_json: bool) -> None:
    """List the environments: where each is, what serves, when it goes."""
    names = sorted({"dev", *settings.environments, *read_local(home).made})
    found = Environments(tuple(_row(home, settings, name) for name in names))
    if as_json:
        print_json(found)
        return
    rows = [(one.name, one.where, one.declared_in, ", ".join(one.serving), _fate(one)) for one in found.environments]
    click.echo(columns(("environment", "where", "declared in", "serving", "goes"), rows, empty=""))


@env.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@_of_project
def diff(home: Path, settings: Settings, first: str, second: str, as_json: bool) -> None:
    """Say what differs between two environments. Settings, tables, models, endpoints, Python and libraries are compared."""
    from slipway.cli.env_diff import Differences, differences, seen

    both = [seen(home, settings, name) for name in (first, second)]
    found = Differences(first=first, second=second, differences=tuple(differences(first, second, *both)))
    if as_json:
        print_json(found)
    elif not found.differences:
        click.echo(f"Nothing differs between {first} and {second}.")
    else:
        click.echo("\n".join(f"{one.about}: {one.words}" for one in found.differences))


@env.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--dry-run", is_flag=True, help="Say what would be copied, and how large it is.")
@_of_project
def copy_(home: Path, settings: Settings, source: str, target: str, dry_run: bool, as_json: bool) -> None:
    """Copy the whole store of FROM to that of TO, and compare both. Ids, history and signatures stay the same.

    From a file to PostgreSQL, from a folder to an object store, to another disk, and back. TO is declared in slipway.toml
    and empty. Nothing opens it before all was found to be equal. After a kill the same command goes on. See docs/growing.md.
    """
    from slipway.cli.env_copy import size_text, speaker, verdict_text
    from slipway.hosts import store_copy

    if dry_run:
        found = store_copy.sizes(home, settings, source, target)
        if as_json:
            print_json(found)
        else:
            click.echo(size_text(found))
        return
    found = store_copy.copy_store(home, settings, source, target, notice=speaker())
    section = store_copy.section(settings, source, target)
    if as_json:
        print_json({"copy": found, "section": section})
    else:
        click.echo(verdict_text(found, section))
    if found.differences:
        raise Corrupt(
            f"The copy in {target!r} is not equal to {source!r}: {count(len(found.differences), 'difference')}.",
            why="It stays marked, and nothing opens it.",
            fix="Mend what cannot be read at the source, and type the same command again: it brings what differs.",
        )


@env.command()
@click.argument("name", default="dev")
@_of_project
def upgrade(home: Path, settings: Settings, name: str, as_json: bool) -> None:
    """Bring the ledger of the environment NAME, or dev, to this release's schema. Older releases then refuse it.

    A ledger in a file is brought there by whatever opens it; one in PostgreSQL by this command alone, for servers of an
    older release may share it: stop them, and copy the database first. After a kill type it again. See docs/operations.md.
    """
    from slipway.hosts.ledgers import upgrade_ledger

    chosen = settings.environment(name)
    if chosen.server:
        raise InvalidInput(
            f"The environment {name!r} is kept by the server {chosen.server}.",
            fix="Type it where that server runs; for a ledger in a file it is enough to start the newer release there.",
        )
    found = upgrade_ledger(home / chosen.store, chosen.ledger)
    if as_json:
        print_json(found)
    else:
        click.echo(found.sentence)


@env.command()
@click.option(
    "--output", default="requirements.lock", show_default=True, metavar="FILE", help="The file, beside slipway.toml."
)
@_of_project
def lock(home: Path, settings: Settings, output: str, as_json: bool) -> None:
    """Write a lock file of what the code imports, as installed here. It has the index's hashes.

    Commit it: `slipway run --isolated` installs what it says. It asks the index that uv is configured for.
    """
    from slipway.hosts.locking import write_lock

    with Way(home).open() as door:
        path, packages = write_lock(door.project, output)
    if as_json:
        print_json({"file": str(path), "packages": packages})
    else:
        click.echo(f"Wrote {path} with {packages} packages. Commit it; then: slipway run PIPELINE --isolated")


@env.command()
@click.option(
    "--unused", default="30d", show_default=True, metavar="TIME", help="For how long nobody used them: 12h, 7d, 0d."
)
@_of_project
def clean(home: Path, settings: Settings, unused: str, as_json: bool) -> None:
    """Remove isolated runs' environments that nobody used for long. They are made again when needed."""
    from slipway.operations.declare import check_allowed
    from slipway.pipelines import isolation
    from slipway.schema.durations import microseconds

    with Way(home).open() as door:
        check_allowed(door.workspace, "environments.clean", "environments.write")
        store = isolation.opened(door.workspace)
        sizes = {one.lock: one.size_bytes for one in store.kept()}
        gone = isolation.clean(store, microseconds(unused) / 1e6)
    freed = sum(sizes[lock] for lock in gone)
    if as_json:
        print_json({"removed": gone, "bytes": freed, "left": len(sizes) - len(gone)})
    else:
        left = f"{len(sizes) - len(gone)} left" if sizes else "there were none"
        click.echo(f"Removed {count(len(gone), 'Python environment')}, {freed / 1e6:,.0f} MB; {left}.")


def _confirmed(name: str, confirm: str | None) -> None:
    """Let whoever destroys something type its name."""
    if confirm is None:
        if not sys.stdin.isatty():
            raise InvalidInput(
                f"Destroying {name!r} must be confirmed, and nobody is here to ask.",
                fix=f"Say its name twice: slipway env destroy {name} --confirm {name}",
            )
        confirm = click.prompt(
            f"Type the name of the environment to destroy it ({name})", default="", show_default=False
        )
    if confirm != name:
        raise InvalidInput(
            f"{confirm!r} is not {name!r}, so nothing was destroyed.", fix=f"Add --confirm {name} if it is meant."
        )


def _shown(home: Path, name: str, as_json: bool, words: str) -> None:
    if as_json:
        print_json(_row(home, locate(home)[1], name))
    else:
        click.echo(words)


def _row(home: Path, settings: Settings, name: str) -> EnvironmentRow:
    local = read_local(home)
    told = local.made.get(name)
    gone = told is not None and told.destroyed_at is not None
    chosen = local.environments[name] if gone else settings.environment(name)
    store = home / chosen.store
    declared = LOCAL_FILE if told is not None else FILE if name in settings.environments else ""
    return EnvironmentRow(
        name=name,
        where=chosen.server or chosen.store,
        declared_in=declared,
        used_at=last_used(store),
        goes_at=on_demand.goes_at(store, told) if told is not None and not gone else None,
        trashed_at=on_demand.trashed_at(store, told) if told is not None and not gone else None,
        kept_until=told.destroyed_at + on_demand.KEEP if told is not None and told.destroyed_at is not None else None,
        serving=() if gone or chosen.server else serving(store),
    )


def _fate(one: EnvironmentRow) -> str:
    if one.kept_until is not None:
        return f"in the trash until {instant(one.kept_until)}"
    if one.trashed_at is not None:
        return f"unused: into the trash after {instant(one.trashed_at)}"
    return "" if one.goes_at is None else f"{instant(one.goes_at)} if unused"
