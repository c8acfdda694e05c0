"""All checks of a table in one pass over its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from slipway.data.checks import Between, Check, Matches, NotNull, OneOf, Unique
from slipway.errors import InvalidDeclaration, near
from slipway.records.tables import CheckResult

__all__ = ["SAMPLE_ROWS", "Findings", "look"]

SAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one pass found.

    Args:
        rows: How many there are.
        nulls: How many nulls each column has, in the order of the columns.
        results: One a check, in their order.
    """

    rows: int
    nulls: dict[str, int]
    results: tuple[CheckResult, ...]


def look(
    frame: pl.DataFrame | pl.LazyFrame, checks: Sequence[Check], *, table: str, key: tuple[str, ...] = ()
) -> Findings:
    """Count rows, nulls and the failing rows of every check in a single select; sample keys only where one failed.

    Args:
        frame: The rows; a LazyFrame is really run.
        checks: What must hold.
        table: The table's name, for errors.
        key: The columns that name a row in samples; without one the row's position does.

    Raises:
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    for check in checks:
        _check_columns(check, schema, table)
    failing = [_fails(check, schema).fill_null(False) for check in checks]
    counted = [
        pl.len().alias("rows"),
        *(pl.col(name).null_count().alias(f"null {position}") for position, name in enumerate(schema)),
        *(fails.sum().alias(f"check {position}") for position, fails in enumerate(failing)),
    ]
    try:
        found = lazy.select(counted).collect().row(0, named=True)
    except pl.exceptions.PolarsError as problem:
        misfit = _misfit(lazy, checks, failing, table)
        if misfit is None:
            raise
        raise misfit from problem
    nulls = {name: int(found[f"null {position}"]) for position, name in enumerate(schema)}
    results = []
    for position, (check, fails) in enumerate(zip(checks, failing, strict=True)):
        failed = int(found[f"check {position}"] or 0)
        passed_over = 0 if isinstance(check, Unique | NotNull) else nulls[check.column]
        results.append(
            CheckResult(
                check=str(check),
                passed=not failed,
                severity=check.severity,
                failed_rows=failed,
                rows=found["rows"] - passed_over,
                note=f"{passed_over:,} nulls were passed over." if passed_over else "",
                sample=_sample(lazy, fails, key) if failed else (),
            )
        )
    return Findings(rows=found["rows"], nulls=nulls, results=tuple(results))


def _fails(check: Check, schema: pl.Schema) -> pl.Expr:
    """Whether a row fails; null where the check passes over it."""
    if isinstance(check, Unique):
        return (pl.struct(check.columns) if len(check.columns) > 1 else pl.col(check.columns[0])).is_duplicated()
    column = pl.col(check.column)
    if isinstance(check, NotNull):
        return column.is_null()
    if isinstance(check, Between):
        low = pl.lit(True) if check.low is None else column >= check.low
        high = pl.lit(True) if check.high is None else column <= check.high
        # Polars holds NaN for the greatest number: without an upper bound it would pass.
        strange = column.is_nan() if schema[check.column].is_float() else pl.lit(False)
        return (low & high).not_() | strange
    if isinstance(schema[check.column], pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if isinstance(check, OneOf):
        return column.is_in(list(check.values)).not_()
    return column.str.contains(rf"\A(?:{check.pattern})\z").not_()


def _check_columns(check: Check, schema: pl.Schema, table: str) -> None:
    for name in check.columns:
        if name not in schema:
            raise InvalidDeclaration(
                f"The check '{check}' of the table {table!r} names the column {name!r}, which is not there.",
                why=near(name, schema, what="columns"),
            )


def _misfit(
    lazy: pl.LazyFrame, checks: Sequence[Check], failing: Sequence[pl.Expr], table: str
) -> InvalidDeclaration | None:
    """Which check does not fit its column, None when the rows themselves cannot be had."""
    schema = lazy.collect_schema()
    for check, fails in zip(checks, failing, strict=True):
        try:
            lazy.head(1).select(fails.sum()).collect()
        except pl.exceptions.PolarsError as problem:
            types = ", ".join(f"{name} is {schema[name]}" for name in check.columns)
            fix = "Use an expression without look-around." if isinstance(check, Matches) else "Give values of its type."
            return InvalidDeclaration(
                f"The check '{check}' of the table {table!r} does not fit its column: {types}.",
                why=str(problem).splitlines()[0],
                fix=fix,
            )
    return None


def _sample(lazy: pl.LazyFrame, fails: pl.Expr, key: tuple[str, ...]) -> tuple[str, ...]:
    schema = lazy.collect_schema()
    named = [_text(column, schema[column]).fill_null("null") for column in key]
    label = pl.concat_str(named, separator="|") if named else pl.format("row {}", pl.int_range(pl.len()) + 1)
    rows = lazy.select(label.alias("label"), fails.alias("fails")).filter("fails").head(SAMPLE_ROWS).collect()
    return tuple(rows["label"].to_list())


def _text(column: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(column).dt.to_string("iso:strict") if dtype.is_temporal() else pl.col(column).cast(pl.String)
