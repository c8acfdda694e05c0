"""Which tables a person's rows are looked for in, and under which names their columns ever went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from slipway.errors import InvalidInput, near
from slipway.flows.erase_person import Target
from slipway.flows.scored_rows import SCORED
from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableRefusal, TableVersion
from slipway.tables.catalog import heads, history, manifest_of, node, quarantine_of

__all__ = ["chosen_tables", "under_all_names"]

_DERIVED = ("quarantine.", "view.", "training.")
_AT_MOST = 100_000


def chosen_tables(workspace: Workspace, target: Target) -> tuple[list[str], list[str]]:
    """Which tables are searched; and of others that have such columns, a sentence each.

    All versions count, those of branches too: a column may have been dropped since. So do tables that have no version,
    because all that ever came was refused.

    Raises:
        InvalidInput: No table has such columns, personal or as its key.
    """
    current = heads(workspace)
    if target.table:
        return _with_derived(workspace, current, target)
    known = [_column_names(workspace, version) for version in current]
    known += _refused(workspace, {version.name for version in current})
    names: set[frozenset[str]] = set()
    chosen: list[str] = []
    while True:  # a table of rows that were set aside keeps the name that a column had
        former = len(names)
        names |= {frozenset(one.columns) for one in under_all_names(workspace, target, chosen)}
        chosen = [one.table for one in known if any(each <= one.marked for each in names)]
        if len(names) == former:
            break
    untold = [
        f"The table {one.table!r} has {', '.join(target.columns)}, neither personal nor its key: not searched."
        for one in known
        if one.table not in chosen and set(target.columns) <= one.names
    ]
    if not chosen:
        raise InvalidInput(
            f"No table has {', '.join(map(repr, target.columns))} among its personal columns or as its key.",
            why=near(next(iter(target.columns)), set().union(*(one.marked for one in known)), what="such columns"),
            fix="Declare it: @sw.table(personal=[...]), or name a table: --table T --key K",
            field="where",
        )
    return chosen, untold


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns that a table ever had, and those by which a person is looked for in it."""

    table: str
    names: frozenset[str]
    marked: frozenset[str]


def _column_names(workspace: Workspace, head: TableVersion) -> _Columns:
    versions = history(workspace, head.name)
    names = frozenset(field.name for each in versions for field in each.fields)
    if head.name.startswith(_DERIVED):
        return _Columns(head.name, names, names)
    marked = {name for each in versions for name in each.about.personal}
    marked |= {name for each in versions if each.cleaned_at is None for name in manifest_of(workspace, each).key}
    return _Columns(head.name, names, frozenset(marked))


def under_all_names(workspace: Workspace, target: Target, tables: Iterable[str]) -> tuple[Target, ...]:
    """The target under every name that its columns ever had in some tables: a renamed column holds the same values."""
    names = {name: {name: None} for name in target.columns}
    for table in tables:
        for name, others in _renamed(workspace, table, target.columns).items():
            names[name] |= dict.fromkeys(sorted(others))
    made = [
        dict(zip(given, target.columns.values(), strict=True))
        for given in product(*names.values())
        if len(set(given)) == len(given)
    ]
    return tuple(Target(columns=columns, table=target.table) for columns in made)


def _renamed(workspace: Workspace, table: str, columns: Mapping[str, str]) -> dict[str, set[str]]:
    """All names that the columns ever had which were ever called so.

    Raises:
        InvalidInput: A name went from one column to another.
    """
    versions = list(_versions(workspace, table))
    if len({field.name for each in versions for field in each.fields}) == max(
        (len(each.fields) for each in versions), default=0
    ):
        return {}  # no column ever came, went or changed its name
    by_id: dict[int, set[str]] = {}
    latest: dict[int, str] = {}
    for version in sorted(versions, key=lambda one: one.number):
        manifest = manifest_of(workspace, version)
        latest = dict(zip(manifest.field_ids, (field.name for field in manifest.fields), strict=True))
        for number, name in latest.items():
            by_id.setdefault(number, set()).add(name)
    for name in columns:
        _refuse_two_meanings(table, name, by_id, latest)
    return {name: set().union(*(known for known in by_id.values() if name in known)) for name in columns}


def _refuse_two_meanings(table: str, name: str, by_id: Mapping[int, set[str]], latest: Mapping[int, str]) -> None:
    """A name that went from one column to another would find somebody else's rows in older versions."""
    own = {number: names for number, names in by_id.items() if name in names}
    everything = set().union(*own.values())
    others = {number for number, names in by_id.items() if number not in own and names & everything}
    others |= {number for number in own if name in latest.values() and latest.get(number, name) != name}
    if others:
        raise InvalidInput(
            f"{name!r} of the table {table!r} is or was called as another of its columns is or was called: "
            f"{', '.join(sorted(everything | set().union(*(by_id[number] for number in others))))}.",
            why="In older versions it would find rows of somebody else, and what is erased does not come back.",
            fix="Name the person by a column whose name always meant the same: --where COLUMN=VALUE",
            field="where",
        )


def _versions(workspace: Workspace, table: str) -> Iterator[TableVersion]:
    with workspace.ledger.read() as tx:
        found = entries.find(tx, TableVersion, project=workspace.project, name=table, limit=_AT_MOST)
    yield from (version for version in found if version.cleaned_at is None)


def _refused(workspace: Workspace, there: set[str]) -> list[_Columns]:
    """Tables that have no version, of which rows were refused."""
    found: dict[str, set[str]] = {}
    with workspace.ledger.read() as tx:
        for refusal in entries.find(tx, TableRefusal, project=workspace.project, limit=_AT_MOST):
            if refusal.name not in there:
                found.setdefault(refusal.name, set()).update(refusal.personal)
    return [_Columns(name, frozenset(personal), frozenset(personal)) for name, personal in found.items()]


def _is_scored(tx: ReadTransaction, head: TableVersion, meant: str) -> bool:
    """Whether a table holds scores of another one's rows: then it has their keys."""
    return any(
        link.role == SCORED and link.source.startswith(meant)
        for each in entries.every(tx, TableVersion, project=head.project, name=head.name)
        for link in tx.links(node(each.project, each.name, each.version), towards=True)
    )


def _with_derived(workspace: Workspace, current: Iterable[TableVersion], target: Target) -> tuple[list[str], list[str]]:
    """A table and what Slipway made from it; and of other tables that were made from it, a sentence each."""
    meant = f"table:{workspace.project}/{target.table}@"
    names = {name for one in under_all_names(workspace, target, [target.table]) for name in one.columns}
    chosen, untold = [target.table], []
    with workspace.ledger.read() as tx:
        for version in current:
            links = tx.links(node(version.project, version.name, version.version), towards=True)
            is_made = any(link.source.startswith(meant) and link.role != "parent" for link in links)
            if version.name == target.table or not names & {field.name for field in version.fields}:
                continue
            if (
                version.name == quarantine_of(target.table)
                or (is_made and version.name.startswith(_DERIVED))
                or _is_scored(tx, version, meant)
            ):
                chosen.append(version.name)
            elif is_made:
                untold.append(
                    f"The table {version.name!r} was made from {target.table!r} and has {', '.join(target.columns)}: "
                    f"not searched. Erase there too where it means the same: --table {version.name} or --where."
                )
    return chosen, untold
