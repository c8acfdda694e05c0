"""The columns of a training frame or matrix as the reference profile counts them, and when its rows were decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.models.frames import column_names
from slipway.records.schema import Field, Signature
from slipway.schema.encoding import Encoder, is_null
from slipway.stats.profiles import Profile, hours_of

__all__ = ["decision_times", "decision_times_of", "profiled", "with_hours"]


def profiled(fields: Sequence[Field], frame: Any, matrix: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """The training rows as profiles take them: floats, or texts; texts that were never there are left out."""
    columns: dict[str, Any] = {}
    for index, field in enumerate(fields):
        if field.type not in ("category", "string"):
            only = Signature((field,), ())
            columns[field.name] = Encoder(only).frame(frame)[:, 0] if matrix is None else matrix[:, index]
            continue
        texts = _texts(frame[field.name])
        if texts.null_count() < len(texts):
            columns[field.name] = texts
    return columns


def decision_times(rows: Any, at: str) -> pl.Series | None:
    """When each row was decided, None where nobody said which column tells it.

    Args:
        rows: The training rows.
        at: The column; "" for none.

    Raises:
        InvalidInput: The column is missing, or does not hold instants with a time zone.
    """
    if not at:
        return None
    column_names(rows, [at])
    return decision_times_of(rows[at])


def decision_times_of(given: Any) -> pl.Series | None:
    """Instants that a person handed in, None for None.

    Args:
        given: A Polars or pandas series, or a list.

    Raises:
        InvalidInput: They are no instants with a time zone.
    """
    if given is None:
        return None
    named = str(getattr(given, "name", None) or "at")
    times = given if isinstance(given, pl.Series) else pl.Series(named, list(given))
    if not isinstance(times.dtype, pl.Datetime) or times.dtype.time_zone is None:
        raise InvalidInput(
            f"The decision times {named!r} are {times.dtype}.",
            why="Rows are counted by weekday and hour, so instants with a time zone are expected.",
            fix=f'For times of UTC: rows.with_columns(pl.col("{named}").dt.replace_time_zone("UTC")).',
            field=named,
        )
    return times


def with_hours(found: Profile, times: pl.Series | None) -> Profile:
    """A reference profile that knows its rows by weekday and hour, where they are given; else as it is.

    Args:
        found: The profile.
        times: When each row was decided.
    """
    return found if times is None else msgspec.structs.replace(found, hours=hours_of(times))


def _texts(values: Any) -> pl.Series:
    if isinstance(values, pl.Series) and values.dtype in (pl.String, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    texts = [None if is_null(value) else str(value) for value in values.to_list()]
    return pl.Series(texts, dtype=pl.String)
