"""`slipway data`: tables, their versions and what their checks found."""

import click

from slipway.cli.data_checks import check_line, failing, profile
from slipway.cli.data_delta import export
from slipway.cli.data_files import files
from slipway.cli.data_versions import COMMANDS
from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, facts, instant
from slipway.operations.tables import TableDetail, Tables
from slipway.records.tables import TableVersion

__all__ = ["data"]


@click.group(commands=dict(COMMANDS))
def data() -> None:
    """List, show and ingest tables; compare, name, branch and alter their versions."""


@data.command("list")
@opened
def list_(door: Door) -> None:
    """List the tables with their newest versions."""
    door.show(door.call("tables.list"), _list_text)


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
    versions = [ingest_table(door.workspace, table) for table in in_order(chosen)]
    if door.as_json:
        door.show(versions, str)


def _list_text(answer: Tables) -> str:
    rows = [
        (
            table.name,
            str(table.number),
            f"{table.rows:,}",
            instant(table.data_until),
            instant(table.created_at),
            checks_in_words(table),
        )
        for table in answer.tables
    ]
    head = ("table", "version", "rows", "data until (UTC)", "ingested (UTC)", "checks")
    return columns(head, rows, empty="There are no tables yet. Ingest them: slipway data ingest")


def checks_in_words(table: TableVersion) -> str:
    """How many checks held, in a few words."""
    broken = [check for check in table.checks if not check.passed]
    if not table.checks:
        return "none declared"
    if not broken:
        return f"all {len(table.checks)} hold"
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
        facts([("table", newest.name), ("rows", f"{newest.rows:,}"), ("data until", instant(newest.data_until))]),
        columns(("version", "hash", "change", "rows", "added", "made (UTC)", "from"), versions, empty=""),
        columns(("column", "type", "nulls allowed", ""), fields, empty=""),
        "\n".join(check_line(check) for check in newest.checks) or "No checks are declared.",
    ]
    return "\n\n".join(parts)


data.add_command(profile)
data.add_command(failing)
data.add_command(export)
data.add_command(files)
