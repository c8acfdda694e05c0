"""Schema evolution: columns are added, renamed, dropped and widened by their ids, and no part is written.

A part keeps the names and types that it was written with; the manifest says which of its columns is which field now. A
name that is used again gets a new id, so that values of a dropped column never come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from slipway.errors import InvalidInput, near
from slipway.operations.table_versions import AlterTable, TableState
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.records.tables import AboutTable, Manifest, Part, TableVersion
from slipway.schema.dtypes import dtype_of, plain_dtype
from slipway.schema.frame_digests import FrameDigests, of_blocks
from slipway.schema.types import field_type
from slipway.tables.catalog import head, manifest_of, words
from slipway.tables.commits import Draft, Origin, again_on_conflict, commit
from slipway.tables.conform import check_columns_named, is_wider
from slipway.tables.part_cache import part_folder
from slipway.tables.scans import file_columns, greatest, scan_parts, schema_of

__all__ = ["TYPES", "alter", "alter_table"]

TYPES: dict[str, pl.DataType] = {
    "bool": pl.Boolean(),
    "int8": pl.Int8(),
    "int16": pl.Int16(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "string": pl.String(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us", "UTC"),
    "duration": pl.Duration("us"),
}
"""What a column may be added as or widened to, by the name that is typed."""


def alter(
    workspace: Workspace,
    table: str,
    *,
    add: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    widen: Mapping[str, str] | None = None,
    origin: Origin | None = None,
    branch: str = "",
) -> TableVersion:
    """Change a table's columns. No part is written; where content changes the rows are read once for their fingerprint.

    Args:
        workspace: Whose store is written.
        table: A table that has a version.
        add: New columns and their types, null in the rows that are there; see `TYPES`.
        rename: New names by the present ones.
        drop: Columns to leave out.
        widen: Wider types by the columns' present names: int32 to int64, float32 to float64, date to datetime.
        origin: Where the change came from.
        branch: The branch that is changed, "" for the table itself.

    Returns:
        The new version, or the current one when there is nothing to change.

    Raises:
        NotFound: The table has no version yet, or there is no such branch.
        InvalidInput: A column is not there, or is already; a key or time would go; a type is unknown or not wider.
        Conflict: Others wrote the table again and again meanwhile.
    """
    wanted = (dict(add or {}), dict(rename or {}), tuple(drop), dict(widen or {}))

    def attempt() -> TableVersion:
        former = head(workspace, table, branch=branch)
        before = manifest_of(workspace, former)
        manifest = _altered(table, before, *wanted)
        if manifest == before:
            return former
        if wanted[0] or wanted[2] or wanted[3]:
            digests = _digests(workspace, former, manifest)
            manifest = msgspec.structs.replace(manifest, blocks=digests.blocks, leaves=digests.leaves)
        draft = Draft(
            manifest=manifest,
            change="alter",
            fingerprint=of_blocks(schema_of(manifest), manifest.rows, manifest.blocks),
            data_until=greatest(manifest),
        )
        told = origin or Origin(source=_said(*wanted), about=_about(former.about, wanted[1], wanted[2]))
        return commit(workspace, table, draft, former=former, origin=told, branch=branch, verb="tables.alter")

    return again_on_conflict(table, attempt)


def alter_table(workspace: Workspace, request: AlterTable) -> TableState:
    """Change a table's columns; see `alter`."""
    made = alter(
        workspace,
        request.name,
        add=request.add,
        rename=request.rename,
        drop=request.drop,
        widen=request.widen,
        branch=request.branch,
    )
    return TableState(version=made)


def _altered(
    table: str,
    before: Manifest,
    add: dict[str, str],
    rename: dict[str, str],
    drop: tuple[str, ...],
    widen: dict[str, str],
) -> Manifest:
    names = [field.name for field in before.fields]
    for name in [*rename, *drop, *widen]:
        if name not in names:
            raise InvalidInput(
                f"The table {table!r} has no column {name!r}.", why=near(name, names, what="columns"), field=name
            )
    for name in drop:
        if name in (*before.key, before.time):
            raise InvalidInput(
                f"The column {name!r} of the table {table!r} cannot be dropped: it is its "
                f"{'key' if name in before.key else 'time'}.",
                fix="Declare another key or time and write the table once; then drop it.",
                field=name,
            )
    kept = [
        (number, _renamed(field, rename), _widened(table, field.name, dtype_of(plain), widen))
        for field, number, plain in zip(before.fields, before.field_ids, before.types, strict=True)
        if field.name not in drop
    ]
    last = before.last_field_id
    for name, word in add.items():
        last += 1
        dtype = _type(table, name, word)
        kept.append((last, Field(name, field_type(dtype), True), dtype))
    _check_once(table, [field.name for _, field, _ in kept])
    manifest = msgspec.structs.replace(
        before,
        fields=tuple(msgspec.structs.replace(f, type=field_type(dtype)) for _, f, dtype in kept),
        field_ids=tuple(number for number, _, _ in kept),
        types=tuple(plain_dtype(dtype, field.name) for _, field, dtype in kept),
        key=tuple(rename.get(name, name) for name in before.key),
        time=rename.get(before.time, before.time),
        last_field_id=last,
    )
    return msgspec.structs.replace(manifest, parts=tuple(_kept(before, manifest, part) for part in before.parts))


def _kept(before: Manifest, after: Manifest, part: Part) -> Part:
    """A part that says how its columns are called and typed, where that is not as in its file."""
    inside = dict(zip(before.field_ids, file_columns(before, part), strict=True))
    former = dict(zip(before.field_ids, before.types, strict=True)) | dict(part.casts)
    columns: list[tuple[int, str]] = []
    casts: list[tuple[int, tuple[Any, ...]]] = []
    for field, number, plain in zip(after.fields, after.field_ids, after.types, strict=True):
        source = inside.get(number, "")
        if source != (field.name if field.name in part.stats else ""):
            columns.append((number, source))
        if source and tuple(former[number]) != tuple(plain):
            casts.append((number, tuple(former[number])))
    return msgspec.structs.replace(part, columns=tuple(columns), casts=tuple(casts))


def _renamed(field: Field, rename: dict[str, str]) -> Field:
    return msgspec.structs.replace(field, name=rename.get(field.name, field.name))


def _widened(table: str, name: str, dtype: pl.DataType, widen: dict[str, str]) -> pl.DataType:
    if name not in widen:
        return dtype
    wider = _type(table, name, widen[name])
    if wider != dtype and not is_wider(dtype, wider):
        raise InvalidInput(
            f"The column {name!r} of the table {table!r} is {dtype}; {widen[name]} does not hold all of its values.",
            fix="Widen to a type that does (int32 to int64, float32 to float64, date to datetime), or overwrite the table.",
            field=name,
        )
    return wider


def _type(table: str, name: str, word: str) -> pl.DataType:
    if word not in TYPES:
        raise InvalidInput(
            f"{word!r} is no type for the column {name!r} of the table {table!r}.",
            why=near(word, TYPES, what="types"),
            fix=f"One of {', '.join(TYPES)}.",
            field=name,
        )
    return TYPES[word]


def _check_once(table: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(
            f"The table {table!r} would have two columns {twice!r}.", fix="Choose another name.", field=twice
        )
    if not names:
        raise InvalidInput(f"The table {table!r} would have no columns.", fix="Keep at least one.")
    check_columns_named(table, names)


def _digests(workspace: Workspace, former: TableVersion, manifest: Manifest) -> FrameDigests:
    folder, digests = part_folder(workspace, former.name), FrameDigests()
    for part in manifest.parts:
        digests.add(scan_parts(folder, manifest, words(former), [part]).collect())
    return digests


def _about(about: AboutTable, rename: dict[str, str], drop: tuple[str, ...]) -> AboutTable:
    personal = tuple(rename.get(name, name) for name in about.personal if name not in drop)
    return msgspec.structs.replace(about, personal=personal)


def _said(add: dict[str, str], rename: dict[str, str], drop: tuple[str, ...], widen: dict[str, str]) -> str:
    said = [f"added {name} ({word})" for name, word in add.items()]
    said += [f"renamed {old} to {new}" for old, new in rename.items()]
    said += [f"dropped {name}" for name in drop]
    said += [f"widened {name} to {word}" for name, word in widen.items()]
    return ", ".join(said)
