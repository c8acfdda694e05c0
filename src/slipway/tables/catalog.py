"""Which versions a table has, from the ledger alone."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from slipway.context import Slot
from slipway.errors import Corrupt, InvalidInput, NotFound, near
from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace, in_project
from slipway.records.tables import SIMULATED, Manifest, TableVersion

__all__ = [
    "BASE",
    "BRANCH",
    "HEAD",
    "MOVES",
    "TAG",
    "as_of",
    "content_of",
    "current",
    "current_hash",
    "find_head",
    "get",
    "head",
    "head_ref",
    "heads",
    "history",
    "manifest_of",
    "named_refs",
    "node",
    "pins",
    "quarantine_of",
    "reads",
    "simulated_in",
    "simulated_tables",
    "subject",
    "words",
]

HEAD = "head"
BRANCH = "branch"
BASE = "branch base"
TAG = "tag"
COMMIT = "tables.commit"
MOVES = (COMMIT, "tables.alter", "tables.compact", "tables.merge", "tables.erase")
"""The events that move a head: each names the version that is current from then on, and the branch if it is one's."""

_PAGE = 1000
_KEPT = ("quarantine.", "training.", "view.")

pins: Slot[Mapping[str, str]] = Slot("slipway.tables.pins")
"""Where it is filled, a table that is read without naming a version is read at the one given: `<project>/<table>` ->
hash, `files:<project>/<file set>` -> hash. Writing goes on from the current version all the same."""

reads: Slot[list[str]] = Slot("slipway.tables.reads")
"""Where it is filled, the lineage node of each version of a table or file set that is read is added, once."""


def node(project: str, table: str, version: str) -> str:
    """The lineage node of a table's version: `table:<project>/<table>@<version>`."""
    return f"table:{record_id(project, table, version)}"


def subject(project: str, table: str) -> str:
    """What the events of a table are about: `table:<project>/<table>`."""
    return f"table:{project}/{table}"


def record_id(project: str, table: str, version: str) -> str:
    """The id of a version's record: `<project>/<table>@<version>`."""
    return f"{project}/{table}@{version}"


def quarantine_of(table: str) -> str:
    """The table into which a table's checks set rows aside: `quarantine.<table>`. No function can have that name."""
    return f"quarantine.{table}"


def words(version: TableVersion) -> str:
    """A version in the words of an error: "Version 3 of the table 'flights' (0a1b2c...)"."""
    return f"Version {version.number} of the table {version.name!r} ({version.version[:12]})"


def content_of(version: TableVersion) -> str:
    """What tells a version's content: its hash, and how often rows were erased from it since ("0a1b...+1")."""
    return f"{version.version}+{len(version.erased)}" if version.erased else version.version


def head_ref(table: str, branch: str = "") -> tuple[str, str]:
    """The kind and the name of the reference that is the head of a table, or of one of its branches."""
    return (BRANCH, f"{table}/{branch}") if branch else (HEAD, table)


def named_refs(tx: ReadTransaction, project: str, table: str, kind: str) -> dict[str, str]:
    """The tags or the branches of a table: name and version."""
    begin = f"{table}/"
    return {name[len(begin) :]: version for name, version in tx.refs(project, kind).items() if name.startswith(begin)}


def find_head(tx: ReadTransaction, project: str, table: str, branch: str = "") -> TableVersion | None:
    """The version that is current, or current on a branch; None when there is none."""
    version = tx.ref(project, *head_ref(table, branch))
    return None if version is None else entries.get(tx, TableVersion, record_id(project, table, version))


def head(workspace: Workspace, table: str, *, project: str | None = None, branch: str = "") -> TableVersion:
    """The current version of a table.

    Args:
        workspace: Whose ledger is asked.
        table: The table's name.
        project: The table's project, None for the workspace's own.
        branch: The version that is current on a branch, "" for the table's own.

    Raises:
        NotFound: The project has no such table, or the table no such branch.
    """
    owner = project or workspace.project
    with workspace.ledger.read() as tx:
        found = find_head(tx, owner, table, branch)
        known = tx.refs(owner, HEAD) if found is None else {}
        branches = named_refs(tx, owner, table, BRANCH) if found is None else {}
    if found is not None:
        return found
    if table in known and branch:
        raise NotFound(
            f"The table {table!r} has no branch {branch!r}.",
            why=near(branch, branches, what="branches"),
            fix=f"Make it: `slipway data branch {table} {branch}`.",
        )
    raise NotFound(
        f"The project {owner!r} has no table {table!r}.",
        why=near(table, known, what="tables"),
        fix=f"If it is declared, ingest it first: `slipway data ingest {table}`.",
    )


def current_hash(tx: ReadTransaction, project: str, table: str) -> str | None:
    """The hash of the version that a reader gets who names none: the pinned one, else the current one."""
    return (pins.get() or {}).get(f"{project}/{table}") or tx.ref(project, HEAD, table)


def current(workspace: Workspace, table: str, *, project: str | None = None) -> TableVersion:
    """The version that a reader gets who names none: the pinned one, else the current one.

    Args:
        workspace: Whose ledger is asked.
        table: The table's name.
        project: The table's project, None for the workspace's own.

    Raises:
        NotFound: The project has no such table, or the table no such version.
    """
    pinned = (pins.get() or {}).get(f"{project or workspace.project}/{table}")
    return get(workspace, table, pinned, project=project) if pinned else head(workspace, table, project=project)


def heads(workspace: Workspace) -> tuple[TableVersion, ...]:
    """The current version of each table of the workspace's project, by name."""
    with workspace.ledger.read() as tx:
        names = sorted(tx.refs(workspace.project, HEAD))
        found = [find_head(tx, workspace.project, name) for name in names]
    return tuple(version for version in found if version is not None)


class _About(Struct, frozen=True):
    origin: str = ""


class _Told(Struct, frozen=True):
    """Of a version's record what says whether its rows are made up: every page asks that of every table."""

    about: _About = _About()


def simulated_tables(workspace: Workspace) -> tuple[str, ...]:
    """The tables of the workspace's project whose current version a program made up, or is made of such rows, by name.

    What releases keep of them for themselves is not named where others are.
    """
    project, kind = workspace.project, entries.kind_of(TableVersion)
    with workspace.ledger.read() as tx:
        heads_of = sorted(tx.refs(project, HEAD).items())
        stored = [(name, tx.get(kind, record_id(project, name, version))) for name, version in heads_of]
    found = tuple(
        name
        for name, entry in stored
        if entry is not None and msgspec.json.decode(entry.body, type=_Told).about.origin == SIMULATED
    )
    return tuple(name for name in found if not name.startswith(_KEPT)) or found


def simulated_in(workspace: Workspace, projects: Iterable[str]) -> tuple[str, ...]:
    """The `simulated_tables` of several projects, each name once."""
    found = (table for name in projects for table in simulated_tables(in_project(workspace, name)))
    return tuple(dict.fromkeys(found))


def get(workspace: Workspace, table: str, version: str, *, project: str | None = None) -> TableVersion:
    """One version of a table.

    Args:
        workspace: Whose ledger is asked.
        table: The table's name.
        version: Its hash.
        project: The table's project, None for the workspace's own.

    Raises:
        NotFound: The table has no such version.
    """
    owner = project or workspace.project
    with workspace.ledger.read() as tx:
        if tx.get(entries.kind_of(TableVersion), record_id(owner, table, version)) is not None:
            return entries.get(tx, TableVersion, record_id(owner, table, version))
    current = head(workspace, table, project=owner)
    raise NotFound(
        f"The table {table!r} of {owner!r} has no version {version!r}.",
        why=f"Its current version is {current.version} (number {current.number}).",
        fix=f"List its versions: `slipway data history {table}`.",
    )


def history(workspace: Workspace, table: str, *, project: str | None = None) -> tuple[TableVersion, ...]:
    """All versions of a table, newest first.

    Raises:
        NotFound: The project has no such table.
    """
    owner = project or workspace.project
    head(workspace, table, project=owner)
    with workspace.ledger.read() as tx:
        found = entries.every(tx, TableVersion, project=owner, name=table)
        return tuple(sorted(found, key=lambda version: -version.number))


def as_of(workspace: Workspace, table: str, instant: datetime, *, project: str | None = None) -> TableVersion:
    """The version that was current at an instant of business time.

    Args:
        workspace: Whose ledger is asked.
        table: The table's name.
        instant: Aware; a version counts from the very instant of its commit.
        project: The table's project, None for the workspace's own.

    Raises:
        InvalidInput: The instant has no time zone.
        NotFound: The table had no version then.
    """
    if instant.tzinfo is None:
        raise InvalidInput(
            f"The instant {instant.isoformat()} has no time zone.", fix="Give an aware datetime, in UTC if in doubt."
        )
    owner = project or workspace.project
    found = _current_at(workspace, subject(owner, table), instant)
    if found is None:
        first = history(workspace, table, project=owner)[-1]
        raise NotFound(
            f"The table {table!r} had no version on {instant.astimezone(UTC).isoformat()}.",
            why=f"Its first one is of {first.created_at.isoformat()}.",
        )
    return get(workspace, table, found, project=owner)


def manifest_of(workspace: Workspace, version: TableVersion) -> Manifest:
    """The manifest of a version. Its bytes have the digest that is the version, or they are not returned.

    Raises:
        NotFound: Its blob is gone, or its rows were cleaned away.
        Corrupt: It is not what the version's hash says.
    """
    if version.cleaned_at is not None:
        raise NotFound(
            f"{words(version)} cannot be read: its rows were cleaned away on {version.cleaned_at:%Y-%m-%d}.",
            why="No head, branch, tag or record named it any more.",
            fix=f"See which versions are there: `slipway data history {version.name}`. Tag a version to keep it.",
        )
    try:
        digest = version.erased[-1].manifest if version.erased else version.version
        return msgspec.json.decode(workspace.blobs.get(digest), type=Manifest)
    except (Corrupt, msgspec.DecodeError) as problem:
        raise Corrupt(
            f"The manifest of {version.id} does not have the digest that is the version.",
            why="The blob was altered.",
            fix="Restore the store from a backup.",
        ) from problem


def _current_at(workspace: Workspace, about: str, instant: datetime) -> str | None:
    # The head may return to an earlier version, so what tells is the event of each move, not the version's own record.
    found, after = None, 0
    with workspace.ledger.read() as tx:
        while True:
            page = tx.events(after=after, limit=_PAGE, subject=about)
            for event in page:
                if event.at > instant:
                    return found
                if event.verb in MOVES and not event.body.get("branch"):
                    found = str(event.body["version"])
            if len(page) < _PAGE:
                return found
            after = page[-1].seq
