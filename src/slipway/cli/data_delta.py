"""`slipway data export` and `import`: tables as Delta tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import count
from slipway.operations.delta import DeltaExport

if TYPE_CHECKING:
    from slipway.tables.delta_import import Imported

__all__ = ["export", "import_"]


@click.command()
@click.argument("name", metavar="TABLE")
@click.option("--version", default="", metavar="V", help="A version's number or hash; the current one if missing.")
@opened
def export(door: Door, name: str, version: str) -> None:
    """Make a table's versions readable as a Delta table, where they lie: no data is copied."""
    door.show(door.call("delta.export", name=name, version=version), _export_text)


@click.command("import")
@click.argument("address", metavar="DELTA_TABLE")
@click.option("--table", required=True, metavar="T", help="The table whose content it becomes.")
@click.option("--version", type=int, metavar="N", help="A version of the Delta table; the newest one if missing.")
@click.option("--key", multiple=True, metavar="COLUMN", help="A column that identifies a row; may be given again.")
@click.option("--time", default="", metavar="COLUMN", help="The column of event time.")
@opened
def import_(door: Door, address: str, table: str, version: int | None, key: tuple[str, ...], time: str) -> None:
    """Make a version of a Delta table the content of a table. On one disk its files are linked, not copied."""
    from slipway.tables.delta_import import import_delta

    done = import_delta(door.workspace, table, address, version=version, key=key, time=time)
    door.show(done, lambda _: _import_text(done))


def _import_text(done: Imported) -> str:
    made = done.version
    how = f"{count(done.files, 'file')} linked" if done.files and not done.copied_bytes else "rows read and written"
    lines = [
        f"{made.name}: version {made.number} ({made.version[:12]}), {count(made.rows, 'row')}",
        f"  from version {done.number} of the Delta table: {how}; data copied: {done.copied_bytes:,} bytes",
    ]
    return "\n".join([*lines, *([f"  copied because {done.why_copied}"] if done.why_copied else [])])


def _export_text(answer: DeltaExport) -> str:
    lines = [
        f"Version {answer.number} is {count(answer.files, 'file')} of the Delta table {answer.path}",
        f"  log: {answer.log_bytes:,} bytes, {answer.written_bytes:,} of them written now; data copied: 0 bytes",
        f"  read it: pl.scan_delta({answer.path!r}, version={answer.number})",
        f"           deltalake.DeltaTable({answer.path!r}, version={answer.number})",
        *(f"  {note}" for note in answer.notes),
    ]
    return "\n".join(lines)
