"""What becomes of rows that come for a table: which stay, which are set aside, and whether all of it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import polars as pl

from slipway.data.check_rules import Rule, definition
from slipway.data.check_run import KEPT_ROWS, Findings, look, sample_of
from slipway.data.checks import Check, NotNull, References, Unique
from slipway.data.declare import Table
from slipway.data.joined import Repeated, Stays, joined
from slipway.data.references import Known
from slipway.data.table_checks import TableCheck
from slipway.records.tables import CheckResult

__all__ = ["Judged", "judge_rows", "row_checks", "table_checks"]

_ROW = "slipway row"
_WORDS = "slipway checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was decided of rows.

    Args:
        rows: Those that may be stored.
        came: How many came.
        nulls: How many nulls each column of those that came has.
        aside: Those to set aside, with the checks that they broke in a last column `slipway checks`; None for none.
        results: What each check found in the version that would be made.
        failing: Some rows that break each check; None where it holds.
    """

    rows: pl.DataFrame | pl.LazyFrame
    came: int
    nulls: dict[str, int]
    aside: pl.DataFrame | None
    results: tuple[CheckResult, ...]
    failing: tuple[pl.DataFrame | None, ...] = field(default=())


def row_checks(table: Table) -> tuple[Check, ...]:
    """The checks of rows: those declared, and that a declared key repeats or a declared time lacks, as warnings."""
    declared = tuple(check for check in table.checks if isinstance(check, Check))
    implied: list[Check] = []
    if table.key and not any(isinstance(c, Unique) and set(c.columns) == set(table.key) for c in declared):
        implied.append(Unique(table.key, "warn"))
    if table.time and not any(isinstance(c, NotNull) and c.column == table.time for c in declared):
        implied.append(NotNull(table.time, "warn"))
    return (*declared, *implied)


def table_checks(table: Table) -> tuple[TableCheck, ...]:
    """The checks of the table as a whole."""
    return tuple(check for check in table.checks if not isinstance(check, Check))


def judge_rows(table: Table, rows: pl.DataFrame | pl.LazyFrame, *, stays: Stays | None, known: Known) -> Judged:
    """Run all checks of rows over rows that come, and over what stays beside them.

    Rows that break a check with the severity "quarantine" are set aside first; all other checks judge the rest.

    Args:
        table: The declaration.
        rows: What comes.
        stays: What the table holds and goes on holding; None where nothing stays.
        known: The values that references may have.

    Raises:
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        NotFound: A reference leads nowhere.
    """
    checks = row_checks(table)
    named = tuple(name for name in table.key if name not in table.about.personal)
    first = look(rows, checks, table=table.name, key=named, keys_of=known.values)
    aside = _aside(rows, first, stays, known, named)
    if aside is None:
        results, failing = _over_both(first, rows, stays, known, named)
        return Judged(rows=rows, came=first.rows, nulls=first.nulls, aside=None, results=results, failing=failing)
    places, counts = aside
    numbered = rows.lazy().with_row_index(_ROW)
    # A filter, unlike a join, lets rows that do not fit into memory stream through.
    left = numbered.filter(pl.col(_ROW).is_in(places[_ROW].implode()).not_()).drop(_ROW)
    kept = left if isinstance(rows, pl.LazyFrame) else left.collect()
    gone = numbered.filter(pl.col(_ROW).is_in(places[_ROW].implode())).collect(engine="streaming")
    out = gone.join(places, on=_ROW, maintain_order="left").sort(_ROW).drop(_ROW)
    second = look(kept, checks, table=table.name, key=named, keys_of=known.values)
    results, failing = _over_both(second, kept, stays, known, named)
    told = [
        _with_aside(result, now, counts.get(place, 0), first.results[place], first.failing[place])
        for place, (result, now) in enumerate(zip(results, failing, strict=True))
    ]
    return Judged(
        rows=kept,
        came=first.rows,
        nulls=first.nulls,
        aside=out,
        results=tuple(result for result, _ in told),
        failing=tuple(now for _, now in told),
    )


def _over_both(
    found: Findings, rows: pl.DataFrame | pl.LazyFrame, stays: Stays | None, known: Known, key: tuple[str, ...]
) -> tuple[tuple[CheckResult, ...], tuple[pl.DataFrame | None, ...]]:
    results, failing = [], []
    for rule, result, rows_failing in zip(found.rules, found.results, found.failing, strict=True):
        came, shown = _against(rule, result, known), rows_failing
        if stays is not None:
            came, again, held = joined(rule, came, rows.lazy(), stays, known, key)
            if again is not None:
                shown = _sharing(rows.lazy(), rule, again)
                came = msgspec.structs.replace(came, sample=sample_of(shown, key) or came.sample)
            shown = _first([shown, held])
        results.append(came)
        failing.append(shown)
    return tuple(results), tuple(failing)


def _against(rule: Rule, result: CheckResult, known: Known) -> CheckResult:
    if not isinstance(rule.check, References):
        return result
    return msgspec.structs.replace(result, definition=definition(rule, known.against(rule.check)))


def _aside(
    rows: pl.DataFrame | pl.LazyFrame, found: Findings, stays: Stays | None, known: Known, key: tuple[str, ...]
) -> tuple[pl.DataFrame, dict[int, int]] | None:
    """The places of the rows to set aside with the checks that they broke, and how many each check."""
    numbered = rows.lazy().with_row_index(_ROW)
    places: list[pl.DataFrame] = []
    counts: dict[int, int] = {}
    for place, (rule, result) in enumerate(zip(found.rules, found.results, strict=True)):
        if rule.check.severity != "quarantine":
            continue
        mine = [numbered.filter(rule.fails).select(_ROW).collect(engine="streaming")] if result.failed_rows else []
        if stays is not None and isinstance(rule.check, Unique):
            _, again, _ = joined(rule, result, rows.lazy(), stays, known, key)
            if again is not None:
                mine.append(_held_already(numbered, again).select(_ROW).collect())
        if mine:
            both = pl.concat(mine).unique()
            counts[place] = both.height
            places.append(both.with_columns(pl.lit(str(rule.check)).alias(_WORDS)))
    if not places:
        return None
    return pl.concat(places).group_by(_ROW).agg(pl.col(_WORDS).sort().str.join("; ")).sort(_ROW), counts


def _with_aside(
    result: CheckResult, now: pl.DataFrame | None, count: int, first: CheckResult, then: pl.DataFrame | None
) -> tuple[CheckResult, pl.DataFrame | None]:
    if not count:
        return result, now
    sample = first.sample or result.sample
    return msgspec.structs.replace(result, passed=False, set_aside=count, sample=sample), _first([then, now])


def _sharing(rows: pl.LazyFrame, rule: Rule, again: Repeated) -> pl.DataFrame:
    """The rows that come and share a key, among themselves or with what is there."""
    numbered = rows.with_row_index(_ROW)
    among = numbered.filter(rule.fails).head(KEPT_ROWS).select(_ROW).collect()
    there = _held_already(numbered, again).head(KEPT_ROWS).select(_ROW).collect()
    places = pl.concat([among, there]).unique().sort(_ROW).head(KEPT_ROWS)
    return numbered.join(places.lazy(), on=_ROW, how="semi").drop(_ROW).collect()


def _held_already(rows: pl.LazyFrame, again: Repeated) -> pl.LazyFrame:
    """The rows that come with a key that is there already."""
    columns = again.keys.columns
    fitted = rows.with_columns(pl.col(name).cast(dtype) for name, dtype in again.keys.schema.items())
    return fitted.join(again.keys.lazy(), on=columns, how="semi", nulls_equal=True)


def _first(frames: Sequence[pl.DataFrame | None]) -> pl.DataFrame | None:
    there = [frame for frame in frames if frame is not None]
    return pl.concat(there, how="diagonal_relaxed").head(KEPT_ROWS) if there else None
