"""Charts of the pages of runs: a metric's curve, of one run or of several on top of each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from slipway.charts.curves import Mark, curve_chart
from slipway.records.runs import Bucket, MetricPoint

__all__ = ["MetricChart", "laid_out", "metric_chart"]

_UNITS = ((2 * 3600, "hours", 3600), (120, "minutes", 60), (0, "seconds", 1))


@dataclass(frozen=True)
class MetricChart:
    """One metric's chart."""

    key: str
    svg: Markup


def metric_chart(key: str, curves: Mapping[str, Sequence[Bucket]], *, zooms: bool = False) -> MetricChart:
    """A metric's curves by step; by time since each began, where no curve has more than one step.

    Args:
        key: The metric.
        curves: What its points come to, by the run's name; a single run may be called "".
        zooms: Whether steps can be chosen by dragging over them.
    """
    drawn, x_label = laid_out(curves)
    can = zooms and x_label == "step"
    return MetricChart(
        key, Markup(curve_chart(drawn, title=key, x_label=x_label, zooms=can))
    )  # its texts are escaped there


def laid_out(curves: Mapping[str, Sequence[Bucket]]) -> tuple[dict[str, list[Mark]], str]:
    """The marks of curves and what runs along the bottom: steps, or the time since each began."""
    if any(buckets and buckets[0].first.step != buckets[-1].last.step for buckets in curves.values()):
        drawn = {
            name: [_mark(bucket, lambda point: float(point.step)) for bucket in buckets]
            for name, buckets in curves.items()
        }
        return drawn, "step"
    longest = max((_seconds(buckets) for buckets in curves.values()), default=0.0)
    _, unit, seconds = next(row for row in _UNITS if longest >= row[0])
    return {name: _by_time(buckets, seconds) for name, buckets in curves.items()}, f"{unit} since the first point"


def _seconds(buckets: Sequence[Bucket]) -> float:
    return (buckets[-1].last.at_us - buckets[0].first.at_us) / 1e6 if buckets else 0.0


def _by_time(buckets: Sequence[Bucket], seconds: int) -> list[Mark]:
    return [_mark(bucket, lambda point: (point.at_us - buckets[0].first.at_us) / 1e6 / seconds) for bucket in buckets]


def _mark(bucket: Bucket, place: Callable[[MetricPoint], float]) -> Mark:
    first, last = bucket.first, bucket.last
    return Mark(place(first), first.value, place(last), last.value, bucket.low, bucket.high)
