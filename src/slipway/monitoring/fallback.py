"""How often does the fallback answer, and what do its answers cost? It is counted apart from the model's quality."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from slipway.monitoring.judge import Found
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Decision
from slipway.stats.intervals import share_interval
from slipway.stats.metrics import CostMatrix, costs

__all__ = ["counted_apart", "fallback", "spans"]

_MIN_ROWS = 20
_WORDS = {"timeout": "too slow", "error": "failed", "invalid": "no valid score", "features": "features missing"}


def spans(monitor: MonitorSpec, now: datetime) -> datetime:
    """From which decision time on answers count for a monitor."""
    return now - timedelta(microseconds=monitor.window_us)


def fallback(counted: pl.DataFrame, monitor: MonitorSpec) -> Found:
    """Judge the share of answers that are the fallback's.

    It alerts when the whole interval of the share lies above the declared one.

    Args:
        counted: Answers by why the model did not give them: `fallback` ("" where it did) and `rows`.
        monitor: A fallback monitor.
    """
    rows = int(counted["rows"].sum())
    fallen = counted.filter(pl.col("fallback") != "").sort("rows", "fallback", descending=[True, False])
    total, limit = int(fallen["rows"].sum()), monitor.limit or 0.0
    values: dict[str, Any] = {"rows": rows, "fallback": total, **dict(fallen.select("fallback", "rows").iter_rows())}
    if rows < _MIN_ROWS:
        told = f"{rows} answers of the last {_hours(monitor)} are too few to tell; {_MIN_ROWS} are needed"
        return Found(state="cannot tell", sentence=told, rows=rows, values=values)
    why = ", ".join(f"{_WORDS.get(name, name)} {n:,}" for name, n in fallen.select("fallback", "rows").iter_rows())
    told = f"the fallback gave {total / rows:.1%} of {rows:,} answers of the last {_hours(monitor)}"
    told += f" ({why})" if why else ""
    is_worse = share_interval(total, rows).low > limit
    told += f", more than {limit:.1%}; front.log says what failed" if is_worse else f"; up to {limit:.1%} is let pass"
    return Found(
        state="alert" if is_worse else "ok", sentence=told, rows=rows, values={**values, "share": total / rows}
    )


def counted_apart(
    found: Found, answered: pl.DataFrame, monitor: MonitorSpec, decision: Decision, now: datetime
) -> Found:
    """A finding on quality or cost that says how many answers of its window were the fallback's, and what they cost.

    Args:
        found: What the model's own answers came to.
        answered: All answers to rows that the model was asked, with their labels.
        monitor: A quality or kpi monitor.
        decision: The model's, whose costs count.
        now: Business time.
    """
    until = now - timedelta(microseconds=monitor.label_delay_us)
    since = until - timedelta(microseconds=monitor.window_us)
    rows = answered.filter((pl.col("fallback") != "") & (pl.col("at") > since) & (pl.col("at") <= until))
    if rows.is_empty():
        return found
    values = {**found.values, "fallback_rows": rows.height}
    told = f" {rows.height:,} answers of the fallback are counted apart"
    labelled = rows.filter(pl.col("label").is_in([0.0, 1.0]))
    if monitor.kind == "kpi" and decision.costs and decision.threshold is not None and labelled.height:
        decided = labelled.filter(pl.col("decision").is_not_null())  # by whose threshold ever
        values |= {"fallback_labelled": labelled.height, "fallback_decided": decided.height}
        if decided.height:
            yes = decided["decision"].cast(pl.Float64).to_numpy()
            each = costs(decided["label"].to_numpy(), yes, 0.5, CostMatrix(**decision.costs))
            values["fallback_cost"] = float(each.mean())
            told += f"; those with labels cost {each.mean():.4g} each"
        if decided.height < labelled.height:
            told += f"; on {labelled.height - decided.height:,} with labels nothing was decided, so what they cost is not known"
    sentence = f"{found.sentence.rstrip('.')}.{told}."
    return msgspec.structs.replace(found, values=values, sentence=sentence)


def _hours(monitor: MonitorSpec) -> str:
    hours = monitor.window_us / 3_600_000_000
    return "hour" if hours == 1 else f"{hours:g} hours"
