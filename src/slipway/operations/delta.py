"""Tables as Delta tables: for other tools to read, and read from them."""

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = ["DeltaExport", "ExportDelta", "operations"]


class ExportDelta(Struct, frozen=True, kw_only=True):
    """Which version of which table.

    Args:
        name: The table's.
        version: Its number, the beginning of its hash, a tag, a branch or an instant; "" for the current one.
    """

    name: str
    version: str = ""


class DeltaExport(Struct, frozen=True, kw_only=True):
    """Where a version can be read as Delta.

    Args:
        path: The Delta table's folder: the table's own.
        number: The version, in Slipway and in Delta.
        version: Its hash.
        files: Of how many files it consists.
        written_bytes: What was added to the log now. No data is ever copied.
        log_bytes: The size of the log, of all versions.
        notes: What to know when reading it, in sentences.
    """

    path: str
    number: int
    version: str
    files: int
    written_bytes: int
    log_bytes: int
    notes: tuple[str, ...] = ()


operations = (
    Operation(
        name="delta.export",
        summary="Make a table's versions readable as a Delta table, where they lie.",
        permission="tables.write",
        request=ExportDelta,
        response=DeltaExport,
        body="slipway.tables.delta_export:export_delta",
        changes=True,
    ),
)
