"""Personal columns: what faces show of them, and to whom.

A declaration names them (`@sw.table(personal=[...])`). Whatever shows rows, samples of rows or values of a table to a
person sends them through here or `masking` first. Code that reads a table in its own process reads the values: this is about faces.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable, CheckResult, TableVersion
from slipway.tables.catalog import find_head, manifest_of

__all__ = ["MASK", "PERMISSION", "check_personal", "may_see", "personal_in", "shown"]

MASK = "(personal)"
"""What stands in the place of a value that the actor may not see."""
PERMISSION = "tables.personal"


def may_see(actor: Actor) -> bool:
    """Whether somebody may see the values of personal columns."""
    return allowed(actor, PERMISSION)


def personal_in(workspace: Workspace, version: TableVersion) -> tuple[str, ...]:
    """The personal columns of a version: what was declared with it, and what is declared of its table by now."""
    with workspace.ledger.read() as tx:
        head = find_head(tx, version.project, version.name)
    names = {field.name for field in version.fields}
    declared = (*version.about.personal, *(head.about.personal if head else ()))
    return tuple(dict.fromkeys(name for name in declared if name in names))


def shown(workspace: Workspace, version: TableVersion) -> TableVersion:
    """A version's record as the workspace's actor may see it: samples of failing rows that name persons are masked.

    A sample is the key of a row; it is masked where a key column is personal, or where that cannot be told.
    """
    if may_see(workspace.actor) or not any(check.sample for check in version.checks):
        return version
    personal = personal_in(workspace, version)
    if not personal:
        return version
    try:
        key = manifest_of(workspace, version).key
    except SlipwayError:  # then nothing is known but that there are personal columns
        key = personal
    if not set(key) & set(personal):
        return version
    return msgspec.structs.replace(version, checks=tuple(map(_without_sample, version.checks)))


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


def _without_sample(check: CheckResult) -> CheckResult:
    return msgspec.structs.replace(check, sample=tuple(MASK for _ in check.sample))
