"""A consistency report in words: what differs, and what is to be done about it."""

from __future__ import annotations

from slipway.charts.text import percent
from slipway.records.consistency import ConsistencyReport

__all__ = ["sentence"]


def sentence(report: ConsistencyReport) -> str:
    """A report in words. It goes into findings and verdicts, and names no request: the first defect is in the report."""
    if not report.compared:
        return "no request was computed again"
    told = f"{report.compared:,} served values of {report.sampled:,} requests computed again offline"
    parts = []
    worst = report.worst
    if worst is not None and worst.defects:
        share = percent(worst.defects, worst.compared)
        parts.append(f"{report.defects:,} differ, most in {worst.feature}: {worst.defects:,} ({share})")
    else:
        parts.append("none is wrong")
    if report.late:
        late = f"{report.late:,} differ because {report.late_rows:,} rows came late"
        middle, most = _span(report.late_median_us), _span(report.late_greatest_us)
        parts.append(f"{late}, {middle} in the middle and {most} at most: mend the feed, not the features")
    if report.ahead:
        parts.append(f"{report.ahead:,} differ because a table lacks rows that were pushed: ingest it")
    return f"{told}: {'; '.join(parts)}"


def _span(us: int) -> str:
    seconds = us / 1e6
    for name, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
