"""What readers of sources share: rows that are new, and batches on disk that become one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.ports.source import Ask

__all__ = ["EXACT", "exact_beside_fractions", "joined", "newer", "not_exact"]

EXACT = 2**53
"""Up to here each whole number is a floating-point number too."""


def newer(rows: pl.LazyFrame, ask: Ask, what: str) -> pl.LazyFrame:
    """The rows whose watermark is not less than what is asked for.

    Raises:
        InvalidInput: The watermark's column is not there, or has another type than the watermark.
    """
    if not ask.column:
        return rows
    schema = rows.collect_schema()
    if not schema:  # no rows, and a format that then names no columns
        return rows
    if ask.column not in schema:
        raise InvalidInput(
            f"The watermark {ask.column!r} is no column of {what}.",
            why=near(ask.column, schema, what="columns"),
            field=ask.column,
        )
    if ask.since is None:
        return rows
    dtype, mark = schema[ask.column], pl.col(ask.column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        mark = mark.dt.convert_time_zone("UTC")  # Polars compares no two time zones with each other
    is_newer = mark >= pl.lit(ask.since)
    try:
        pl.Series(ask.column, [None], dtype=dtype).to_frame().select(is_newer)
    except pl.exceptions.PolarsError as problem:
        raise InvalidInput(
            f"The watermark {ask.column!r} of {what} is {dtype} now, and was {ask.since!r} before.",
            fix="Read everything again: slipway data sync TABLE --full",
            field=ask.column,
        ) from problem
    return rows.filter(is_newer)


def joined(batches: Sequence[Path], what: str) -> pl.LazyFrame:
    """Batches that were written as Parquet, as one frame: a column's type is the one that holds all its values.

    Raises:
        InvalidInput: A column's values are of types that do not go together.
    """
    scans = [pl.scan_parquet(batch, glob=False, hive_partitioning=False) for batch in batches]
    schemas = [scan.collect_schema() for scan in scans]
    wanted = dict(schemas[0])
    for schema in schemas[1:]:
        for name, dtype in schema.items():
            both = _of_both(wanted[name], dtype)
            if both is None:
                raise InvalidInput(
                    f"The column {name!r} of {what} holds {wanted[name]} in some rows and {dtype} in others.",
                    fix="Cast it in the query: cast(... as varchar).",
                    field=name,
                )
            wanted[name] = both
    exact_beside_fractions(scans, pl.Schema(wanted), what)
    return pl.concat([scan.cast(pl.Schema(wanted)) for scan in scans]) if len(scans) > 1 else scans[0]


def exact_beside_fractions(scans: Sequence[pl.LazyFrame], together: pl.Schema, what: str) -> None:
    """Refuse whole numbers in some frames that would not be what they were as the fractions that others hold.

    Args:
        scans: The frames.
        together: The types that their columns get.
        what: Names the source in the error.

    Raises:
        InvalidInput: A column has both.
    """
    for scan in scans:
        schema = scan.collect_schema()
        whole = [name for name, dtype in schema.items() if dtype.is_integer() and together[name].is_float()]
        if not whole:
            continue
        mine = [pl.nth(schema.names().index(name)) for name in whole]
        large = [((each > EXACT) | (each < -EXACT)).any() for each in mine]
        found = scan.select(large).collect(engine="streaming").row(0)
        name = next((name for name, is_large in zip(whole, found, strict=True) if is_large), "")
        if name:
            raise not_exact(name, what)


def not_exact(name: str, what: str) -> InvalidInput:
    """The error of a column whose whole numbers would not stay what they are."""
    return InvalidInput(
        f"The column {name!r} of {what} holds whole numbers beyond 2^53 in some rows and fractions in others.",
        why="As floating-point numbers they would not be what they were.",
        fix="Give it as text or as whole numbers alone.",
        field=name,
    )


def _of_both(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    if one == other or isinstance(other, pl.Null):
        return one
    if isinstance(one, pl.Null):
        return other
    if one.is_numeric() and other.is_numeric():
        if isinstance(one, pl.Decimal) and isinstance(other, pl.Decimal):
            return pl.Decimal(38, max(one.scale, other.scale))
        return pl.Float64()
    return None
