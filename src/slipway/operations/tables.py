"""Tables: versions of data and what their checks found."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.tables import TableVersion

__all__ = ["GetTable", "TableDetail", "Tables", "operations"]


class Tables(Struct, frozen=True, kw_only=True):
    """The newest version of each table."""

    tables: tuple[TableVersion, ...]


class GetTable(Struct, frozen=True, kw_only=True):
    """Which table, or which version of it.

    Args:
        name: The table.
        version: One version: number, hash, tag, branch, instant or date; "" for all.
    """

    name: str
    version: str = ""


class TableDetail(Struct, frozen=True, kw_only=True):
    """A table's versions, newest first."""

    versions: tuple[TableVersion, ...]


operations = (
    Operation(
        name="tables.list",
        summary="List the tables with their newest versions.",
        permission="tables.read",
        request=Empty,
        response=Tables,
        body="slipway.tables.browse:list_tables",
    ),
    Operation(
        name="tables.get",
        summary="Show one table's versions, columns and checks.",
        permission="tables.read",
        request=GetTable,
        response=TableDetail,
        body="slipway.tables.browse:get_table",
    ),
)
