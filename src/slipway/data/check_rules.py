"""What checks of rows mean in Polars: for each an expression that is true where a row fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce

import polars as pl

from slipway.data.checks import Between, Bound, Check, Custom, Matches, NotNull, OneOf, References, Unique
from slipway.errors import InvalidDeclaration, SlipwayError, near
from slipway.hashing import digest
from slipway.schema.types import in_utc

__all__ = ["Rule", "check_columns", "check_row_by_row", "definition", "distinct", "rules_of"]

_PROBE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Rule:
    """A check over columns of known types.

    Args:
        check: The check.
        fails: True where a row fails, null where the check passes over it.
        columns: What it looks at.
    """

    check: Check
    fails: pl.Expr
    columns: tuple[str, ...]

    @property
    def passes_over_nulls(self) -> bool:
        """Whether a null is neither right nor wrong."""
        return not isinstance(self.check, Unique | NotNull)


def rules_of(
    checks: Sequence[Check], schema: pl.Schema, *, table: str, keys_of: Callable[[References], pl.Series]
) -> list[Rule]:
    """The rules of checks over columns.

    Args:
        checks: What must hold.
        schema: The columns.
        table: The table's name, for errors.
        keys_of: The values that a reference may have.

    Raises:
        InvalidDeclaration: A check names a column that is not there, or does not fit its type.
        NotFound: A reference leads nowhere.
    """
    return [_rule(check, schema, table, keys_of) for check in checks]


def definition(rule: Rule, against: str = "") -> str:
    """A short hash of what a check says, equal as long as it says the same; what follows from a failure is left out.

    Args:
        rule: The check.
        against: The version of the other table that a reference was looked up in.
    """
    check = rule.check
    if isinstance(check, Custom):
        return digest(rule.fails.meta.serialize(format="binary"))[:16]
    said = repr(replace(check, severity="block"))
    return digest(f"{said} {against}".encode() if isinstance(check, References) else said.encode())[:16]


def distinct(columns: Sequence[str], schema: pl.Schema) -> pl.Expr:
    """At most how many different values columns have together: as many as there are rows only where all differ.

    It counts hashes where that is quicker than counting values. Equal values have equal hashes, so that as many hashes
    as rows prove that all rows differ; with fewer, whoever asks must look at the values.
    """
    if len(columns) > 1:
        hashed = [pl.col(name).hash(seed) for seed, name in enumerate(columns)]
        return reduce(lambda one, other: one ^ other, hashed).n_unique()
    column = pl.col(columns[0])
    return (column.hash() if schema[columns[0]] == pl.String else column).n_unique()


def check_row_by_row(rules: Sequence[Rule], rows: pl.LazyFrame, table: str) -> None:
    """Refuse expressions of the user's own that look at other rows: a few rows forth, back and in two halves.

    Raises:
        InvalidDeclaration: One of them does.
    """
    own = [rule for rule in rules if isinstance(rule.check, Custom)]
    if not own:
        return
    probe = rows.head(_PROBE_ROWS).collect()
    half = probe.height // 2
    if not half:
        return
    for rule in own:
        forth = probe.select(rule.fails).to_series()
        back = probe.reverse().select(rule.fails).to_series().reverse()
        halves = [probe[:half].select(rule.fails).to_series(), probe[half:].select(rule.fails).to_series()]
        apart = pl.concat(halves)
        if len(forth) != probe.height or forth.to_list() != back.to_list() or forth.to_list() != apart.to_list():
            raise InvalidDeclaration(
                f"The check '{rule.check}' of the table {table!r} looks at more than one row at a time.",
                why="Its answer would depend on the order of the rows and on what is appended.",
                fix="Compute the column from other rows in the table's function, and check that column.",
            )


def check_columns(check: object, columns: Sequence[str], schema: pl.Schema, table: str) -> None:
    """Refuse a check of a column that is not there.

    Raises:
        InvalidDeclaration: That.
    """
    for name in columns:
        if name not in schema:
            raise InvalidDeclaration(
                f"The check '{check}' of the table {table!r} names the column {name!r}, which is not there.",
                why=near(name, schema, what="columns"),
            )


def _rule(check: Check, schema: pl.Schema, table: str, keys_of: Callable[[References], pl.Series]) -> Rule:
    if isinstance(check, Custom):
        holds = _own_expression(check, table)
        columns = tuple(holds.meta.root_names())
        check_columns(check, columns, schema, table)
        fails = holds.not_()
    else:
        columns = check.columns
        check_columns(check, columns, schema, table)
        try:
            fails = _fails(check, schema, keys_of)
        except (TypeError, pl.exceptions.PolarsError) as problem:
            raise _misfit(check, columns, schema, table, problem) from problem
    rule = Rule(check, fails, columns)
    _try_on_types(rule, schema, table)
    return rule


def _own_expression(check: Custom, table: str) -> pl.Expr:
    try:
        made = check.expression()
    except SlipwayError:
        raise
    except Exception as problem:
        raise InvalidDeclaration(
            f"The check '{check}' of the table {table!r} raised {type(problem).__name__}: {problem}",
            fix="Its function takes nothing and returns a Polars expression.",
        ) from problem
    if not isinstance(made, pl.Expr):
        raise InvalidDeclaration(
            f"The check '{check}' of the table {table!r} returned {type(made).__name__}.",
            why="A Polars expression of booleans is expected.",
            fix='For example: lambda: pl.col("arrival") > pl.col("departure").',
        )
    return made


def _fails(check: Check, schema: pl.Schema, keys_of: Callable[[References], pl.Series]) -> pl.Expr:
    if isinstance(check, Unique):
        return (pl.struct(check.columns) if len(check.columns) > 1 else pl.col(check.columns[0])).is_duplicated()
    assert not isinstance(check, Custom)
    column = pl.col(check.column)
    if isinstance(check, NotNull):
        return column.is_null()
    if isinstance(check, Between):
        value = in_utc(check.column, schema[check.column])
        low = pl.lit(True) if check.low is None else value >= _bound(check.low)
        high = pl.lit(True) if check.high is None else value <= _bound(check.high)
        # Polars holds NaN for the greatest number: without an upper bound it would pass.
        strange = column.is_nan() if schema[check.column].is_float() else pl.lit(False)
        return (low & high).not_() | strange
    if isinstance(schema[check.column], pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if isinstance(check, OneOf):
        return column.is_in(list(check.values)).not_()
    if isinstance(check, References):
        known = keys_of(check)
        if isinstance(known.dtype, pl.Categorical | pl.Enum):
            known = known.cast(pl.String)
        return column.is_in(known.implode()).not_()
    return column.str.contains(rf"\A(?:{check.pattern})\z").not_()


def _bound(given: Bound) -> Bound:
    return given.astimezone(UTC) if isinstance(given, datetime) and given.tzinfo is not None else given


def _try_on_types(rule: Rule, schema: pl.Schema, table: str) -> None:
    """Run a rule over no rows: what does not fit is found before any row is read."""
    none = pl.DataFrame(schema={name: schema[name] for name in rule.columns})
    # Over no rows Polars skips what it can, such as the compilation of a regular expression: one row of nulls is read.
    row = none.clear(1) if none.width else pl.DataFrame({"": [None]})
    if isinstance(rule.check, Matches) and schema[rule.check.column] == pl.String:
        row = pl.DataFrame({rule.check.column: [""]})
    try:
        found = row.select(rule.fails)
    except (TypeError, pl.exceptions.PolarsError) as problem:
        raise _misfit(rule.check, rule.columns, schema, table, problem) from problem
    if found.width != 1 or found.to_series().dtype != pl.Boolean:
        raise InvalidDeclaration(
            f"The check '{rule.check}' of the table {table!r} gives {', '.join(map(str, found.dtypes))}.",
            why="One column that is true or false is expected.",
            fix="Compare something in it: pl.col('a') > pl.col('b').",
        )


def _misfit(
    check: Check, columns: Sequence[str], schema: pl.Schema, table: str, problem: Exception
) -> InvalidDeclaration:
    types = ", ".join(f"{name} is {schema[name]}" for name in columns)
    fix = "Give values of its type."
    if isinstance(check, Matches) and schema[check.column] in (pl.String, pl.Categorical, pl.Enum):
        fix = "Use an expression without look-around."
    if isinstance(check, Custom):
        fix = "Mend the expression, or cast the column in it."
    return InvalidDeclaration(
        f"The check '{check}' of the table {table!r} does not fit its column: {types or 'no column'}.",
        why=str(problem).splitlines()[0],
        fix=fix,
    )
