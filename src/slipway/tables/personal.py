"""Personal columns: what faces show of them, and to whom.

A declaration names them (`@sw.table(personal=[...])`). Whatever shows rows, samples of rows or values of a table to a
person sends them through here first. Code that reads a table in its own process reads the values: this is about faces.

A column is the same column under whatever name: it is known by its id, so that what is declared of it by now holds for
versions in which it was called otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import msgspec

from slipway.errors import Denied, InvalidInput, SlipwayError, near
from slipway.ledger import entries
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable, CheckResult, TableVersion
from slipway.tables.catalog import find_head, manifest_of, quarantine_of

__all__ = [
    "MASK",
    "PERMISSION",
    "Personal",
    "check_about",
    "check_personal",
    "check_readable",
    "common_readers",
    "may_read",
    "may_see",
    "sees_all",
    "shown",
    "veil",
    "without_samples",
]

MASK = "(personal)"
"""What stands in the place of a value that the actor may not see."""
PERMISSION = "tables.personal"
_SET_ASIDE = quarantine_of("")


def may_see(actor: Actor) -> bool:
    """Whether somebody may see the values of personal columns."""
    return allowed(actor, PERMISSION)


def may_read(actor: Actor, about: AboutTable) -> bool:
    """Whether somebody is among those that may read a table: all where it names nobody, and admins always."""
    return not about.readers or "admin" in actor.roles or bool({actor.name, *actor.roles} & set(about.readers))


def sees_all(workspace: Workspace) -> bool:
    """Whether the workspace's actor sees whatever there is: then nothing needs to be looked through for them."""
    return "admin" in workspace.actor.roles and may_see(workspace.actor)


def check_readable(workspace: Workspace, table: str, *, project: str | None = None) -> None:
    """Check that the actor may read a table; what its newest version says holds for all of them.

    What the installation does by itself (a schedule, a retraining) reads what its project declares.

    Raises:
        Denied: The table names its readers, and the actor is none.
    """
    actor = workspace.actor
    if "admin" in actor.roles or (actor.kind == "service" and workspace.identity is None):
        return
    with workspace.ledger.read() as tx:
        head = find_head(tx, project or workspace.project, table.removeprefix(_SET_ASIDE))
    if head is not None and not may_read(actor, head.about):
        raise Denied(
            f"{actor.name} may not read the table {table!r}.",
            why=f"Its declaration says who may: {', '.join(head.about.readers)}.",
            fix=f"Ask {head.about.owner or 'its owner'} to name you or your role: @sw.table(readers=[...]).",
        )


def check_about(workspace: Workspace, former: TableVersion | None, about: AboutTable, columns: Iterable[str]) -> None:
    """Check that whoever writes a table opens nothing by it that is closed to them.

    Args:
        workspace: Whose actor writes. What the installation does by itself writes what its project declares.
        former: The table's newest version, None for none.
        about: What is to be said of the table from now on.
        columns: What it will have.

    Raises:
        Denied: The table names its readers and the actor is none, or the actor may not see personal columns and a column
            would be personal no more.
    """
    actor = workspace.actor
    if former is None or (actor.kind == "service" and workspace.identity is None):
        return
    check_readable(workspace, former.name, project=former.project)
    opened = sorted(({*former.about.personal} - {*about.personal}) & {*columns})
    if opened and not may_see(actor):
        raise Denied(
            f"{actor.name} may not take {opened[0]!r} from the personal columns of the table {former.name!r}.",
            why="Who may not see the values of personal columns cannot open them.",
            fix=f"Declare it again: personal=[{opened[0]!r}]; or ask somebody with the permission {PERMISSION!r}.",
        )


def common_readers(abouts: Iterable[AboutTable]) -> tuple[str, ...]:
    """Who may read what is made of tables: who is named by all that name somebody; admins alone where nobody is."""
    named = [about.readers for about in abouts if about.readers]
    if not named:
        return ()
    return tuple(one for one in named[0] if all(one in other for other in named)) or ("admin",)


def veil() -> Any:
    """The room that looks through answers and files, `slipway.tables.veil`; loaded when somebody may not see all."""
    return import_module("slipway.tables.veil")


class Personal:
    """Which columns are personal in the versions of tables; what is known of a table is looked up once.

    Args:
        workspace: Whose tables.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tables: dict[tuple[str, str], _Table] = {}

    def names_in(self, version: TableVersion) -> tuple[str, ...]:
        """The personal columns of a version, as they are called in it.

        What was declared with the version counts, and what is declared of its table by now. Of a column that the table no
        longer has, what any version declared counts.
        """
        table = self._table(version.project, version.name)
        fields = [one.name for one in version.fields]
        declared = {*version.about.personal, *table.declared}
        if version.name.startswith(_SET_ASIDE):  # its rows keep the names that they had when they were set aside
            declared |= self.names_ever(version.project, version.name.removeprefix(_SET_ASIDE))
        if table.ids:
            own = table.columns.get(version.id)
            if own is None:  # cleaned away: a name of which nothing is known may be anybody's
                known = {name for columns in table.columns.values() for name in columns}
                declared |= table.names | (set(fields) - known)
            else:
                declared |= {name for name, id in own.items() if id in table.ids}
        return tuple(name for name in fields if name in declared)

    def names_ever(self, project: str, table: str) -> frozenset[str]:
        """Every name that a personal column of a table ever had: what was made of it may have kept a former one."""
        return self._table(project, table).names

    def _table(self, project: str, name: str) -> _Table:
        if (project, name) not in self._tables:
            self._tables[project, name] = _look_up(self._workspace, project, name)
        return self._tables[project, name]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What is personal in a table.

    Args:
        declared: What its present declaration names.
        names: Every name that a personal column ever had.
        ids: The ids of personal columns; empty where no column ever changed its name, so that names say it all.
        columns: The columns' ids by name, of each version that can be read; empty where `ids` is.
    """

    declared: frozenset[str]
    names: frozenset[str]
    ids: frozenset[int] = frozenset()
    columns: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def _look_up(workspace: Workspace, project: str, name: str) -> _Table:
    with workspace.ledger.read() as tx:
        head = find_head(tx, project, name)
        versions = list(entries.every(tx, TableVersion, project=project, name=name))
    declared = frozenset(head.about.personal if head else ())
    ever = declared | {column for version in versions for column in version.about.personal}
    if not ever or not any(version.change == "alter" for version in versions):
        return _Table(declared=declared, names=ever)
    columns = {version.id: _ids(workspace, version) for version in versions}
    readable = {id: found for id, found in columns.items() if found is not None}
    present = readable.get(head.id, {}) if head else {}
    ids = {present[column] for column in declared if column in present}
    for version in versions:
        own = readable.get(version.id, {})
        ids |= {own[column] for column in version.about.personal if column in own} - set(present.values())
    names = {column for own in readable.values() for column, id in own.items() if id in ids}
    return _Table(declared=declared, names=ever | names, ids=frozenset(ids), columns=readable)


def _ids(workspace: Workspace, version: TableVersion) -> dict[str, int] | None:
    try:
        manifest = manifest_of(workspace, version)
    except SlipwayError:  # cleaned away, or damaged
        return None
    return {one.name: id for one, id in zip(manifest.fields, manifest.field_ids, strict=True)}


def shown(workspace: Workspace, version: TableVersion, known: Personal | None = None) -> TableVersion:
    """A version's record as the workspace's actor may see it: samples of failing rows that name persons are masked.

    A sample is the key of a row; it is masked where a key column is personal, or where that cannot be told. A sample may
    be that of an earlier version, whose key was called otherwise.

    Args:
        workspace: Whose actor looks.
        version: The record.
        known: What is personal, where several versions are shown.
    """
    if may_see(workspace.actor) or not any(check.sample for check in version.checks):
        return version
    personal = (known or Personal(workspace)).names_in(version)
    if not personal:
        return version
    try:
        key = manifest_of(workspace, version).key
    except SlipwayError:  # then nothing is known but that there are personal columns
        key = personal
    if not set(key) & set(personal):
        return version
    return msgspec.structs.replace(version, checks=without_samples(version.checks))


def check_personal(table: str, about: AboutTable, columns: Iterable[str]) -> None:
    """Check that a table has the columns that its declaration calls personal: a misspelled one would not be masked.

    Raises:
        InvalidInput: It has not.
    """
    there = list(columns)
    for name in about.personal:
        if name not in there:
            raise InvalidInput(
                f"The table {table!r} calls the column {name!r} personal, which is not there.",
                why=near(name, there, what="columns"),
                fix="Correct personal=[...] in its declaration.",
                field=name,
            )


def without_samples(checks: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """Results of checks whose samples are masked."""
    return tuple(msgspec.structs.replace(check, sample=tuple(MASK for _ in check.sample)) for check in checks)
