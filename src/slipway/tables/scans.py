"""Reading parts: which file column is which field, and the rows of a manifest, all of them or a stretch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from slipway.errors import Corrupt
from slipway.records.tables import Manifest, Part
from slipway.schema.dtypes import dtype_of
from slipway.tables.part_folders import PartFolder, part_path

__all__ = ["file_columns", "greatest", "rows_between", "scan_parts", "schema_of", "verify_parts"]

_GONE = "is missing in the object store"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def schema_of(manifest: Manifest) -> pl.Schema:
    """Names and exact types of a version's columns, in order."""
    return pl.Schema({f.name: dtype_of(t) for f, t in zip(manifest.fields, manifest.types, strict=True)})


def file_columns(manifest: Manifest, part: Part) -> tuple[str, ...]:
    """For each field the name of its column in a part's file, "" for one that is not in it."""
    moved = dict(part.columns)
    return tuple(
        moved.get(number, field.name if not part.stats or field.name in part.stats else "")
        for field, number in zip(manifest.fields, manifest.field_ids, strict=True)
    )


def greatest(manifest: Manifest) -> datetime | None:
    """The greatest event time in a version, from the parts' statistics; None without a time column or value."""
    names = [field.name for field in manifest.fields]
    if manifest.time not in names:
        return None
    position = names.index(manifest.time)
    stats = [part.stats.get(file_columns(manifest, part)[position]) for part in manifest.parts]
    found = [each.high for each in stats if each is not None and each.high is not None]
    return _EPOCH + timedelta(microseconds=max(found)) if found else None


def scan_parts(folder: PartFolder, manifest: Manifest, what: str, parts: Sequence[Part] | None = None) -> pl.LazyFrame:
    """The rows of a manifest's parts, in order, lazily.

    Args:
        folder: Where the parts lie.
        manifest: Names them, and says how their columns are called and typed now.
        what: The version in words, for errors.
        parts: Some of its parts, None for all.

    Raises:
        Corrupt: A part is missing or has another size than it was written with.
    """
    chosen = manifest.parts if parts is None else parts
    schema = schema_of(manifest)
    _check_there(folder, chosen, what)
    names = set(schema)
    if not chosen:
        return pl.LazyFrame(schema=schema)
    if all(not part.columns and not part.casts and names <= part.stats.keys() for part in chosen):
        return _scan(folder, chosen, schema).select(schema.names())
    layouts = groupby(chosen, key=lambda part: (file_columns(manifest, part), part.casts))
    scans = [_fitted(folder, list(alike), manifest, schema, *layout) for layout, alike in layouts]
    return scans[0] if len(scans) == 1 else pl.concat(scans)


def rows_between(
    folder: PartFolder, manifest: Manifest, what: str, start: int, stop: int, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """A stretch of a version's rows; only the parts that hold it are opened.

    Args:
        folder: Where the parts lie.
        manifest: Names them.
        what: The version in words, for errors.
        start: The first row, counted from 0.
        stop: The row after the last one.
        columns: Some of the columns, None for all; no other is read.

    Raises:
        Corrupt: A part is missing or has another size than it was written with.
    """
    holding, before, position = [], 0, 0
    for part in manifest.parts:
        if position + part.rows <= start:
            before += part.rows
        elif position < stop:
            holding.append(part)
        position += part.rows
    rows = scan_parts(folder, manifest, what, holding).slice(start - before, stop - start)
    return (rows if columns is None else rows.select(columns)).collect()


def verify_parts(folder: PartFolder, manifest: Manifest, what: str) -> None:
    """Read every part's bytes and compare their digests.

    Raises:
        Corrupt: A part is missing or is not what was written.
    """
    _check_there(folder, manifest.parts, what)
    for part in manifest.parts:
        if not folder.verify(part):
            raise _damaged(what, folder, part, "has other bytes than its digest says" if folder.kept is None else _GONE)


def _fitted(
    folder: PartFolder,
    parts: Sequence[Part],
    manifest: Manifest,
    schema: pl.Schema,
    columns: tuple[str, ...],
    casts: tuple[tuple[int, tuple[Any, ...]], ...],
) -> pl.LazyFrame:
    """Parts whose columns are called or typed otherwise than the table's: brought to its names and types."""
    former = {number: dtype_of(plain) for number, plain in casts}
    held = [former.get(number, dtype) for number, dtype in zip(manifest.field_ids, schema.dtypes(), strict=True)]
    inside = {name: dtype for name, dtype in zip(columns, held, strict=True) if name}
    there = _scan(folder, parts, pl.Schema(inside)) if inside else _empty_rows(parts)
    # Not select: literals alone would make one row of them.
    return there.with_columns(
        (pl.col(source).cast(dtype) if source else pl.lit(None, dtype)).alias(name)
        for source, (name, dtype) in zip(columns, schema.items(), strict=True)
    ).select(schema.names())


def _scan(folder: PartFolder, parts: Iterable[Part], schema: pl.Schema) -> pl.LazyFrame:
    paths = [part_path(folder.path, part.digest) for part in parts]
    return pl.scan_parquet(paths, schema=schema, extra_columns="ignore", glob=False, hive_partitioning=False)


def _empty_rows(parts: Sequence[Part]) -> pl.LazyFrame:
    """As many rows as the parts have, for parts that hold none of the table's columns any more."""
    return pl.LazyFrame({"": pl.repeat(None, sum(part.rows for part in parts), dtype=pl.Null, eager=True)})


def _check_there(folder: PartFolder, parts: Iterable[Part], what: str) -> None:
    wanted = tuple(parts)
    folder.bring(wanted)
    for part, size in _sizes(folder, wanted):
        if size != part.size_bytes:
            state = "is missing" if size is None else f"has {size} bytes where {part.size_bytes} were written"
            raise _damaged(what, folder, part, state)


def _sizes(folder: PartFolder, parts: Iterable[Part]) -> Iterator[tuple[Part, int | None]]:
    for part in parts:
        try:
            yield part, part_path(folder.path, part.digest).stat().st_size
        except FileNotFoundError:
            yield part, None


def _damaged(what: str, folder: PartFolder, part: Part, state: str) -> Corrupt:
    path = part_path(folder.path, part.digest)
    where = path.parent if folder.kept is None else "tables/ in the object store"
    return Corrupt(
        f"{what} cannot be read: its part {path.name} {state}.",
        why=f"Parts under {where} are never changed or removed by Slipway while a version names them.",
        fix="Restore that file from a backup, or ingest the table again.",
    )
