"""All checks of rows in one pass over them; only what failed is looked at again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from slipway.data.check_rules import Rule, check_row_by_row, definition, distinct, rules_of
from slipway.data.checks import Check, References, Unique
from slipway.errors import InvalidDeclaration
from slipway.records.tables import CheckResult

__all__ = ["KEPT_ROWS", "SAMPLE_ROWS", "Findings", "as_text", "look", "sample_of"]

SAMPLE_ROWS = 5
KEPT_ROWS = 1_000
"""How many failing rows of a check are kept with its result."""

_ROW = "slipway row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one pass found.

    Args:
        rows: How many there are.
        nulls: How many nulls each column has, in the order of the columns.
        rules: One a check, in their order.
        results: One a check, in their order.
        failing: For each check the first failing rows, at most `KEPT_ROWS`; None where it holds.
    """

    rows: int
    nulls: dict[str, int]
    rules: tuple[Rule, ...]
    results: tuple[CheckResult, ...]
    failing: tuple[pl.DataFrame | None, ...]


def look(
    frame: pl.DataFrame | pl.LazyFrame,
    checks: Sequence[Check],
    *,
    table: str,
    key: tuple[str, ...] = (),
    keys_of: Callable[[References], pl.Series] | None = None,
) -> Findings:
    """Count rows, nulls and the failing rows of every check in a single select; find rows only where one failed.

    Args:
        frame: The rows; a LazyFrame is really run, in a stream where it does not fit into memory.
        checks: What must hold.
        table: The table's name, for errors.
        key: The columns that name a row in samples; without one the row's position does.
        keys_of: The values that a reference may have.

    Raises:
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        NotFound: A reference leads nowhere.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    rules = rules_of(checks, schema, table=table, keys_of=keys_of or _nowhere)
    check_row_by_row(rules, lazy, table)
    counted = [
        pl.len().alias("rows"),
        *(pl.col(name).null_count().alias(f"null {position}") for position, name in enumerate(schema)),
        *(_count(rule, schema).alias(f"check {position}") for position, rule in enumerate(rules)),
    ]
    streamed = isinstance(frame, pl.LazyFrame)
    found = lazy.select(counted).collect(engine="streaming" if streamed else "auto").row(0, named=True)
    rows, nulls = found["rows"], {name: int(found[f"null {position}"]) for position, name in enumerate(schema)}
    results, failing = [], []
    for position, rule in enumerate(rules):
        failed = int(found[f"check {position}"] or 0)
        if isinstance(rule.check, Unique) and failed < rows:
            failed = int(lazy.select(rule.fails.sum()).collect().item())
        elif isinstance(rule.check, Unique):
            failed = 0
        kept = _kept(lazy.with_row_index(_ROW), rule) if failed else None
        results.append(_result(rule, rows, failed, nulls, kept, key))
        failing.append(None if kept is None else kept.drop(_ROW))
    return Findings(rows=rows, nulls=nulls, rules=tuple(rules), results=tuple(results), failing=tuple(failing))


def _kept(numbered: pl.LazyFrame, rule: Rule) -> pl.DataFrame:
    """The first rows that fail."""
    failing = numbered.filter(rule.fails).head(KEPT_ROWS)
    if not isinstance(rule.check, Unique):
        return failing.collect(engine="streaming").sort(_ROW)
    # Which rows share a key is found in the key's columns; only then the other columns of these few rows are read.
    places = failing.select(_ROW).collect()
    return numbered.join(places.lazy(), on=_ROW, how="semi").collect(engine="streaming").sort(_ROW)


def _count(rule: Rule, schema: pl.Schema) -> pl.Expr:
    return distinct(rule.columns, schema) if isinstance(rule.check, Unique) else rule.fails.sum()


def _result(
    rule: Rule, rows: int, failed: int, nulls: dict[str, int], kept: pl.DataFrame | None, key: tuple[str, ...]
) -> CheckResult:
    passed_over = nulls[rule.columns[0]] if rule.passes_over_nulls and len(rule.columns) == 1 else 0
    return CheckResult(
        check=str(rule.check),
        passed=not failed,
        severity=rule.check.severity,
        failed_rows=failed,
        rows=rows - passed_over,
        note=f"{passed_over:,} {'null was' if passed_over == 1 else 'nulls were'} passed over." if passed_over else "",
        sample=() if kept is None else _sample(kept, key),
        definition=definition(rule),
    )


def sample_of(kept: pl.DataFrame, key: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of the first few rows as text; () without a key."""
    if not key:
        return ()
    few = kept.head(SAMPLE_ROWS)
    texts = (as_text(few[column]).fill_null("null").to_list() for column in key)
    return tuple("|".join(row) for row in zip(*texts, strict=True))


def _sample(kept: pl.DataFrame, key: tuple[str, ...]) -> tuple[str, ...]:
    return sample_of(kept, key) or tuple(f"row {place + 1}" for place in kept[_ROW].head(SAMPLE_ROWS))


def as_text(values: pl.Series) -> pl.Series:
    """Values of any type as text; a null stays one."""
    if values.dtype.is_nested() or isinstance(values.dtype, pl.Binary | pl.Object):  # Polars has no text for them
        told = [None if value is None else str(value) for value in values.to_list()]
        return pl.Series(values.name, told, dtype=pl.String)
    return values.dt.to_string("iso:strict") if values.dtype.is_temporal() else values.cast(pl.String)


def _nowhere(check: References) -> pl.Series:
    raise InvalidDeclaration(f"The check '{check}' needs the other table.", fix="Write the table through its project.")
