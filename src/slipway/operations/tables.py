"""Tables: versions of data and what their checks found."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.search import Search
from slipway.records.tables import TableVersion

__all__ = ["FoundTables", "GetTable", "ListTables", "TableDetail", "TableSync", "Tables", "operations"]


class TableSync(Struct, frozen=True, kw_only=True):
    """How the syncs of a table stand.

    Args:
        table: Its name.
        state: Of the last sync: "running", "made", "unchanged", "failed"; "killed" where its process is gone.
        began_at: When that began, None before the first.
        good_at: When the last one began that ended well.
        sentence: What came of the last one.
        schedule: When the server syncs it, in words; "" for never.
        next_at: The next time of the schedule.
        is_late: Whether the last time of the schedule has passed without a sync that ended well.
    """

    table: str
    state: str
    began_at: datetime | None = None
    good_at: datetime | None = None
    sentence: str = ""
    schedule: str = ""
    next_at: datetime | None = None
    is_late: bool = False


class ListTables(Struct, frozen=True, kw_only=True):
    """Which tables.

    Args:
        where: What must hold of a table's newest version: "personal = 'email' and rows > 1000"; "" for all tables.
        order: What comes first: "rows desc"; by name where nothing is said.
    """

    where: str = ""
    order: str = ""


class Tables(Struct, frozen=True, kw_only=True):
    """The newest version of each table, and how the syncs of those with a source stand."""

    tables: tuple[TableVersion, ...]
    syncs: tuple[TableSync, ...] = ()


class FoundTables(Struct, frozen=True, kw_only=True):
    """A page of versions, and the token of the next one, "" when nothing follows."""

    versions: tuple[TableVersion, ...]
    token: str = ""


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
        summary="List the tables with their newest versions: all, or those whose newest version fits.",
        permission="tables.read",
        request=ListTables,
        response=Tables,
        body="slipway.tables.browse:list_tables",
    ),
    Operation(
        name="tables.search",
        summary="Search the versions of all tables by rows, time, source, owner, tags, columns and other attributes.",
        permission="tables.read",
        request=Search,
        response=FoundTables,
        body="slipway.tables.browse:search_tables",
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
