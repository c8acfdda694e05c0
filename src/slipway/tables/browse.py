"""The bodies of the operations on tables."""

from slipway.ledger import search
from slipway.operations.table_versions import HistoryOf, TableHistory
from slipway.operations.tables import FoundTables, GetTable, ListTables, TableDetail, Tables
from slipway.ports.workspace import Workspace
from slipway.records.search import Field, In, Search
from slipway.records.tables import TableVersion
from slipway.tables.catalog import BRANCH, TAG, head, heads, history, named_refs
from slipway.tables.personal import Personal, check_readable, shown
from slipway.tables.resolve import resolve
from slipway.tables.syncs import list_syncs

__all__ = ["get_table", "list_tables", "search_tables", "table_history"]


def list_tables(workspace: Workspace, request: ListTables) -> Tables:
    """The newest version of each table, or of those that fit.

    Raises:
        InvalidInput: The search or the order cannot be read.
    """
    newest = heads(workspace)
    syncs = list_syncs(workspace)
    if request.where or request.order:
        newest = _fitting(workspace, newest, request)
        names = {version.name for version in newest}
        syncs = tuple(sync for sync in syncs if sync.table in names)
    known = Personal(workspace)
    return Tables(tables=tuple(shown(workspace, version, known) for version in newest), syncs=syncs)


def search_tables(workspace: Workspace, request: Search) -> FoundTables:
    """A page of versions of tables.

    Raises:
        InvalidInput: The search cannot be read, or the limit is not between 1 and 1,000.
    """
    with workspace.ledger.read() as tx:
        page = search.asked(tx, TableVersion, workspace, request)
    return FoundTables(versions=tuple(shown(workspace, version) for version in page.records), token=page.next_token)


def _fitting(workspace: Workspace, newest: tuple[TableVersion, ...], request: ListTables) -> tuple[TableVersion, ...]:
    """Those that the request's search fits, in its order."""
    with workspace.ledger.read() as tx:
        page = search.search(
            tx,
            TableVersion,
            project=workspace.project,
            where=request.where,
            order=request.order or "name",
            among=In(Field("attribute", "id"), tuple(version.id for version in newest)),
            limit=max(1, len(newest)),
            now=workspace.clock.now(),
        )
    return page.records


def get_table(workspace: Workspace, request: GetTable) -> TableDetail:
    """One table's versions, newest first, or the one that was asked for.

    Raises:
        NotFound: There is no such table or version.
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    name, version = request.name, request.version
    found = (resolve(workspace, name, version),) if version else history(workspace, name)
    known = Personal(workspace)
    return TableDetail(versions=tuple(shown(workspace, each, known) for each in found))


def table_history(workspace: Workspace, request: HistoryOf) -> TableHistory:
    """One table's versions, newest first, with the tags and branches that name some of them.

    Raises:
        NotFound: There is no such table.
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    known = Personal(workspace)
    found = tuple(shown(workspace, version, known) for version in history(workspace, request.name))
    with workspace.ledger.read() as tx:
        names = [named_refs(tx, workspace.project, request.name, kind) for kind in (TAG, BRANCH)]
    now = head(workspace, request.name)
    return TableHistory(head=now.version, versions=found, tags=names[0], branches=names[1])
