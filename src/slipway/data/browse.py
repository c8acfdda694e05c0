"""The bodies of the operations on profiles, failing rows and refusals. Personal values are masked where they must be."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import polars as pl

from slipway.data.failing import kept_rows
from slipway.data.profile_view import summary_of
from slipway.data.profile_words import differences
from slipway.data.profiles import profile_of, stored
from slipway.data.stability import compared
from slipway.data.table_checks import stable
from slipway.errors import InvalidDeclaration, InvalidInput, NotFound
from slipway.ledger import entries
from slipway.operations.table_checks import (
    ColumnSummary,
    Failing,
    FailingRows,
    GetProfile,
    GetRefusals,
    Profile,
    Refusals,
    ShowFailing,
)
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableRefusal, TableVersion
from slipway.stats.column_profiles import TableProfile, to_bytes
from slipway.tables.catalog import find_head
from slipway.tables.commits import note_profile
from slipway.tables.personal import MASK, Personal, check_readable, may_see, shown, without_samples
from slipway.tables.resolve import resolve
from slipway.tables.versions import read, reads

__all__ = ["failing_rows", "list_refusals", "profile_table"]

_REFUSED = "refused"


def profile_table(workspace: Workspace, request: GetProfile) -> Profile:
    """The columns of a version, beside those of another one where that is asked for.

    Raises:
        NotFound: There is no such table or version.
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    version = resolve(workspace, request.name, request.version)
    found = _profile(workspace, version)
    seen = may_see(workspace.actor)
    personal = set(Personal(workspace).names_in(version))
    columns = [summary_of(column, personal=column.name in personal, may_see=seen) for column in found.columns]
    answer = Profile(table=version.name, number=version.number, version=version.version, rows=found.rows)
    if not request.against:
        return msgspec.structs.replace(answer, columns=tuple(columns))
    other = resolve(workspace, request.name, request.against)
    known = _profile(workspace, other)
    hidden = set() if seen else {*personal, *Personal(workspace).names_in(other)}
    told = tuple(_beside(column, found, known, other, hidden) for column in columns)
    return msgspec.structs.replace(answer, columns=told, against=other.number)


def failing_rows(workspace: Workspace, request: ShowFailing) -> FailingRows:
    """Rows that broke checks, of a version or of what was refused.

    Raises:
        NotFound: There is no such table or version, nothing was refused, or no check has these words.
        InvalidInput: The limit is no number of rows.
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    if not 1 <= request.limit <= 1000:
        raise InvalidInput(
            f"The limit is {request.limit}.", fix="Give 1 to 1,000: so many rows are kept.", field="limit"
        )
    refusal, known = _refusal(workspace, request), Personal(workspace)
    ever = known.names_ever(workspace.project, request.name)  # rows that were kept may have a column's former name
    if refusal is not None:
        refusal = _shown(workspace, refusal, known)
        checks, personal, number = refusal.checks, {*refusal.personal, *ever}, 0
    else:
        version = resolve(workspace, request.name, request.version)
        checks, number = shown(workspace, version, known).checks, version.number
        personal = {*known.names_in(version), *ever}
    wanted = [check for check in checks if request.check.lower() in check.check.lower()]
    if request.check and not wanted:
        raise NotFound(
            f"No check of the table {request.name!r} has {request.check!r} in its words.",
            why=f"Its checks are: {'; '.join(check.check for check in checks) or 'none'}.",
        )
    hidden = set() if may_see(workspace.actor) else personal
    broken = [check for check in wanted if not check.passed]
    told = tuple(_failing(workspace, check, hidden, request.limit) for check in broken)
    return FailingRows(table=request.name, number=number, refusal=refusal, checks=told)


def list_refusals(workspace: Workspace, request: GetRefusals) -> Refusals:
    """What was refused of a table's rows, newest first.

    Raises:
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    with workspace.ledger.read() as tx:
        found = entries.find(tx, TableRefusal, project=workspace.project, name=request.name, limit=request.limit)
    known = Personal(workspace)
    return Refusals(refusals=tuple(_shown(workspace, refusal, known) for refusal in found))


def _shown(workspace: Workspace, refusal: TableRefusal, known: Personal) -> TableRefusal:
    """A refusal as it may be seen: its samples name no column that was personal then, perhaps one that is by now."""
    since = known.names_ever(refusal.project, refusal.name) - set(refusal.personal)
    if may_see(workspace.actor) or not since:
        return refusal
    return msgspec.structs.replace(refusal, checks=without_samples(refusal.checks))


def _profile(workspace: Workspace, version: TableVersion) -> TableProfile:
    found = stored(workspace, version)
    if found is not None:
        return found
    with reads.filled([]):
        found = profile_of(read(workspace, version.name, version.version))
    note_profile(workspace, version, to_bytes(found))  # so that the next reader of it reads no row
    return found


def _beside(
    column: ColumnSummary, found: TableProfile, known: TableProfile, other: TableVersion, hidden: Collection[str]
) -> ColumnSummary:
    former = next((each for each in known.columns if each.name == column.name), None)
    if former is None:
        return msgspec.structs.replace(column, change="new", told=f"It is not in version {other.number}.")
    hides = column.name in hidden
    own = next(each for each in found.columns if each.name == column.name)
    before = summary_of(former, personal=column.personal or hides, may_see=not hides)
    column = msgspec.structs.replace(
        column,
        differences=differences(column, before, own, former, hides=hides),
        bars_before=() if hides else before.bars,
    )
    try:
        # All columns are asked at once, so that each is as certain as the chance of a false alarm in all of them says.
        chance = 0.01 / max(len(found.columns), 1)
        check = stable(column.name, false_alarms=chance)
        result = compared(found, known, check, table=other.name, than=f"version {other.number}")
    except InvalidDeclaration:
        return msgspec.structs.replace(column, told=f"{column.kind.capitalize()}s are not compared.")
    change = "moved" if result.moved else "cannot tell" if result.undecided else "steady"
    return msgspec.structs.replace(column, change=change, told=result.note)


def _refusal(workspace: Workspace, request: ShowFailing) -> TableRefusal | None:
    if request.version not in ("", _REFUSED):
        return None
    with workspace.ledger.read() as tx:
        found = entries.find(tx, TableRefusal, project=workspace.project, name=request.name, limit=1)
        head = find_head(tx, workspace.project, request.name)
    if request.version == _REFUSED:
        if not found:
            raise NotFound(
                f"Nothing that came for the table {request.name!r} was refused.",
                fix=f"What the current version's checks found: slipway data failing {request.name}",
            )
        return found[0]
    is_last = bool(found) and (head is None or found[0].parent == head.version)
    return found[0] if is_last else None


def _failing(workspace: Workspace, result: CheckResult, hidden: set[str], limit: int) -> Failing:
    rows = kept_rows(workspace, result)
    if rows is None:
        return Failing(result=result, columns=(), rows=())
    texts = [pl.lit(MASK).alias(name) if name in hidden else _text(name, dtype) for name, dtype in rows.schema.items()]
    shown = rows.head(limit).select(texts) if texts else rows.head(0)
    return Failing(result=result, columns=tuple(rows.columns), rows=tuple(shown.rows()))


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_nested() or dtype == pl.Binary:
        text = column.map_elements(str, return_dtype=pl.String)
    else:
        text = column.dt.to_string("iso:strict") if dtype.is_temporal() else column.cast(pl.String)
    return text.fill_null("null")
