"""Is a feed broken, or is it only another season? What the last day's inputs show against everything seen before.

A season moves inputs by small steps, and far beyond what training saw: heat in July says nothing against a model of the
winter. A broken feed moves them from one day to the next: values are gone, categories are new, or numbers lie far
outside all that training and the weeks before had. So each day is judged by training and the live days before it, oldest
first, and a day whose feed was broken teaches nothing of it: a fault of last week does not become the usual.

Every sign needs an effect (a floor on the share of the day's rows), confidence (the share's lower bound is above it) and
persistence (as large a share of the day's hours). The floors are four to ten times what a year of real flights shows
without any fault, and half of what its faults show.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from msgspec import Struct

from slipway.records.features import FeatureSetSpec, View, Windows
from slipway.stats.intervals import share_interval
from slipway.stats.profiles import Column, Profile, has_category

__all__ = ["BrokenFeed", "Feeds", "Sign", "Span", "feed_by_input", "feed_of", "look", "looks_back_to"]

Span = tuple[datetime, datetime | None]
"""A time over which a feed is known to have been broken, None while it still is."""

DAY = timedelta(days=1)
HISTORY_DAYS = 28
FAR, UNSEEN, MISSING = 0.25, 0.10, 0.40
# Training tells how often a value is missing on average, not on its worst day.
MISSING_BY_TRAINING = 0.75
MARGIN = 0.25
# So many live days say how far the season is from training's; before that, far values cannot be told from it.
WARM_DAYS = 7
# A sensor that fails in storms has its worst day about once a month.
WORST_DAYS = 21
# A category of one day may be the beginning of a fault that the day as a whole does not show yet.
CATEGORY_DAYS = 3
MIN_ROWS = 100
_BESIDE = 0.5
_SOME_VALUES = 0.95


class Sign(Struct, frozen=True, kw_only=True):
    """What is wrong with one input on one day.

    Args:
        column: The input.
        question: "missing": values are gone; "unseen": categories that nobody ever saw; "far": numbers farther outside
            all known ones than a quarter of their range.
        share: Of the day's rows that have a value, or for "missing" of all.
        usual: What was usual, in words.
        examples: The most frequent of the wrong values.
    """

    column: str
    question: Literal["missing", "unseen", "far"]
    share: float
    usual: str
    examples: tuple[str, ...] = ()


class BrokenFeed(Struct, frozen=True, kw_only=True):
    """One feed that is broken.

    Args:
        feed: What to mend: "feature view weather_now", "windows over flights", "request".
        signs: What is wrong, the greatest share first.
        beside: Its other inputs whose values left the range of the weeks before at the same time.
        since: The first row that shows it.
    """

    feed: str
    signs: tuple[Sign, ...]
    beside: tuple[str, ...]
    since: datetime

    @property
    def sentence(self) -> str:
        """What is wrong, in words."""
        told = [_told(sign, _alike(self.signs, sign)) for sign in _first_of_each(self.signs)]
        if self.beside:
            told.append(f"{_listed(self.beside)} left the range of the weeks before with it")
        return f"{self.feed}, since {self.since:%Y-%m-%d %H:%M} UTC: {'; '.join(told)}"


class Feeds(Struct, frozen=True, kw_only=True):
    """What the last day shows.

    Args:
        rows: Answered in the last day.
        days: Live days before it that are known to be sound.
        broken: The broken feeds.
        can_tell: Whether the last day has enough rows.
    """

    rows: int
    days: int
    broken: tuple[BrokenFeed, ...] = ()
    can_tell: bool = True


@dataclass(slots=True)
class _Known:
    """What is known of one input so far: from training, then from each sound day."""

    column: Column
    low: float
    high: float
    worst: float
    days: int = 0
    live_low: float = math.inf
    live_high: float = -math.inf
    categories: Counter[str] = field(default_factory=Counter)

    @property
    def limits(self) -> tuple[float, float]:
        """Beyond them a number is far from all known ones. A constant has no scale by which anything would be far."""
        margin = MARGIN * (self.high - self.low)
        return (self.low - margin, self.high + margin) if 0.0 < margin < math.inf else (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class _Day:
    """One day's rows, and by input what was counted over them."""

    number: int
    frame: pl.DataFrame
    counts: dict[str, Any]
    categories: dict[str, dict[str, int]]

    @property
    def rows(self) -> int:
        return self.frame.height

    def numbers(self, column: str) -> pl.Series:
        return self.frame[column].drop_nulls()


def looks_back_to(now: datetime, faulty: Iterable[Span] = ()) -> datetime:
    """From which decision time on `look` wants rows: four weeks before the last day, or before a fault still there."""
    open_since = [since for since, until in faulty if until is None]
    return min([now - DAY, *open_since]) - HISTORY_DAYS * DAY


def look(
    rows: pl.DataFrame,
    *,
    now: datetime,
    reference: Profile,
    features: FeatureSetSpec | None = None,
    faulty: Sequence[Span] = (),
) -> Feeds:
    """Judge the last day's inputs.

    Args:
        rows: Answered rows with `at` and the inputs by the reference's names, from `looks_back_to` on. Rows that other
            models with the same inputs answered belong to them.
        now: Business time; the last day ends here.
        reference: The profile of the inputs at training, without the score.
        features: Says which feed an input comes from; without it all come with the request.
        faulty: Times over which a feed is known to have been broken: nothing is learnt from them.
    """
    known = [_from_training(column) for column in reference.columns]
    feeds = feed_by_input(features)
    running: dict[str, datetime] = {}
    broken: dict[str, list[Sign]] = {}
    learnt, last = 0, 0
    for day in _days(rows, now, known, looks_back_to(now, faulty)):
        if day.number == 0:
            last = day.rows
        if day.rows < MIN_ROWS:
            continue
        broken = {}
        for one in known:
            for sign, since in _signs(one, day):
                feed = feeds.get(_plain(one.column.name), "request")
                running[feed] = min(running.get(feed, since), since)
                broken.setdefault(feed, []).append(sign)
        running = {feed: since for feed, since in running.items() if feed in broken}
        if day.number == 0:
            break
        if not _is_faulty(day.number, now, faulty):
            learnt += 1
            for one in known:
                if feeds.get(_plain(one.column.name), "request") not in broken:
                    _learn(one, day)
    if last < MIN_ROWS:
        return Feeds(rows=last, days=learnt, can_tell=False)
    found = [
        BrokenFeed(
            feed=feed,
            signs=tuple(sorted(signs, key=lambda sign: (-sign.share, sign.column))),
            beside=_beside(day, [one for one in known if feeds.get(_plain(one.column.name), "request") == feed], signs),
            since=running[feed],
        )
        for feed, signs in broken.items()
    ]
    return Feeds(rows=last, days=learnt, broken=tuple(found))


def _from_training(column: Column) -> _Known:
    low, high = (column.low, column.high) if column.low <= column.high else (math.inf, -math.inf)
    return _Known(column=column, low=low, high=high, worst=column.missing / column.rows if column.rows else 0.0)


def feed_by_input(features: FeatureSetSpec | None) -> dict[str, str]:
    """Which feed each input comes from; one that is not there comes with the request."""
    found: dict[str, str] = {}
    for part in features.parts if features else ():
        if isinstance(part, View):
            found |= {f"{part.name}_{value.name}": f"feature view {part.name}" for value in part.fields}
        elif isinstance(part, Windows):
            found |= {f"{part.name}_{one.name}": f"windows over {part.source}" for one in part.aggregates}
    return found


def feed_of(features: FeatureSetSpec | None, name: str) -> tuple[str, tuple[str, ...]]:
    """The feed behind a feature view or windows, as `BrokenFeed` calls it, and the inputs that come from it.

    Args:
        features: A model's features.
        name: The name of the view or windows.
    """
    for part in features.parts if features else ():
        if isinstance(part, View) and part.name == name:
            return f"feature view {name}", tuple(f"{name}_{value.name}" for value in part.fields)
        if isinstance(part, Windows) and part.name == name:
            return f"windows over {part.source}", tuple(f"{name}_{one.name}" for one in part.aggregates)
    return name, ()


def _plain(logged: str) -> str:
    return logged.removeprefix("feature.")


def _days(rows: pl.DataFrame, now: datetime, known: Sequence[_Known], since: datetime) -> list[_Day]:
    """The rows by day before `now`, the oldest day first; one pass over them counts all inputs."""
    numeric = [one.column.name for one in known if one.column.is_numeric]
    texts = [one.column.name for one in known if not one.column.is_numeric]
    recent = rows.lazy().filter((pl.col("at") > since) & (pl.col("at") <= now))
    frame = recent.select(
        pl.col("at").alias("_at"),
        ((pl.lit(now) - pl.col("at")).dt.total_microseconds() // (DAY // timedelta(microseconds=1))).alias("_day"),
        pl.col(numeric).cast(pl.Float64).fill_nan(None),
        pl.col(texts).cast(pl.String),
    ).collect()
    counted = frame.group_by("_day").agg(
        pl.col(numeric).min().name.prefix("min "),
        pl.col(numeric).max().name.prefix("max "),
        pl.col(numeric + texts).null_count().name.prefix("null "),
    )
    counts = {row["_day"]: row for row in counted.to_dicts()}
    categories: dict[int, dict[str, dict[str, int]]] = {number: {name: {} for name in texts} for number in counts}
    for name in texts:
        for number, value, rows_of_it in frame.group_by("_day", name).len().drop_nulls().sort(name).iter_rows():
            categories[number][name][value] = rows_of_it
    parts = {part["_day"][0]: part for part in frame.partition_by("_day")}
    return [_Day(number, parts[number], counts[number], categories[number]) for number in sorted(counts, reverse=True)]


def _signs(one: _Known, day: _Day) -> list[tuple[Sign, datetime]]:
    """What is wrong with an input, each with the first row that shows it."""
    name = one.column.name
    gone = day.counts[f"null {name}"]
    found = _missing(one, day, gone)
    present = day.rows - gone
    if present >= MIN_ROWS:
        found += _far(one, day) if one.column.is_numeric else _unseen(one, day, present)
    return found


def _missing(one: _Known, day: _Day, gone: int) -> list[tuple[Sign, datetime]]:
    share = gone / day.rows
    floor = MISSING if one.days >= WORST_DAYS else MISSING_BY_TRAINING
    is_all = share == 1.0 and one.worst <= _SOME_VALUES
    if not is_all and (share <= one.worst + floor or share_interval(gone, day.rows).low <= one.worst + floor):
        return []
    usual = f"{one.worst:.0%} {'on the worst day before' if one.days else 'in training'}"
    sign = Sign(column=one.column.name, question="missing", share=share, usual=usual)
    return _lasting(sign, day, pl.col(one.column.name).is_null(), MISSING)


def _unseen(one: _Known, day: _Day, present: int) -> list[tuple[Sign, datetime]]:
    counts = day.categories[one.column.name]
    fresh = {
        value: rows
        for value, rows in counts.items()
        if one.categories[value] < CATEGORY_DAYS and not has_category(one.column, value)
    }
    new = sum(fresh.values())
    floor = UNSEEN + (one.column.singles / one.column.present if one.column.present else 0.0)
    if not new or share_interval(new, present).low <= floor:
        return []
    often = sorted(fresh, key=lambda value: (-fresh[value], value))
    sign = Sign(
        column=one.column.name,
        question="unseen",
        share=new / present,
        usual="known ones only",
        examples=tuple(repr(value) for value in often[:2]),
    )
    return _lasting(sign, day, pl.col(one.column.name).is_in(often), UNSEEN)


def _far(one: _Known, day: _Day) -> list[tuple[Sign, datetime]]:
    name, (low, high) = one.column.name, one.limits
    if one.days < WARM_DAYS or (day.counts[f"min {name}"] >= low and day.counts[f"max {name}"] <= high):
        return []
    values = day.numbers(name)
    wrong = values.filter((values < low) | (values > high))
    if share_interval(wrong.len(), values.len()).low <= FAR:
        return []
    often = wrong.value_counts().sort("count", name, descending=[True, False])[name].head(2)
    sign = Sign(
        column=name,
        question="far",
        share=wrong.len() / values.len(),
        usual=f"{one.low:.4g} to {one.high:.4g}",
        examples=tuple(f"{value:.4g}" for value in often),
    )
    return _lasting(sign, day, (pl.col(name) < low) | (pl.col(name) > high), FAR)


def _lasting(sign: Sign, day: _Day, wrong: pl.Expr, floor: float) -> list[tuple[Sign, datetime]]:
    """The sign, unless one burst of rows within a few hours is all that shows it."""
    hour = pl.col("_at").dt.truncate("1h")
    hours, hours_with, first = day.frame.select(
        hour.n_unique().alias("hours"),
        hour.filter(wrong).n_unique().alias("with"),
        pl.col("_at").filter(wrong).min().alias("first"),
    ).row(0)
    return [(sign, first)] if hours_with >= floor * hours else []


def _learn(one: _Known, day: _Day) -> None:
    """What lies far from everything known is not learnt from a few rows: else a range would creep to any fault."""
    name = one.column.name
    one.worst = max(one.worst, day.counts[f"null {name}"] / day.rows)
    one.days += 1
    if not one.column.is_numeric:
        one.categories.update(day.categories[name].keys())
        return
    low, high = day.counts[f"min {name}"], day.counts[f"max {name}"]
    if low is None:
        return
    least, most = one.limits
    if low < least or high > most:
        values = day.numbers(name)
        if one.days <= WARM_DAYS:
            least, most = min(least, _quantile(values, 0.02)), max(most, _quantile(values, 0.98))
        near = values.filter((values >= least) & (values <= most))
        low, high = (_quantile(near, 0.0), _quantile(near, 1.0)) if near.len() else (math.inf, -math.inf)
    one.low, one.high = min(one.low, low), max(one.high, high)
    one.live_low, one.live_high = min(one.live_low, low), max(one.live_high, high)


def _quantile(values: pl.Series, share: float) -> float:
    return float(np.quantile(values.to_numpy(), share))


def _is_faulty(number: int, now: datetime, faulty: Sequence[Span]) -> bool:
    since, until = now - (number + 1) * DAY, now - number * DAY
    return any(start < until and (end is None or end > since) for start, end in faulty)


def _beside(day: _Day, known: Sequence[_Known], signs: Sequence[Sign]) -> tuple[str, ...]:
    """Inputs of the same feed whose values left what the weeks before had, though training may have had them."""
    wrong = {sign.column for sign in signs}
    found = []
    for one in known:
        if one.column.name in wrong or not one.column.is_numeric or one.days < WARM_DAYS:
            continue
        values = day.numbers(one.column.name)
        outside = ((values < one.live_low) | (values > one.live_high)).sum()
        if values.len() >= MIN_ROWS and outside > _BESIDE * values.len():
            found.append(one.column.name)
    return tuple(found)


def _first_of_each(signs: Sequence[Sign]) -> list[Sign]:
    return list({sign.question: sign for sign in reversed(signs)}.values())[::-1]


def _alike(signs: Sequence[Sign], sign: Sign) -> list[str]:
    return [one.column for one in signs if one.question == sign.question]


def _told(sign: Sign, columns: Sequence[str]) -> str:
    """A sign of its question in words, with the names of all inputs that show the same."""
    share = f"{sign.share:.0%} of the last day's rows"
    such = f" ({', '.join(sign.examples)})" if sign.examples else ""
    if sign.question == "missing":
        return f"{_listed(columns)} missing in {share}, {sign.usual}"
    if sign.question == "unseen":
        return f"{_listed(columns)} never seen before{such} in {share}"
    more = f", of {sign.column}" if len(columns) > 1 else ""
    return f"{_listed(columns)} far outside all that was seen{such} in {share}, usual {sign.usual}{more}"


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:6])
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
