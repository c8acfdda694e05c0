"""Drift over time, in seeded simulations: what the monitor says of traffic that did not change, and of traffic that did.

The traffic of an endpoint: 100 inputs that hang together by 12 common causes, users who ask several times within an hour
and are alike, a rhythm of the day and of the week in mix and volume, values missing by user. After four weeks of history
90 days are looked at, every hour, with a budget of one false page a month. Beside Slipway's judge stand a rule that
always fires, and a chi-square test of each column against training at 5 %, corrected for the columns (Bonferroni) and
not for the looks. A page is what begins after a quiet look, so what never falls silent is one page. "Weekdays" are daily looks at other traffic with four weeks
of history, where Mondays differ from Sundays and nothing else happens.
"""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from slipway.monitoring.drift_watch import (
    DAY,
    HOUR,
    Looks,
    Prepared,
    Windows,
    judge_at,
    prepare,
    usual_noise,
    windows_of,
)
from slipway.stats.flat_profiles import Flat
from slipway.stats.profile_counting import GROUPS
from slipway.stats.profile_pairs import strength
from slipway.stats.profiles import Profile, profile

REMARK = """\
The test against training fires on the rhythm of the day, and no correction for columns mends that. Slipway stays below its
budget because it spends it by the worst case: looks, columns and windows may depend on each other in any way.
"""

_PATH = "drift over time"
_CAUSES, _PER_USER = 12, 4
_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
_FIRST = int(_MONDAY.timestamp()) // 3600
_TRAINED_DAYS, _HISTORY_DAYS = 14, 28
_TEXTS = (*(f"c{code}" for code in range(-4, 5)), None)


class Traffic(NamedTuple):
    """Simulated traffic by hour, over its reference."""

    flat: Flat
    hours: Windows


class World:
    """How the simulated traffic comes about.

    Args:
        seed: The same seed gives the same traffic.
        columns: How many inputs; the last tenth are texts.
        rate: Mean rows an hour.
    """

    def __init__(self, seed: int, columns: int, rate: float) -> None:
        self.random = np.random.default_rng(seed)
        self.columns, self.rate = columns, rate
        self.texts = columns // 10
        self.loadings = self.random.normal(0, 0.25, (_CAUSES, columns))
        self.daily = self.random.normal(0, 0.3, (2, columns))
        self.weekend = self.random.normal(0, 0.4, columns)
        self.gaps = np.where(self.random.random(columns) < 0.3, self.random.uniform(0.01, 0.2, columns), 0.0)

    def hour(
        self, number: int, shifts: dict[int, float] | None = None, gone: int = -1, parted: int = -1
    ) -> dict[str, Any]:
        """The rows of one hour, counted from a Monday's first."""
        of_day, weekday = number % 24, number // 24 % 7
        angle = 2 * math.pi * of_day / 24
        is_weekend = weekday >= 5
        volume = self.rate * (1 + 0.6 * math.cos(angle - 4)) * (0.6 if is_weekend else 1.15)
        users = self.random.poisson(volume / _PER_USER) + 1
        rows = 1 + self.random.poisson(_PER_USER - 1, users)
        who = np.repeat(np.arange(users), rows)
        own = self.random.normal(0, 1, (users, _CAUSES)) @ self.loadings
        values = own[who] + self.random.normal(0, 0.6, (who.size, self.columns))
        values += np.array([math.cos(angle), math.sin(angle)]) @ self.daily + is_weekend * self.weekend
        for column, shift in (shifts or {}).items():
            values[:, column] += shift
        if parted >= 0:
            values[:, parted] = values[self.random.permutation(who.size), parted]
        is_gone = (self.random.random((users, self.columns)) < self.gaps)[who]
        values[is_gone] = np.nan
        if gone >= 0:
            values[self.random.random(who.size) < 0.3, gone] = np.nan
        found: dict[str, Any] = {f"x{column}": values[:, column] for column in range(self.columns - self.texts)}
        codes = np.nan_to_num(np.trunc(np.clip(values[:, self.columns - self.texts :] * 3, -4, 4)) + 4, nan=9.0)
        for place, column in enumerate(codes.astype(int).T.tolist()):
            found[f"x{self.columns - self.texts + place}"] = [_TEXTS[code] for code in column]
        return found


def traffic(
    world: World,
    days: int,
    *,
    shifted_from: int | None = None,
    shifts: dict[int, float] | None = None,
    gone: int = -1,
    is_parted: bool = False,
) -> Traffic:
    """Traffic of some days, with what training saw before.

    Args:
        world: Where it comes from.
        days: How many.
        shifted_from: From which hour on it is another, None for never.
        shifts: By how much which inputs are shifted from then on.
        gone: Which input is then missing in three tenths of the rows; -1 for none.
        is_parted: Whether the first input of the pair that hangs together most then comes with other rows' values.
    """
    seen: dict[str, list[Any]] = {}
    for number in range(_TRAINED_DAYS * 24):
        for name, values in world.hour(number).items():
            seen.setdefault(name, []).append(values)
    numeric = {name: isinstance(parts[0], np.ndarray) for name, parts in seen.items()}
    joined = {n: np.concatenate(p) if numeric[n] else [v for part in p for v in part] for n, p in seen.items()}
    flat = Flat(profile(joined))
    parted = _closest(flat.reference) if is_parted else -1
    counts = np.empty((days * 24, 1, flat.width), dtype=np.int64)
    for number in range(days * 24):
        is_other = shifted_from is not None and number >= shifted_from
        rows = world.hour(number, shifts, gone, parted) if is_other else world.hour(number)
        counts[number, 0] = flat.counts(profile(rows, flat.reference))
    return Traffic(flat, Windows(np.arange(days * 24, dtype=np.int64) + _FIRST, counts))


def _closest(reference: Profile) -> int:
    """The first number of the pair of numbers that depend on each other most."""
    numbers = {column.name for column in reference.columns if column.is_numeric}
    pairs = [pair for pair in reference.pairs if {pair.first, pair.second} <= numbers]
    closest = max(pairs, key=lambda pair: strength(np.array(pair.cells).reshape(GROUPS, GROUPS)))
    return int(closest.first.removeprefix("x"))


def ready_for(found: Traffic, looks: Looks) -> Prepared:
    """Traffic measured by the windows of some looks."""
    end = datetime.fromtimestamp((int(found.hours.starts[-1]) + 1) * 3600, UTC)
    return prepare(found.flat, windows_of(found.hours, looks.window, end), looks)


def alarms(ready: Prepared, first: int, *, every: int = 1) -> list[list[str]]:
    """The drifted columns of each look from a window on; how far like windows lie apart is taken anew at times."""
    found, around = [], None
    for last in range(first, ready.windows.starts.size):
        if around is None or (last - first) % every == 0:
            around = usual_noise(ready, last)
        judged = judge_at(ready, last, around)
        found.append([one.column for one in judged if one.verdict == "drifted" and one.is_used])
    return found


def pages(fired: list[bool]) -> int:
    """How often a rule began to fire."""
    return sum(now and not before for before, now in zip([False, *fired], fired, strict=False))


def by_plain_test(found: Traffic, ready: Prepared, first: int) -> list[bool]:
    """Where a chi-square test of any column against training is below 5 %, corrected for the columns."""
    layout = ready.layout
    reference = found.flat.counts(found.flat.reference)[layout.cells].astype(np.float64)
    now = ready.windows.counts.sum(axis=1)[first:, layout.cells].astype(np.float64)
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    usual = reference / np.repeat(np.add.reduceat(reference, layout.starts), widths)
    rows = np.add.reduceat(now, layout.starts, axis=1)
    expected = usual * np.repeat(rows, widths, axis=1)
    terms = np.where(expected > 0, (now - expected) ** 2 / np.maximum(expected, 1e-9), 0.0)
    squares = np.add.reduceat(terms, layout.starts, axis=1)
    freedom = np.maximum(widths - 1, 1)
    # Wilson and Hilferty: the cube root of a chi-square variable is about normal.
    z = ((squares / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / np.sqrt(2 / (9 * freedom))
    return [bool(one) for one in (z > NormalDist().inv_cdf(1 - 0.05 / len(widths))).any(axis=1)]


def run(
    *,
    columns: int = 100,
    rate: float = 500.0,
    days: int = 90,
    seeds: int = 3,
    shifts: int = 10,
    weekday_seeds: int = 10,
) -> list[dict[str, Any]]:
    """Simulate, and give the rows of the page."""
    looks = Looks(window=HOUR, pages_a_month=1.0)
    months = seeds * days / 30
    own: list[bool] = []
    plain: list[bool] = []
    began = 0
    for seed in range(seeds):
        stood, by_test = watched(seed, columns, rate, days, looks)
        own, plain, began = own + stood, plain + by_test, began + pages(stood)
        print(f"... world {seed + 1} of {seeds}: {len(own):,} looks, {began} pages so far", file=sys.stderr, flush=True)
    rows = [
        _row(
            f"false pages a month of hourly looks at {columns} inputs; raw: always fires",
            len(own) / months,
            began / months,
            2.0,
        ),
        _row(
            "share of looks at which an alarm stands; raw: a test against training, p < 0.05",
            sum(plain) / len(plain),
            sum(own) / len(own),
        ),
    ]
    delays = detection(columns, rate, shifts, looks)
    late = sum(one is None or one > 2 for one in delays) / max(len(delays), 1)
    rows.append(_row(f"of {shifts} clear changes of one input, the share not found within 2 windows", None, late, 0.05))
    delays = partings(columns, rate, shifts, looks)
    late = sum(one is None or one > 2 for one in delays) / max(len(delays), 1)
    rows.append(_row(f"of {shifts} inputs that part from the one they hang together with, as share", None, late, 0.05))
    looked, wrong = weekdays(columns, rate, weekday_seeds)
    rows.append(
        _row(
            f"of {looked} ordinary weekdays, the share that alarms; raw: always fires",
            1.0,
            wrong / max(looked, 1),
            0.02,
        )
    )
    return rows


def watched(seed: int, columns: int, rate: float, days: int, looks: Looks) -> tuple[list[bool], list[bool]]:
    """By look at traffic without a change, after four weeks of history: whether we alarm, and whether the plain test does."""
    found = traffic(World(seed, columns, rate), _HISTORY_DAYS + days)
    ready, first = ready_for(found, looks), _HISTORY_DAYS * 24
    fired = alarms(ready, first, every=7 * 24)
    return [bool(one) for one in fired], by_plain_test(found, ready, first)


def detection(columns: int, rate: float, times: int, looks: Looks) -> list[int | None]:
    """After how many windows a shift of half a deviation of one input, or its loss in 30 % of rows, is found; by world."""
    delays: list[int | None] = []
    for seed in range(times):
        begin = 28 * 24 + 9 + seed
        at = seed % max(columns - columns // 10, 1)
        change: dict[str, Any] = {"gone": at} if seed % 2 else {"shifts": {at: 1.0}}
        found = traffic(World(1000 + seed, min(columns, 30), rate), 31, shifted_from=begin, **_within(change, columns))
        delays.append(_delay(found, begin, looks))
        print(f"... change {seed + 1} of {times}: found after {delays[-1]} windows", file=sys.stderr, flush=True)
    return delays


def partings(columns: int, rate: float, times: int, looks: Looks) -> list[int | None]:
    """After how many windows it is found that an input comes with other rows' values, itself as it was; by world."""
    delays: list[int | None] = []
    for seed in range(times):
        begin = 28 * 24 + 9 + seed
        found = traffic(World(3000 + seed, min(columns, 30), rate), 31, shifted_from=begin, is_parted=True)
        delays.append(_delay(found, begin, looks))
        print(f"... parting {seed + 1} of {times}: found after {delays[-1]} windows", file=sys.stderr, flush=True)
    return delays


def _delay(found: Traffic, begin: int, looks: Looks) -> int | None:
    ready = ready_for(found, looks)
    around = usual_noise(ready, begin)
    for after in range(6):
        if any(one.verdict == "drifted" for one in judge_at(ready, begin + after, around)):
            return after + 1
    return None


def weekdays(columns: int, rate: float, seeds: int) -> tuple[int, int]:
    """Ordinary days with four weeks of history: how many were looked at, and how many alarmed."""
    looked = wrong = 0
    for seed in range(seeds):
        found = traffic(World(2000 + seed, min(columns, 30), rate / 5), 35)
        ready = ready_for(found, Looks(window=DAY, pages_a_month=1.0))
        fired = alarms(ready, 28)
        looked, wrong = looked + len(fired), wrong + sum(bool(one) for one in fired)
        print(f"... weekdays {seed + 1} of {seeds}: {wrong} alarms in {looked}", file=sys.stderr, flush=True)
    return looked, wrong


def _within(change: dict[str, Any], columns: int) -> dict[str, Any]:
    most = min(columns, 30) - min(columns, 30) // 10
    if "gone" in change:
        return {"gone": change["gone"] % most}
    return {"shifts": {at % most: by for at, by in change["shifts"].items()}}


def _row(what: str, raw: float | None, own: float, goal: float | None = None) -> dict[str, Any]:
    row = {"path": _PATH, "what": what, "raw": raw, "slipway": own, "ratio": None}
    return row if goal is None else {**row, "goal": goal}
