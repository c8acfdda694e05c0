"""What differs between two versions of a table, and what a cleaning frees."""

from typing import Literal

from msgspec import Struct

__all__ = ["CleanedTable", "ColumnChange", "RowChange", "TableDiff"]


class ColumnChange(Struct, frozen=True, kw_only=True):
    """One change of the columns.

    Args:
        kind: What happened to it; "retyped" is a change to a type that is not wider.
        name: The column, as the later version calls it; as the earlier one does, where it was dropped.
        before: Its earlier name where it was renamed, its earlier type where that changed.
        after: Its later name or type.
    """

    kind: Literal["added", "renamed", "dropped", "widened", "retyped"]
    name: str
    before: str = ""
    after: str = ""


class RowChange(Struct, frozen=True, kw_only=True):
    """One changed row, as text.

    Args:
        key: Its key: "id = 7".
        columns: The values that changed: (column, before, after); those of personal columns are not shown.
    """

    key: str
    columns: tuple[tuple[str, str, str], ...]


class TableDiff(Struct, frozen=True, kw_only=True):
    """What differs between two versions of a table.

    Args:
        table: The table's name.
        before: The earlier version's number.
        after: The later version's number.
        columns: What happened to the columns.
        added: Rows that are only in the later version.
        removed: Rows that are only in the earlier one.
        changed: Rows of one key with other values; 0 without a key, where a changed row is one removed and one added.
        by_column: In how many changed rows each column changed.
        sample: Some of the changed rows.
        key: The columns by which rows were compared, () where they were compared as a whole.
        parts: How many parts had to be read; parts that both versions share are not.
        words: All this in sentences.
    """

    table: str
    before: int
    after: int
    columns: tuple[ColumnChange, ...]
    added: int
    removed: int
    changed: int
    by_column: dict[str, int]
    sample: tuple[RowChange, ...]
    key: tuple[str, ...]
    parts: int
    words: tuple[str, ...]


class CleanedTable(Struct, frozen=True, kw_only=True):
    """What a cleaning frees of one table.

    Args:
        table: The table's name.
        versions: The numbers of the versions whose rows go.
        kept: How many versions stay.
        parts: How many parts no kept version names.
        bytes: Of these, and of stray temporary files.
    """

    table: str
    versions: tuple[int, ...]
    kept: int
    parts: int
    bytes: int
