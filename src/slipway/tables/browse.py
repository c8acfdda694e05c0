"""The bodies of the operations on tables."""

from slipway.operations.declare import Empty
from slipway.operations.tables import GetTable, TableDetail, Tables
from slipway.ports.workspace import Workspace
from slipway.tables.catalog import heads, history
from slipway.tables.personal import shown
from slipway.tables.syncs import list_syncs

__all__ = ["get_table", "list_tables"]


def list_tables(workspace: Workspace, request: Empty) -> Tables:
    """The newest version of each table, by name."""
    tables = tuple(shown(workspace, version) for version in heads(workspace))
    return Tables(tables=tables, syncs=list_syncs(workspace))


def get_table(workspace: Workspace, request: GetTable) -> TableDetail:
    """One table's versions, newest first.

    Raises:
        NotFound: There is no such table.
    """
    return TableDetail(versions=tuple(shown(workspace, version) for version in history(workspace, request.name)))
