"""What the figures of one column say otherwise in two versions, in sentences."""

from __future__ import annotations

from slipway.operations.table_checks import ColumnSummary, Value
from slipway.stats.column_profiles import ColumnProfile

__all__ = ["differences"]

_NAMED = 5
_LEAST = 0.001
"""A share of nulls that changed by less is not worth a sentence."""
_CLOSE = 1e-9


def differences(
    now: ColumnSummary, before: ColumnSummary, found: ColumnProfile, known: ColumnProfile, *, hides: bool
) -> tuple[str, ...]:
    """Kind, nulls, range, mean, and values that are new or gone.

    Args:
        now: The later version's figures, as they may be seen.
        before: The earlier one's.
        found: The later version's profile.
        known: The earlier one's.
        hides: Whether no value of it may be shown.
    """
    told = []
    if now.kind != before.kind:
        told.append(f"It held {before.kind}s, and holds {now.kind}s now.")
    told += _nulls(now, before)
    if hides:
        return tuple(told)
    if now.kind == before.kind and now.kind not in ("text", "boolean", "other"):
        told += _range(now, before)
    if found.values is not None and known.values is not None:
        told += _values(dict(found.values), dict(known.values))
    return tuple(told)


def _nulls(now: ColumnSummary, before: ColumnSummary) -> list[str]:
    if not now.rows or not before.rows:
        return []
    share, former = (now.nulls + now.nans) / now.rows, (before.nulls + before.nans) / before.rows
    if abs(share - former) < _LEAST and (share > 0) == (former > 0):
        return []
    return [f"Without a value: {former:.1%} of the rows before, {share:.1%} now."]


def _range(now: ColumnSummary, before: ColumnSummary) -> list[str]:
    told = []
    if (now.low, now.high) != (before.low, before.high) and None not in (now.low, before.low):
        told.append(
            f"Range: {_shown(before.low)} to {_shown(before.high)} before, {_shown(now.low)} to {_shown(now.high)} now."
        )
    if isinstance(now.mean, int | float) and isinstance(before.mean, int | float) and _is_other(now.mean, before.mean):
        told.append(f"Mean: {_shown(before.mean)} before, {_shown(now.mean)} now.")
    return told


def _is_other(now: float, before: float) -> bool:
    return abs(now - before) > max(abs(before), 1.0) * _CLOSE


def _values(now: dict[str, int], before: dict[str, int]) -> list[str]:
    come = sorted(set(now) - set(before), key=lambda value: (-now[value], value))
    gone = sorted(set(before) - set(now), key=lambda value: (-before[value], value))
    told = []
    if come:
        told.append(f"New: {_list(come, now)}.")
    if gone:
        told.append(f"Gone: {_list(gone, before)}.")
    return told


def _list(values: list[str], rows: dict[str, int]) -> str:
    named = ", ".join(f"{_short(value)} ({rows[value]:,} rows)" for value in values[:_NAMED])
    more = len(values) - _NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def _short(value: str) -> str:
    return (value if len(value) <= 40 else f"{value[:39]}…") or '""'


def _shown(value: Value) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
