"""`slipway data export` and `import`: tables as Delta tables."""

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import count
from slipway.operations.delta import DeltaExport

__all__ = ["export"]


@click.command()
@click.argument("name", metavar="TABLE")
@click.option("--version", default="", metavar="V", help="A version's number or hash; the current one if missing.")
@opened
def export(door: Door, name: str, version: str) -> None:
    """Make a table's versions readable as a Delta table, where they lie: no data is copied."""
    door.show(door.call("delta.export", name=name, version=version), _export_text)


def _export_text(answer: DeltaExport) -> str:
    lines = [
        f"Version {answer.number} is {count(answer.files, 'file')} of the Delta table {answer.path}",
        f"  log: {answer.log_bytes:,} bytes, {answer.written_bytes:,} of them written now; data copied: 0 bytes",
        f"  read it: pl.scan_delta({answer.path!r}, version={answer.number})",
        f"           deltalake.DeltaTable({answer.path!r}, version={answer.number})",
        *(f"  {note}" for note in answer.notes),
    ]
    return "\n".join(lines)
