"""Served features beside the same computed offline: what differs, in what way, and whether it is a defect.

Values are equal when all their bits are; all NaN are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.charts.consistency import sentence
from slipway.monitoring.judge import Found
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.endpoints import MonitorSpec

__all__ = ["as_taken", "differs", "feature_consistency", "found"]

Mask = NDArray[np.bool_]


def as_taken(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """A feature's values as the model takes them: one that was fitted on floats takes True as 1.0, and the log has that.

    Args:
        values: As the feature's function or query gives them.
        kind: The type that the model was fitted on, which the log keeps.
    """
    is_number = values.dtype.is_integer() or values.dtype == pl.Boolean
    return values.cast(kind) if is_number and kind.is_numeric() else values


def differs(served: pl.Series, offline: pl.Series) -> Mask:
    """Where two columns of one feature are not equal bit for bit."""
    if served.dtype.is_float() and offline.dtype.is_float():
        one, other = (column.fill_null(0.0).to_numpy().view(np.int64) for column in (served, offline))
        both_nan = (served.is_nan() & offline.is_nan()).fill_null(value=False).to_numpy()
        nulls = served.is_null().to_numpy() != offline.is_null().to_numpy()
        unequal: Mask = nulls | ((one != other) & ~both_nan)
        return unequal
    if served.dtype != offline.dtype and served.dtype.is_numeric() != offline.dtype.is_numeric():
        return np.ones(len(served), dtype=np.bool_)
    return served.ne_missing(offline).to_numpy()


def feature_consistency(
    name: str,
    served: pl.Series,
    offline: pl.Series,
    different: Mask,
    *,
    late: Mask,
    ahead: Mask,
    scale: float,
    where: Sequence[str],
) -> FeatureConsistency:
    """What is told of one feature.

    Args:
        name: The feature.
        served: What was served.
        offline: What offline gives for the same requests.
        different: From `differs`.
        late: Where late rows explain a difference; nowhere else.
        ahead: Where a table that lacks pushed rows explains it; nowhere else.
        scale: How many times what was looked at for such rows all differences are.
        where: Names each request, for an example.
    """
    excused = late | ahead
    defect = different & ~excused
    nulls, none = served.is_null().to_numpy(), offline.is_null().to_numpy()
    explained = {"late": _scaled(late, scale), "ahead": _scaled(ahead, scale)}
    total = int(different.sum())
    left = max(0, total - sum(explained.values()))
    kinds = {"missing": defect & nulls, "extra": defect & none, "mismatches": defect & ~nulls & ~none}
    smape, greatest = _error(served, offline, kinds["mismatches"])
    counts = {kind: int(mask.sum()) for kind, mask in kinds.items()}
    over = sum(counts.values()) - left  # of requests that nobody looked at, by what was found of the others
    for kind in counts:
        counts[kind] -= round(over * counts[kind] / max(1, sum(counts.values())))
    first = int(np.argmax(defect)) if defect.any() else -1
    return FeatureConsistency(
        feature=name,
        compared=len(served),
        **counts,
        **explained,
        smape=smape,
        greatest=greatest,
        first="" if first < 0 else f"{served[first]!r} was served, {offline[first]!r} is right, for {where[first]}",
    )


def _scaled(mask: Mask, scale: float) -> int:
    return round(int(mask.sum()) * scale)


def _error(served: pl.Series, offline: pl.Series, both: Mask) -> tuple[float | None, float | None]:
    if not both.any() or not (served.dtype.is_numeric() and offline.dtype.is_numeric()):
        return None, None
    one, other = (column.cast(pl.Float64).fill_null(0.0).to_numpy()[both] for column in (served, offline))
    finite = np.isfinite(one) & np.isfinite(other)
    if not finite.any():
        return None, None
    gap, size = np.abs(one - other)[finite], (np.abs(one) + np.abs(other))[finite]
    return float(np.mean(np.where(size > 0, 2 * gap / np.where(size > 0, size, 1), 0.0))), float(gap.max())


def found(report: ConsistencyReport, monitor: MonitorSpec) -> Found:
    """What a monitor makes of a report: an alert where a feature has more defects than is declared."""
    limit = monitor.limit or 0.0
    if not report.compared:
        state = "cannot tell"
    elif report.share > limit:
        state = "alert"
    else:
        state = "note" if report.defects or report.late or report.ahead else "ok"
    values: Mapping[str, Any] = {
        "compared": report.compared,
        "defects": report.defects,
        "late": report.late,
        "ahead": report.ahead,
        "share": report.share,
        "limit": limit,
        "report": report.id,
    }
    return Found(
        state=state,  # type: ignore[arg-type]  # one of the four above
        sentence=sentence(report),
        rows=report.sampled,
        values=dict(values),
        first=report.window_from,
        last=report.window_until,
    )
