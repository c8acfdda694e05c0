"""Checks of what a table holds already together with what comes: counts add up, keys are looked up.

Appending costs what comes, not what is there: the counts of the version before are taken over where they are of the
same check, and a unique key is looked up in the key's columns only, in those parts whose range of keys it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import polars as pl

from slipway.data.check_rules import Rule, definition
from slipway.data.check_run import look
from slipway.data.checks import References, Unique
from slipway.data.references import Known
from slipway.ports.workspace import Workspace
from slipway.records.tables import CheckResult, TableVersion
from slipway.tables.versions import read, reads

__all__ = ["Repeated", "Stays", "joined", "repeated", "stays_of", "winners"]

_HELD, _CAME = "slipway held", "slipway came"
_PRUNED = (pl.String, pl.Date, pl.Datetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """What a table holds already and will go on holding.

    Args:
        version: The current version.
        rows: Its rows that stay, lazily.
        count: How many they are.
        is_all: Whether all of its rows stay.
        key: The columns by which rows are replaced, () where none are.
    """

    version: TableVersion
    rows: pl.LazyFrame
    count: int
    is_all: bool
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """Keys among the rows that come which are there already: each once, and how often it is there and comes.

    Args:
        keys: The keys' columns.
        failed: How many rows of both together share their key with another.
    """

    keys: pl.DataFrame
    failed: int


def stays_of(
    workspace: Workspace, version: TableVersion, rows: pl.LazyFrame, *, replaced_by: tuple[str, ...] = ()
) -> Stays:
    """What stays when rows come: everything, or what has none of their keys.

    Args:
        workspace: Whose store is read.
        version: The current version.
        rows: What comes.
        replaced_by: The key by which rows are replaced, () where all stay.
    """
    with reads.filled([]):
        held = read(workspace, version.name, version.version)
    if not replaced_by:
        return Stays(version=version, rows=held, count=version.rows, is_all=True)
    keys = _keys(rows, replaced_by, held.collect_schema())
    hits = _near(held, keys).join(keys, on=replaced_by, how="semi", nulls_equal=True)
    gone = int(hits.select(pl.len()).collect(engine="streaming").item())
    left = held.join(keys, on=replaced_by, how="anti", nulls_equal=True)
    return Stays(version=version, rows=left, count=version.rows - gone, is_all=not gone, key=replaced_by)


def winners(
    workspace: Workspace, version: TableVersion, rows: pl.LazyFrame, *, key: tuple[str, ...], time: str
) -> pl.LazyFrame:
    """The rows that come without those that are older than the row of their key that is there.

    Args:
        workspace: Whose store is read.
        version: The current version.
        rows: What comes.
        key: The columns that identify a row.
        time: The column that tells which row is newer; a row without a time is older than any other.
    """
    with reads.filled([]):
        held = read(workspace, version.name, version.version).select(*key, time)
    there = _near(held, _keys(rows, key, held.collect_schema())).rename({time: _HELD})
    both = rows.join(there, on=key, how="left", nulls_equal=True, maintain_order="left")
    newer = pl.col(_HELD).is_null() | (pl.col(time) >= pl.col(_HELD)).fill_null(False)
    return both.filter(newer).drop(_HELD)


def repeated(rule: Rule, came: CheckResult, rows: pl.LazyFrame, stays: Stays, held_failed: int) -> Repeated | None:
    """The keys of a `unique` check that come and are there already; None where there are none.

    Args:
        rule: The check.
        came: What it found among the rows that come.
        rows: The rows that come.
        stays: What is there.
        held_failed: How many rows of what is there share their key with another.
    """
    columns = list(rule.columns)
    if stays.key and set(stays.key) <= set(columns):
        return None
    keys = _keys(rows, rule.columns, stays.rows.collect_schema())
    held = _near(stays.rows.select(columns), keys).join(keys, on=columns, how="semi", nulls_equal=True)
    there = held.collect(engine="streaming")
    if there.is_empty():
        return None
    old = there.group_by(columns).len(_HELD)
    comes = keys.join(old.lazy(), on=columns, how="semi", nulls_equal=True).group_by(columns).len(_CAME).collect()
    both = old.join(comes, on=columns, nulls_equal=True)
    counted = both.select(
        together=(pl.col(_HELD) + pl.col(_CAME)).sum(),
        counted_old=pl.col(_HELD).filter(pl.col(_HELD) > 1).sum(),
        counted_new=pl.col(_CAME).filter(pl.col(_CAME) > 1).sum(),
    ).row(0, named=True)
    failed = held_failed + came.failed_rows + counted["together"] - counted["counted_old"] - counted["counted_new"]
    return Repeated(keys=both.select(columns), failed=int(failed))


def joined(
    rule: Rule, came: CheckResult, rows: pl.LazyFrame, stays: Stays, known: Known, key: tuple[str, ...]
) -> tuple[CheckResult, Repeated | None, pl.DataFrame | None]:
    """What a check finds in what stays and what comes together.

    Args:
        rule: The check.
        came: What it found among the rows that come.
        rows: The rows that come.
        stays: What is there.
        known: The values that references may have.
        key: The columns that name a row in samples.

    Returns:
        The result; the keys that come and are there already; failing rows of what is there, where they were looked for.
    """
    held, failing = _held(rule, stays, known, key)
    total = came.rows + held.rows
    if isinstance(rule.check, Unique):
        found = repeated(rule, came, rows, stays, held.failed_rows) if came.rows else None
        failed = held.failed_rows + came.failed_rows if found is None else found.failed
    else:
        found, failed = None, held.failed_rows + came.failed_rows
    result = msgspec.structs.replace(
        came,
        passed=not failed,
        failed_rows=failed,
        rows=total,
        sample=(came.sample or held.sample) if failed else (),
        failing=held.failing if failed else "",
    )
    return result, found, failing


def _held(rule: Rule, stays: Stays, known: Known, key: tuple[str, ...]) -> tuple[CheckResult, pl.DataFrame | None]:
    """What the check finds in what stays: as was found before, or by looking at it now."""
    same = {definition(rule, version) for version in _versions(rule, known)}
    for former in stays.version.checks:
        if former.definition and former.definition in same and not former.undecided:
            if stays.is_all:
                return former, None
            if not former.failed_rows:
                return msgspec.structs.replace(former, rows=min(former.rows, stays.count)), None
    missing = set(rule.columns) - set(stays.rows.collect_schema())
    if missing:  # a column that comes new: what is there has only nulls in it
        held = CheckResult(check=str(rule.check), passed=True, severity=rule.check.severity, failed_rows=0, rows=0)
        return held, None
    found = look(stays.rows, [rule.check], table=stays.version.name, key=key, keys_of=known.values)
    return found.results[0], found.failing[0]


def _versions(rule: Rule, known: Known) -> tuple[str, ...]:
    return known.before(rule.check) if isinstance(rule.check, References) else ("",)


def _keys(rows: pl.LazyFrame, columns: tuple[str, ...], held: pl.Schema) -> pl.LazyFrame:
    """The keys that come, in the types in which they are held, in memory."""
    came = rows.collect_schema()
    fitting = [pl.col(name) if came[name] == held[name] else pl.col(name).cast(held[name]) for name in columns]
    return rows.select(fitting).collect().lazy()


def _near(held: pl.LazyFrame, keys: pl.LazyFrame) -> pl.LazyFrame:
    """What is held within the range of the keys that come: Parquet's statistics tell which parts can be left out."""
    schema = keys.collect_schema()
    bounded = [name for name, dtype in schema.items() if dtype.is_integer() or isinstance(dtype, _PRUNED)]
    if not bounded:
        return held
    ranges = [
        part
        for name in bounded
        for part in (
            pl.col(name).min().alias(f"low {name}"),
            pl.col(name).max().alias(f"high {name}"),
            pl.col(name).null_count().alias(f"nulls {name}"),
        )
    ]
    found = keys.select(ranges).collect().row(0, named=True)
    for name in bounded:
        if found[f"low {name}"] is not None and not found[f"nulls {name}"]:
            # A plain text would be taken for the name of a column.
            low, high = (pl.lit(found[f"{side} {name}"], dtype=schema[name]) for side in ("low", "high"))
            held = held.filter(pl.col(name).is_between(low, high))
    return held
