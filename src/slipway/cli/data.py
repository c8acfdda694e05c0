"""`slipway data`: tables, their versions and what their checks found."""

from typing import TYPE_CHECKING

import click

from slipway.cli.data_checks import check_line, failing, profile
from slipway.cli.data_delta import export, import_
from slipway.cli.data_files import files
from slipway.cli.data_versions import COMMANDS
from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.cli.searching import next_page, search_options
from slipway.operations.tables import FoundTables, TableDetail, Tables, TableSync
from slipway.records.sources import Sync
from slipway.records.tables import TableVersion

if TYPE_CHECKING:
    from slipway.data.declare import Table

__all__ = ["data"]


@click.group(commands=dict(COMMANDS))
def data() -> None:
    """List, search, show and ingest tables; compare, name, branch and alter their versions."""


@data.command("list")
@click.argument("where", default="")
@click.option("--order", default="", help="What comes first: 'rows desc'; by name where nothing is said.")
@opened
def list_(door: Door, where: str, order: str) -> None:
    """List the tables with their newest versions: all, or those whose newest version fits WHERE.

    For example "owner = 'ada' and personal is not null and rows > 1000". The language is in docs/find.md.
    """
    door.show(door.call("tables.list", where=where, order=order), _list_text if not where else _fitting_text)


@data.command()
@search_options
@opened
def search(door: Door, **asked: str | int) -> None:
    """Search the versions of all tables by rows, time, source, owner, tags and other attributes.

    For example "failed_checks > 0 and created > 7d ago". The language is in docs/find.md.
    """
    door.show(door.call("tables.search", **asked), _found_text)


@data.command()
@click.argument("name", metavar="TABLE")
@click.argument("version", metavar="[VERSION]", default="")
@opened
def show(door: Door, name: str, version: str) -> None:
    """Show one table's versions, columns and checks, or those of one version.

    A version is a number, a hash or its beginning, a tag, a branch, an instant or a date.
    """
    door.show(door.call("tables.get", name=name, version=version), _show_text)


@data.command()
@click.argument("names", metavar="[TABLE]...", nargs=-1)
@opened
def ingest(door: Door, names: tuple[str, ...]) -> None:
    """Read the declared tables from their sources: all of them, or those named. The same content is no new version."""
    from slipway.data.declare import Table
    from slipway.data.ingest import in_order
    from slipway.data.ingest import ingest as ingest_table

    declared = door.project.declared(Table)
    chosen = [door.project.pick(Table, name, "table") for name in names] or list(declared.values())
    versions = [ingest_table(door.workspace, table, folder=door.project.folder) for table in in_order(chosen)]
    _declare(door, chosen)
    if door.as_json:
        door.show(versions, str)


@data.command()
@click.argument("names", metavar="[TABLE]...", nargs=-1)
@click.option("--full", is_flag=True, help="Read everything again: what is gone from the source is found then.")
@opened
def sync(door: Door, names: tuple[str, ...], full: bool) -> None:
    """Read what is new in the sources of tables: of all that declare one, or of those named."""
    from slipway.data.declare import Table
    from slipway.data.sync import sync as sync_table

    declared = door.project.declared(Table)
    chosen = [door.project.pick(Table, name, "table") for name in names]
    chosen = chosen or [table for table in declared.values() if table.feed.is_declared]
    ended = [sync_table(door.workspace, table, door.project.folder, full=full) for table in chosen]
    _declare(door, chosen)
    door.show(ended, _synced_text)


def _declare(door: Door, tables: list["Table"]) -> None:
    """What was synced by hand and worked is what the server goes on with."""
    from slipway.data.schedules import declare_schedule

    snapshot = door.project.published()
    for table in tables:
        declare_schedule(door.workspace, table, snapshot=snapshot, folder=door.project.folder)


def _synced_text(ended: list[Sync]) -> str:
    rows = [(one.name, one.state, one.sentence) for one in ended]
    return columns(
        ("table", "state", "what came of it"), rows, empty="No table declares a source, a watermark or a schedule."
    )


def _found_text(answer: FoundTables) -> str:
    return _versions(answer.versions, empty="No version fits.") + next_page(answer.token)


def _versions(versions: tuple[TableVersion, ...], *, empty: str) -> str:
    rows = [
        (
            table.name,
            str(table.number),
            f"{table.rows:,}",
            instant(table.data_until),
            instant(table.created_at),
            checks_in_words(table),
        )
        for table in versions
    ]
    return columns(("table", "version", "rows", "data until (UTC)", "ingested (UTC)", "checks"), rows, empty=empty)


def _fitting_text(answer: Tables) -> str:
    return _list_text(answer) if answer.tables else "No table fits."


def _list_text(answer: Tables) -> str:
    tables = _versions(answer.tables, empty="There are no tables yet. Ingest them: slipway data ingest")
    return f"{tables}\n\n{_syncs_text(answer.syncs)}" if answer.syncs else tables


def _syncs_text(syncs: tuple[TableSync, ...]) -> str:
    rows = [
        (
            one.table,
            ", ".join(filter(None, [one.state, "late" if one.is_late else ""])) or "not yet",
            instant(one.good_at),
            one.schedule.removeprefix("schedule ") or "by hand",
            instant(one.next_at),
        )
        for one in syncs
    ]
    told = [f"{one.table}: {one.sentence}" for one in syncs if one.state in ("failed", "killed")]
    head = ("table", "last sync", "last good one (UTC)", "schedule", "next (UTC)")
    return "\n".join([columns(head, rows, empty=""), *told])


def checks_in_words(table: TableVersion) -> str:
    """How many checks held, in a few words."""
    broken = [check for check in table.checks if not check.passed]
    if not table.checks:
        return "not checked"
    if not broken:
        return "1 holds" if len(table.checks) == 1 else f"all {len(table.checks)} hold"
    return f"{len(broken)} of {len(table.checks)} broken"


def _show_text(answer: TableDetail) -> str:
    newest = answer.versions[0]
    versions = [
        (
            str(version.number),
            version.version[:12],
            version.change,
            f"{version.rows:,}",
            f"{version.added_rows:,}",
            instant(version.created_at),
            version.source,
        )
        for version in answer.versions
    ]
    personal = newest.about.personal
    fields = [
        (field.name, field.type, "yes" if field.nullable else "no", "personal" if field.name in personal else "")
        for field in newest.fields
    ]
    parts = [
        facts(
            [
                ("table", newest.name),
                ("origin", newest.about.origin.upper()),
                ("rows", f"{newest.rows:,}"),
                ("data until", instant(newest.data_until)),
            ]
        ),
        columns(("version", "hash", "change", "rows", "added", "made (UTC)", "from"), versions, empty=""),
        columns(("column", "type", "nulls allowed", ""), fields, empty=""),
        "\n".join(check_line(check) for check in newest.checks) or "This version was not checked.",
    ]
    return "\n\n".join(parts)


data.add_command(profile)
data.add_command(failing)
data.add_command(export)
data.add_command(import_)
data.add_command(files)
