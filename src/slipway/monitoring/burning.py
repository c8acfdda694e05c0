"""How fast a budget of what may go wrong is used up, over two windows, and whether that can be told from few requests.

Source: the rules are those of "Alerting on SLOs", chapter 5 of The Site Reliability Workbook (Beyer et al., 2018): a long
window says that it matters, a short one that it still goes on. There they are about rates as counted. Here the rate of the
long window must be beyond chance: with three requests an hour one error is a rate of a third, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from slipway.records.health import Burn, Counted
from slipway.stats.binomial import least_share, upper_tail

__all__ = ["ALPHA", "RULES", "Burning", "Rule", "burn", "burning", "span", "within"]

ALPHA = 0.001
"""How likely a window may look as bad as it does, where the budget is not used up as fast as a rule says."""

_FEWEST = 10
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_MONTH = timedelta(days=30)
_BY_MINUTE = timedelta(hours=6)


class Rule(NamedTuple):
    """A budget is used up so many times too fast, over a long window and at its end."""

    rate: float
    long: timedelta
    short: timedelta
    urgency: Literal["page", "ticket"]


RULES = (
    Rule(14.4, timedelta(hours=1), timedelta(minutes=5), "page"),
    Rule(6.0, timedelta(hours=6), timedelta(minutes=30), "page"),
    Rule(1.0, timedelta(days=3), timedelta(hours=6), "ticket"),
)


class Burning(NamedTuple):
    """A rule that holds, and what was counted in its long window."""

    rule: Rule
    counted: Counted
    share: float
    low: float


Part = Callable[[Counted], tuple[float, float]]
"""Of what was counted: what went wrong, and of how much."""


def span(minutes: Mapping[int, Counted], hours: Mapping[int, Counted], now: datetime, back: timedelta) -> Counted:
    """What was counted since a while ago: by the minute for up to six hours, by the hour for longer.

    Args:
        minutes: By minute since the epoch.
        hours: By hour.
        now: The present.
        back: How far.
    """
    kept, unit = (minutes, _MINUTE) if back <= _BY_MINUTE else (hours, _HOUR)
    last = int(now.timestamp() // unit.total_seconds())
    first = last - int(back / unit) + 1
    inside = [msgspec.structs.astuple(one) for place, one in kept.items() if first <= place <= last]
    return Counted(*map(sum, zip(*inside, strict=True)))


def within(
    minutes: Mapping[int, Counted], hours: Mapping[int, Counted], now: datetime, rule: Rule, of: Part
) -> tuple[float, float]:
    """What went wrong, and of how much, at the end of a rule's long window: its short one, or the last ten before now."""
    bad, total = of(span(minutes, hours, now, rule.short))
    if total >= _FEWEST or rule.long > _BY_MINUTE:
        return bad, total
    last = int(now.timestamp() // 60)
    for place in range(last - int(rule.short / _MINUTE), last - int(rule.long / _MINUTE), -1):
        if total >= _FEWEST:
            break
        if (one := minutes.get(place)) is not None:
            more, of_more = of(one)
            bad, total = bad + more, total + of_more
    return bad, total


def burning(
    minutes: Mapping[int, Counted],
    hours: Mapping[int, Counted],
    now: datetime,
    budget: float,
    of: Part,
    *,
    is_counted: bool = True,
) -> Burning | None:
    """The first rule by which a budget is used up too fast, the most urgent one first; None where none holds.

    Args:
        minutes: By minute since the epoch.
        hours: By hour.
        now: The present.
        budget: The share that may go wrong.
        of: What went wrong, and of how much.
        is_counted: Whether these are trials, of which few say little; seconds in which nothing answered are none: they are
            compared with the whole window, watched or not.
    """
    for rule in RULES:
        limit = rule.rate * budget
        counted = span(minutes, hours, now, rule.long)
        bad, total = of(counted)
        now_bad, now_total = (
            within(minutes, hours, now, rule, of) if is_counted else of(span(minutes, hours, now, rule.short))
        )
        if not is_counted:
            total, now_total = rule.long.total_seconds(), rule.short.total_seconds()
        if limit >= 1.0 or bad <= 0 or now_bad <= 0 or now_bad <= limit * now_total:
            continue
        if is_counted and upper_tail(round(bad), round(total), limit) > ALPHA:
            continue
        if bad <= limit * total:
            continue
        low = least_share(round(bad), round(total), ALPHA) if is_counted else bad / total
        return Burning(rule, counted, bad / total, low)
    return None


def burn(
    minutes: Mapping[int, Counted],
    hours: Mapping[int, Counted],
    now: datetime,
    name: Literal["requests", "time", "latency", "model"],
    budget: float,
    of: Part,
) -> Burn:
    """What is left of a budget of 30 days, and how fast it was used in the last hour."""
    bad, total = of(span(minutes, hours, now, _MONTH))
    now_bad, now_total = of(span(minutes, hours, now, _HOUR))
    allowed = budget * (_MONTH.total_seconds() if name == "time" else total)
    return Burn(
        of=name,
        budget=budget,
        bad=bad,
        total=total,
        left=1.0 - bad / allowed if allowed > 0 and total > 0 else None,
        rate=now_bad / now_total / budget if now_total > 0 else None,
    )
