"""Versions of a table: history, comparison, names, branches, columns, and the care of its files."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.table_changes import CleanedTable, TableDiff
from slipway.records.tables import TableVersion

__all__ = [
    "AlterTable",
    "BranchTable",
    "CleanTables",
    "Cleaned",
    "CompactTable",
    "DiffTables",
    "HistoryOf",
    "MergeTable",
    "TableHistory",
    "TableState",
    "TagTable",
    "operations",
]


class HistoryOf(Struct, frozen=True, kw_only=True):
    """Which table."""

    name: str


class TableHistory(Struct, frozen=True, kw_only=True):
    """A table's versions and what names them.

    Args:
        head: The hash of the current version.
        versions: All of them, newest first.
        tags: Tag and hash.
        branches: Branch and hash.
    """

    head: str
    versions: tuple[TableVersion, ...]
    tags: dict[str, str]
    branches: dict[str, str]


class TableState(Struct, frozen=True, kw_only=True):
    """The version that a table, a branch or a tag names now."""

    version: TableVersion


class DiffTables(Struct, frozen=True, kw_only=True):
    """Which two versions of a table.

    Args:
        name: The table.
        before: The earlier version: number, hash, tag, branch, instant or date.
        after: The later one, "main" for the current one.
        sample: How many changed rows are shown at most.
    """

    name: str
    before: str
    after: str = "main"
    sample: int = 5


class TagTable(Struct, frozen=True, kw_only=True):
    """Which version gets which tag.

    Args:
        name: The table.
        tag: The tag.
        version: The version, "" for the current one.
        move: Whether a tag that names another version is moved.
        drop: Whether the tag is taken away instead.
    """

    name: str
    tag: str
    version: str = ""
    move: bool = False
    drop: bool = False


class BranchTable(Struct, frozen=True, kw_only=True):
    """Which branch begins where.

    Args:
        name: The table.
        branch: The branch.
        version: Where it begins, "" for the current version.
        drop: Whether the branch is taken away instead.
    """

    name: str
    branch: str
    version: str = ""
    drop: bool = False


class MergeTable(Struct, frozen=True, kw_only=True):
    """Which branch comes into the table."""

    name: str
    branch: str


class AlterTable(Struct, frozen=True, kw_only=True):
    """What becomes of a table's columns.

    Args:
        name: The table.
        add: New columns and their types.
        rename: New names by the present ones.
        drop: Columns to leave out.
        widen: Wider types by the present names.
        branch: The branch that is changed, "" for the table itself.
    """

    name: str
    add: dict[str, str] = {}
    rename: dict[str, str] = {}
    drop: tuple[str, ...] = ()
    widen: dict[str, str] = {}
    branch: str = ""


class CompactTable(Struct, frozen=True, kw_only=True):
    """Which table, or which branch of it, gets full parts."""

    name: str
    branch: str = ""


class CleanTables(Struct, frozen=True, kw_only=True):
    """What a cleaning may take.

    Args:
        names: The tables, none for all.
        keep: How many of a table's newest versions stay in any case.
        grace_days: How old a version, a part or a stray file is at least.
        dry_run: Whether to say only what would go.
    """

    names: tuple[str, ...] = ()
    keep: int = 10
    grace_days: float = 7.0
    dry_run: bool = False


class Cleaned(Struct, frozen=True, kw_only=True):
    """What was freed, or would be."""

    tables: tuple[CleanedTable, ...]
    dry_run: bool


operations = (
    Operation(
        name="tables.history",
        summary="Show a table's versions with its tags and branches.",
        permission="tables.read",
        request=HistoryOf,
        response=TableHistory,
        body="slipway.tables.browse:table_history",
    ),
    Operation(
        name="tables.diff",
        summary="Say what differs between two versions of a table.",
        permission="tables.read",
        request=DiffTables,
        response=TableDiff,
        body="slipway.tables.diffs:diff_tables",
    ),
    Operation(
        name="tables.tag",
        summary="Give a version of a table a name that never moves by itself.",
        permission="tables.write",
        request=TagTable,
        response=TableState,
        body="slipway.tables.refs:tag_table",
        changes=True,
    ),
    Operation(
        name="tables.branch",
        summary="Begin a branch of a table, which copies nothing.",
        permission="tables.write",
        request=BranchTable,
        response=TableState,
        body="slipway.tables.refs:branch_table",
        changes=True,
    ),
    Operation(
        name="tables.merge",
        summary="Bring what a branch added into its table.",
        permission="tables.write",
        request=MergeTable,
        response=TableState,
        body="slipway.tables.refs:merge_branch",
        changes=True,
    ),
    Operation(
        name="tables.alter",
        summary="Add, rename, drop or widen columns of a table.",
        permission="tables.write",
        request=AlterTable,
        response=TableState,
        body="slipway.tables.alters:alter_table",
        changes=True,
    ),
    Operation(
        name="tables.compact",
        summary="Write a table's small parts as full ones.",
        permission="tables.write",
        request=CompactTable,
        response=TableState,
        body="slipway.tables.compaction:compact_table",
        changes=True,
    ),
    Operation(
        name="tables.clean",
        summary="Give back the space of versions that nothing names.",
        permission="tables.write",
        request=CleanTables,
        response=Cleaned,
        body="slipway.tables.cleaning:clean_tables",
        changes=True,
    ),
)
