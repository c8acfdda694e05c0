"""Which version is meant: a number, a hash or its beginning, a tag, a branch, an instant or a date."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from slipway.errors import InvalidInput, NotFound, near
from slipway.ids import check_name
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.tables.catalog import TAG, as_of, current, find_head, get, head, history, named_refs, record_id

__all__ = ["Version", "check_ref_name", "resolve"]

Version = str | int | datetime | date
"""How a version is named: 3, "0a1b2c", "golden", a branch, "2013-05-01", an aware datetime."""

MAIN = "main"
_NUMBER = re.compile(r"\d{1,18}\Z")
_HASH = re.compile(r"[0-9a-f]{4,64}\Z")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].+)?\Z")


def resolve(
    workspace: Workspace, table: str, version: Version | None = None, *, project: str | None = None
) -> TableVersion:
    """The version of a table that is meant.

    Args:
        workspace: Whose ledger is asked.
        table: The table's name.
        version: Its number, its hash or a beginning of it of at least 4 digits, a tag, a branch, "main" for the head;
            an aware instant, or a date (its first instant in UTC): the version that was current then. None for the
            current one, or the one that is pinned here.
        project: The table's project, None for the workspace's own.

    Raises:
        NotFound: There is no such table or version.
        InvalidInput: The beginning of a hash fits several, or an instant has no time zone.
    """
    if version is None or version == "":
        return current(workspace, table, project=project)
    if isinstance(version, datetime):
        return as_of(workspace, table, version, project=project)
    if isinstance(version, date):
        return as_of(workspace, table, datetime.combine(version, time(), UTC), project=project)
    text = str(version).strip()
    owner = project or workspace.project
    found = _by_name(workspace, owner, table, text)
    if found is not None:
        return found
    if _NUMBER.match(text) and (by_number := _by_number(workspace, owner, table, int(text))) is not None:
        return by_number
    if _INSTANT.match(text):
        return as_of(workspace, table, _instant(text), project=project)
    if _HASH.match(text):
        return _by_hash(workspace, owner, table, text)
    raise _unknown(workspace, owner, table, text)


def check_ref_name(name: str, what: str) -> str:
    """Check the name of a tag or branch: it must not read as a number, a hash or a date.

    Raises:
        InvalidInput: It does.
    """
    if _NUMBER.match(name) or _HASH.match(name) or _INSTANT.match(name) or name == MAIN:
        kind = "the table's own head" if name == MAIN else "a number, a hash or a date"
        raise InvalidInput(
            f"{name!r} cannot be the name of a {what}: it reads as {kind}.",
            fix=f"For example 'v-{name}'.",
            field="name",
        )
    return check_name(name, what)


def _by_name(workspace: Workspace, project: str, table: str, text: str) -> TableVersion | None:
    with workspace.ledger.read() as tx:
        hash = tx.ref(project, TAG, f"{table}/{text}")
        if hash is None:
            return find_head(tx, project, table, "" if text == MAIN else text)
        return entries.get(tx, TableVersion, record_id(project, table, hash))


def _by_number(workspace: Workspace, project: str, table: str, number: int) -> TableVersion | None:
    with workspace.ledger.read() as tx:
        found = entries.find(tx, TableVersion, project=project, name=table, number=number, limit=1)
    return found[0] if found else None


def _by_hash(workspace: Workspace, project: str, table: str, text: str) -> TableVersion:
    if len(text) == 64:
        return get(workspace, table, text, project=project)
    found = [version for version in history(workspace, table, project=project) if version.version.startswith(text)]
    if len(found) > 1:
        raise InvalidInput(
            f"{len(found)} versions of the table {table!r} begin with {text!r}.",
            why=f"They are {', '.join(version.version[: len(text) + 6] for version in found[:3])} ...",
            fix="Give more of the hash, or the number.",
        )
    if not found:
        raise _unknown(workspace, project, table, text)
    return found[0]


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as problem:
        raise InvalidInput(
            f"{text!r} is no date or instant.", fix="Write it as 2013-05-01 or 2013-05-01T12:00:00Z."
        ) from problem
    return found.replace(tzinfo=UTC) if len(text) == len("2013-05-01") else found


def _unknown(workspace: Workspace, project: str, table: str, text: str) -> NotFound:
    newest = head(workspace, table, project=project)
    with workspace.ledger.read() as tx:
        names = [*named_refs(tx, project, table, TAG), *named_refs(tx, project, table, "branch")]
    return NotFound(
        f"The table {table!r} of {project!r} has no version {text!r}.",
        why=near(text, names, what="tags and branches")
        if names
        else f"Its current version is number {newest.number} ({newest.version[:12]}).",
        fix=f"List its versions: `slipway data history {table}`.",
    )
