"""Is a feed fresh? What an endpoint counted when it looked its rows up, since the last look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.errors import near
from slipway.monitoring.feeds import feed_of
from slipway.monitoring.judge import Found
from slipway.records.endpoints import MonitorSpec
from slipway.records.features import FeatureSetSpec
from slipway.records.feeds import FeedCounts
from slipway.records.monitors import Cause
from slipway.stats.intervals import share_interval

__all__ = ["freshness"]

_MIN_KEYS = 100


def freshness(
    monitor: MonitorSpec,
    counted: Sequence[FeedCounts],
    before: Sequence[Mapping[str, Any]],
    features: FeatureSetSpec | None = None,
) -> Found:
    """Judge one feed by the keys that were looked up since the last finding about the same features.

    Args:
        monitor: Names the feed, and its limit.
        counted: What the endpoint counted.
        before: The values of the monitor's last findings, the newest first.
        features: The model's: they say which feed and which inputs it is about.
    """
    known = {one.name: one for one in counted}
    one = known.get(monitor.metric)
    if one is None:
        why = near(monitor.metric, known, what="feeds") if known else "nothing was looked up yet"
        return Found(state="cannot tell", sentence=f"{monitor.metric} is not counted: {why}", rows=0, values={})
    total = {"looked_up": one.looked_up, "not_found": one.not_found, "too_old": one.too_old}
    last = next((then for then in before if then.get("layout") == one.layout), {})
    former = {name: int(last.get(name, 0)) for name in total}
    if any(total[name] < former[name] for name in total):  # it was counted anew
        former = dict.fromkeys(total, 0)
    keys, missing, old = (total[name] - former[name] for name in total)
    limit = monitor.limit or 0.0
    if keys < _MIN_KEYS:
        told = f"{monitor.metric}: {keys:,} keys were looked up since the last look; {_MIN_KEYS} are needed"
        return Found(state="cannot tell", sentence=told, rows=keys, values={**former, "layout": one.layout})
    share = (missing + old) / keys
    told = f"{monitor.metric}: {share:.1%} of {keys:,} keys had no fresh row ({missing:,} none, {old:,} too old)"
    interval = share_interval(missing + old, keys)
    is_worse = interval.low > limit
    told += (
        f", more than {limit:.1%}; see whether its source still comes in"
        if is_worse
        else f"; up to {limit:.1%} is usual"
    )
    about, columns = feed_of(features, monitor.metric)
    cause = Cause(
        kind="broken feed",
        about=about,
        sentence=told,
        columns=columns,
        rows=missing + old,
        value=share,
        low=interval.low,
        high=interval.high,
        unit="share",
        before=limit,
    )
    return Found(
        state="alert" if is_worse else "ok",
        sentence=told,
        rows=keys,
        values={**total, "share": share, "layout": one.layout},
        causes=(cause,) if is_worse else (),
    )
