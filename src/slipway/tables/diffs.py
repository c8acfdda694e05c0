"""What differs between two versions, in words and numbers. Only parts that one of them alone has are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from slipway.operations.table_versions import DiffTables
from slipway.ports.workspace import Workspace
from slipway.records.table_changes import ColumnChange, RowChange, TableDiff
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.schema.dtypes import dtype_of
from slipway.tables.catalog import manifest_of, words
from slipway.tables.conform import is_wider
from slipway.tables.part_cache import part_folder
from slipway.tables.personal import MASK, Personal, check_readable
from slipway.tables.resolve import Version, resolve
from slipway.tables.scans import scan_parts

__all__ = ["diff", "diff_tables"]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column that both versions have, by its id."""

    old: str
    new: str
    dtype: pl.DataType


def diff(
    workspace: Workspace, table: str, before: Version, after: Version, *, project: str | None = None, sample: int = 5
) -> TableDiff:
    """Compare two versions of a table: columns by their ids, rows by the key where the later version has one.

    Args:
        workspace: Whose store is read.
        table: The table's name.
        before: The earlier version, as `resolve` takes it.
        after: The later one.
        project: The table's project, None for the workspace's own.
        sample: How many changed rows are shown at most.

    Raises:
        NotFound: There is no such table or version, or its rows were cleaned away.
        Corrupt: A manifest or a part is missing or altered.
    """
    old = resolve(workspace, table, before, project=project)
    new = resolve(workspace, table, after, project=project)
    if old.version == new.version:
        return _nothing(old)
    was, now = manifest_of(workspace, old), manifest_of(workspace, new)
    columns, pairs = _columns(was, now)
    gone, come = _only(was.parts, now.parts), _only(now.parts, was.parts)
    left = _rows(workspace, old, was, gone).select(
        pl.col(p.old).cast(p.dtype, strict=False).alias(p.new) for p in pairs
    )
    right = _rows(workspace, new, now, come).select(p.new for p in pairs)
    key = tuple(name for name in now.key if name in {p.new for p in pairs})
    if not pairs:
        found = _Found(new.rows, old.rows)
    elif key and key == now.key and _is_unique(left, key) and _is_unique(right, key):
        known = Personal(workspace)
        former = set(known.names_in(old))
        personal = (*known.names_in(new), *(p.new for p in pairs if p.old in former))
        found = _by_key(left, right, key, [p.new for p in pairs if p.new not in key], sample, personal)
    else:
        key, found = (), _as_a_whole(left, right)
    return TableDiff(
        table=table,
        before=old.number,
        after=new.number,
        columns=columns,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        by_column=found.by_column,
        sample=found.sample,
        key=key,
        parts=len(gone) + len(come),
        words=_words(old, new, columns, found, keyed=bool(key)),
    )


def diff_tables(workspace: Workspace, request: DiffTables) -> TableDiff:
    """What differs between two versions; see `diff`.

    Raises:
        Denied: The table names its readers, and the actor is none.
    """
    check_readable(workspace, request.name)
    return diff(workspace, request.name, request.before, request.after, sample=request.sample)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was counted."""

    added: int
    removed: int
    changed: int = 0
    by_column: dict[str, int] = field(default_factory=dict)
    sample: tuple[RowChange, ...] = ()


def _nothing(version: TableVersion) -> TableDiff:
    return TableDiff(
        table=version.name,
        before=version.number,
        after=version.number,
        columns=(),
        added=0,
        removed=0,
        changed=0,
        by_column={},
        sample=(),
        key=(),
        parts=0,
        words=("Both are the same version.",),
    )


def _columns(was: Manifest, now: Manifest) -> tuple[tuple[ColumnChange, ...], list[_Pair]]:
    old = {n: (f.name, dtype_of(t)) for n, f, t in zip(was.field_ids, was.fields, was.types, strict=True)}
    new = {n: (f.name, dtype_of(t)) for n, f, t in zip(now.field_ids, now.fields, now.types, strict=True)}
    changes = [ColumnChange(kind="dropped", name=name) for number, (name, _) in old.items() if number not in new]
    pairs = []
    for number, (name, dtype) in new.items():
        if number not in old:
            changes.append(ColumnChange(kind="added", name=name, after=str(dtype)))
            continue
        former, held = old[number]
        pairs.append(_Pair(former, name, dtype))
        if former != name:
            changes.append(ColumnChange(kind="renamed", name=name, before=former, after=name))
        if held != dtype:
            kind = "widened" if is_wider(held, dtype) else "retyped"
            changes.append(ColumnChange(kind=kind, name=name, before=str(held), after=str(dtype)))  # type: ignore[arg-type]
    return tuple(changes), pairs


def _only(these: Sequence[Part], those: Sequence[Part]) -> list[Part]:
    """The parts that are not among the others, each as often as it is there more often."""
    others = Counter(part.digest for part in those)
    found = []
    for part in these:
        others[part.digest] -= 1
        if others[part.digest] < 0:
            found.append(part)
    return found


def _rows(workspace: Workspace, version: TableVersion, manifest: Manifest, parts: list[Part]) -> pl.LazyFrame:
    folder = part_folder(workspace, version.name, project=version.project)
    return scan_parts(folder, manifest, words(version), parts)


def _is_unique(rows: pl.LazyFrame, key: tuple[str, ...]) -> bool:
    named = [pl.col(name).alias(f"k{n}") for n, name in enumerate(key)]
    counted = rows.group_by(named).len("rows").select(pl.col("rows").max()).collect(engine="streaming")
    return (counted.item() or 0) <= 1


def _by_key(
    left: pl.LazyFrame,
    right: pl.LazyFrame,
    key: tuple[str, ...],
    values: list[str],
    sample: int,
    personal: tuple[str, ...],
) -> _Found:
    keys = [f"k{n}" for n in range(len(key))]
    named = [pl.col(name).alias(k) for k, name in zip(keys, key, strict=True)]

    def side(rows: pl.LazyFrame, mark: str) -> pl.LazyFrame:
        return rows.select(*named, *(pl.col(v).alias(f"{mark}{n}") for n, v in enumerate(values))).with_columns(
            pl.lit(True).alias(f"in_{mark}")
        )

    both = side(left, "a").join(side(right, "b"), on=keys, how="full", coalesce=True, nulls_equal=True)
    matched = pl.col("in_a").is_not_null() & pl.col("in_b").is_not_null()
    differs = [matched & pl.col(f"a{n}").ne_missing(pl.col(f"b{n}")) for n in range(len(values))]
    is_changed = pl.any_horizontal(differs) if differs else pl.lit(False)
    counts = both.select(
        pl.col("in_a").is_null().sum().alias("added"),
        pl.col("in_b").is_null().sum().alias("removed"),
        is_changed.sum().alias("changed"),
        *(each.sum().alias(f"c{n}") for n, each in enumerate(differs)),
    )
    found = counts.collect(engine="streaming").row(0, named=True)
    is_shown = found["changed"] and sample
    shown = both.filter(is_changed).bottom_k(sample, by=keys).sort(keys).collect() if is_shown else pl.DataFrame()
    rows = tuple(_said_row(row, key, values, personal) for row in shown.iter_rows(named=True))
    by_column = {name: found[f"c{n}"] for n, name in enumerate(values) if found[f"c{n}"]}
    return _Found(found["added"], found["removed"], found["changed"], by_column, rows)


def _said_row(row: dict[str, object], key: tuple[str, ...], values: list[str], personal: tuple[str, ...]) -> RowChange:
    def said(name: str, value: object) -> str:
        return MASK if name in personal else "null" if value is None else str(value)

    return RowChange(
        key=", ".join(f"{name} = {said(name, row[f'k{n}'])}" for n, name in enumerate(key)),
        columns=tuple(
            (name, said(name, row[f"a{n}"]), said(name, row[f"b{n}"]))
            for n, name in enumerate(values)
            if not _same(row[f"a{n}"], row[f"b{n}"])
        ),
    )


def _same(one: object, other: object) -> bool:
    """Whether two values are the same to Polars, which holds NaN for equal to itself."""
    return one == other or (one != one and other != other)


def _as_a_whole(left: pl.LazyFrame, right: pl.LazyFrame) -> _Found:
    names = left.collect_schema().names()
    keys = [f"k{n}" for n in range(len(names))]
    named = [pl.col(name).alias(k) for k, name in zip(keys, names, strict=True)]
    counted = [rows.select(named).group_by(keys).len(mark) for rows, mark in ((left, "a"), (right, "b"))]
    both = counted[0].join(counted[1], on=keys, how="full", coalesce=True, nulls_equal=True)
    more = pl.col("b").fill_null(0).cast(pl.Int64) - pl.col("a").fill_null(0).cast(pl.Int64)
    found = both.select(added=more.clip(0).sum(), removed=(-more).clip(0).sum()).collect(engine="streaming")
    return _Found(*found.row(0))


def _words(
    old: TableVersion, new: TableVersion, columns: tuple[ColumnChange, ...], found: _Found, *, keyed: bool
) -> tuple[str, ...]:
    said = []
    for change in columns:
        sentences = {
            "added": f"The column {change.name} ({change.after}) was added.",
            "dropped": f"The column {change.name} was dropped.",
            "renamed": f"The column {change.before} was renamed to {change.name}.",
            "widened": f"The column {change.name} was widened from {change.before} to {change.after}.",
            "retyped": f"The column {change.name} changed from {change.before} to {change.after}.",
        }
        said.append(sentences[change.kind])
    rows = f"{found.added:,} rows were added, {found.removed:,} removed"
    if keyed:
        columns_changed = ", ".join(f"{name} in {count:,}" for name, count in found.by_column.items())
        rows += f", {found.changed:,} changed{f' ({columns_changed})' if columns_changed else ''}"
    if old.fingerprint == new.fingerprint:
        said.append("Both versions have the same content.")
    elif not (found.added or found.removed or found.changed):
        said.append("The rows are the same; their order may not be.")
    else:
        said.append(f"{rows}.")
    return tuple(said)
