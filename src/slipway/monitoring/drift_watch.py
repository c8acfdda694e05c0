"""Drift over time: each window of traffic against like windows before it, judged by column and question.

A pure function of hourly profiles. A question moved in a window where the lower bound of its effect lies above its floor,
at the level that the budget of false pages leaves for it. It is drift where two of the last three windows moved, or the last
one by three times the floor. A window that is too small to show a clear change "cannot tell". Until four like windows are
there, the last week is compared with training instead; that is never more than a note, for training is another season.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from slipway.operations.drift import DriftRow
from slipway.stats import alarm_budget
from slipway.stats.drift import FLOORS, compare
from slipway.stats.flat_profiles import Counts, Flat
from slipway.stats.profile_parts import Column, Profile
from slipway.stats.seasons import (
    LIKE_AT_LEAST,
    MIN_ROWS,
    Asked,
    Distance,
    Layout,
    Measured,
    Noise,
    distance,
    like,
    measure,
    noise,
)

__all__ = ["Looks", "OverTime", "Prepared", "Windows", "against_training", "judge_at", "judge_over_time", "like_windows", "prepare", "usual_noise", "windows_of"]  # fmt: skip

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_HOURS_A_DAY, _HOURS_A_WEEK = 24, 168
_THURSDAY = 3 * _HOURS_A_DAY
"""The first of January 1970 was one, and weeks begin on Mondays."""
_WHEN = "weekday and hour"
_RECENT, _RECENT_AT_FIRST = timedelta(days=7), timedelta(days=2)
_JUDGED = 3
_BACK = 28
_QUIET = 2
_STEADY = 0.95
_POWER = 0.1


class Looks(Struct, frozen=True, kw_only=True):
    """How drift is looked for.

    Args:
        window: An hour or a day.
        pages_a_month: How many false pages a month are bearable.
        holidays: Days that are like no other: they are not judged, and nothing is learnt from them.
        used: The columns that the model uses, with how much; {} where nobody knows, and all count as used.
        segment: The column whose mix is told apart from changes within, "" for none.
    """

    window: timedelta = DAY
    pages_a_month: float = 1.0
    holidays: tuple[date, ...] = ()
    used: Mapping[str, float] = {}
    segment: str = ""


class Windows(NamedTuple):
    """Traffic by window: when each begins (hours since 1970), and its counts, shape `(n_windows, n_parts, width)`."""

    starts: NDArray[np.int64]
    counts: Counts


class OverTime(Struct, frozen=True, kw_only=True):
    """What the last window shows.

    Args:
        columns: All questions; drifted ones first, of these the ones that matter most.
        window_from: Begin of the last window, None where there is none.
        window_until: Its end.
        rows: Its rows.
        season: What it was compared with.
    """

    columns: tuple[DriftRow, ...] = ()
    window_from: datetime | None = None
    window_until: datetime | None = None
    rows: int = 0
    season: str = ""

    @property
    def drifted(self) -> list[DriftRow]:
        """What drifted in columns that the model uses."""
        return [one for one in self.columns if one.verdict == "drifted" and one.is_used]


def windows_of(hours: Windows, window: timedelta, now: datetime) -> Windows:
    """Whole windows until now out of hours; windows are whole hours or days of UTC."""
    each = window // HOUR
    until = int(now.astimezone(UTC).timestamp()) // 3600 // each
    numbers = hours.starts // each
    is_whole = numbers < until
    if each == 1 or not is_whole.any():
        return Windows(hours.starts[is_whole], hours.counts[is_whole])
    numbers, counts = numbers[is_whole], hours.counts[is_whole]
    starts, first = np.unique(numbers, return_index=True)
    return Windows(starts * each, np.add.reduceat(counts, first, axis=0))


class Prepared(NamedTuple):
    """Traffic made ready to be judged at any of its windows.

    Args:
        flat: The layout of the profiles.
        layout: Of the questions.
        windows: The traffic.
        measured: Its shares.
        teaches: From which windows something is learnt.
        looks: How drift is looked for.
    """

    flat: Flat
    layout: Layout
    windows: Windows
    measured: Measured
    teaches: NDArray[np.bool_]
    looks: Looks


def judge_over_time(
    flat: Flat,
    hours: Windows,
    looks: Looks,
    now: datetime,
    *,
    faulty: Collection[tuple[datetime, datetime | None]] = (),
) -> OverTime:
    """Judge the last whole window.

    Args:
        flat: The layout of the profiles over the model's reference.
        hours: The traffic by hour, ascending, over that reference.
        looks: How it is looked for.
        now: Business time.
        faulty: Times over which a feed was broken: nothing is learnt from them.
    """
    windows = windows_of(hours, looks.window, now)
    if not windows.starts.size:
        return OverTime()
    ready = prepare(flat, windows, looks, faulty)
    last = windows.starts.size - 1
    found = judge_at(ready, last, usual_noise(ready, last))
    if not any(one.season for one in found):
        found = against_training(flat, hours, looks, now)
    start = _instant(int(windows.starts[last]))
    rows = int(ready.measured.sizes[last, len(ready.layout.names) :].max(initial=0.0))
    return OverTime(
        columns=tuple(sorted(found, key=lambda one: _rank(one, looks))),
        window_from=start,
        window_until=start + looks.window,
        rows=rows,
        season=next((one.season for one in found if one.season), ""),
    )


def prepare(
    flat: Flat, windows: Windows, looks: Looks, faulty: Collection[tuple[datetime, datetime | None]] = ()
) -> Prepared:
    """Measure windows, so that they can be judged."""
    layout = Layout(flat)
    teaches = np.array([_teaches(int(start), looks, faulty) for start in windows.starts], dtype=np.bool_)
    return Prepared(flat, layout, windows, _measured(layout, windows, looks), teaches, looks)


def usual_noise(ready: Prepared, last: int) -> Noise:
    """How far like windows lie apart before one, by those of a week ago and more: else a change would hide itself."""
    starts = ready.windows.starts
    is_long = starts[last] - starts[0] >= (LIKE_AT_LEAST + 1) * _HOURS_A_WEEK
    among = ready.teaches & (starts <= starts[last] - (_RECENT if is_long else _RECENT_AT_FIRST) // HOUR)
    return noise(ready.layout, ready.measured, starts, _HOURS_A_WEEK, among)


def judge_at(ready: Prepared, last: int, around: Noise) -> list[DriftRow]:
    """Judge one window by those before it; a season of "" says that there are no like windows yet.

    Args:
        ready: The traffic.
        last: Which window.
        around: From `usual_noise`.
    """
    starts, looks = ready.windows.starts, ready.looks
    if _is_holiday(int(starts[last]), looks):
        why = "a holiday is like no other day"
        return [_untold(ready.layout, asked, looks, why, "holiday") for asked in ready.layout.asked]
    count = len(like_windows(ready, last))
    if count < LIKE_AT_LEAST:
        return [_untold(ready.layout, asked, looks, "no like windows yet") for asked in ready.layout.asked]
    judged = _recent(starts, last, looks.window)
    seen = [_seen(ready, place, around) for place in judged]
    kind = "same weekday" if looks.window == DAY else "same weekday and hour"
    found = _columns(ready, seen, f"{kind}, {count} weeks", [int(starts[place]) for place in judged])
    return _with_since(ready, found, last, around)


def _measured(layout: Layout, windows: Windows, looks: Looks) -> Measured:
    """Shares of windows; with a segment those within it, the segment's own column as it is."""
    plain = measure(layout, windows.counts)
    if not looks.segment or windows.counts.shape[1] == 1:
        return plain
    rows = windows.counts[..., layout.cells].sum(axis=(0, 2)).astype(np.float64)
    within = measure(layout, windows.counts, rows / max(rows.sum(), 1.0))
    own = [place for place, name in enumerate(layout.names) if name == looks.segment]
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    is_own = np.isin(np.repeat(np.arange(len(layout.names)), widths), own)
    is_own_asked = np.array([asked.column in own and asked.question != "dependence" for asked in layout.asked])
    is_own_part = is_own_asked[len(layout.names) :]
    return Measured(
        np.where(is_own, plain.cells, within.cells),
        np.where(is_own_part, plain.parts, within.parts),
        np.where(is_own_asked, plain.sizes, within.sizes),
        within.variances,
    )


def _teaches(start: int, looks: Looks, faulty: Collection[tuple[datetime, datetime | None]]) -> bool:
    begin = _instant(start)
    end = begin + looks.window
    is_faulty = any(since < end and (until is None or until > begin) for since, until in faulty)
    return not is_faulty and not _is_holiday(start, looks)


def _is_holiday(start: int, looks: Looks) -> bool:
    return bool(looks.holidays) and _instant(start).date() in looks.holidays


def _recent(starts: NDArray[np.int64], last: int, window: timedelta) -> list[int]:
    """A window and those shortly before it that had traffic."""
    reach = (timedelta(days=2) if window == HOUR else timedelta(days=5)) // HOUR
    found = np.flatnonzero(starts[: last + 1] >= starts[last] - reach)
    return [int(place) for place in found[-_JUDGED:]]


def like_windows(ready: Prepared, place: int) -> list[int]:
    """Which windows before one it is compared with."""
    return like(ready.windows.starts, place, _HOURS_A_WEEK, ready.teaches, before=True)


def _seen(ready: Prepared, place: int, around: Noise) -> Distance:
    return distance(ready.layout, ready.measured, place, like_windows(ready, place), around)


def _moved(layout: Layout, seen: Distance, looks: Looks) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which questions moved in a window, and at which level each was judged: columns in use apart from the others."""
    floors = np.array([FLOORS[asked.question] for asked in layout.asked])
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (seen.effects - floors) / seen.deviations
    chances = np.array(
        [
            alarm_budget.chance(float(e), float(f)) if np.isfinite(e) else np.nan
            for e, f in zip(excess, seen.freedom, strict=True)
        ]
    )
    used = np.array([_is_used(_about(layout, asked), looks) for asked in layout.asked])
    level = alarm_budget.look_level(looks.pages_a_month, looks.window)
    levels = np.where(
        used,
        alarm_budget.holm(np.where(used, chances, np.nan), level),
        alarm_budget.holm(np.where(used, np.nan, chances), level),
    )
    return np.nan_to_num(chances, nan=1.0) < levels, levels


def _columns(ready: Prepared, seen: Sequence[Distance], season: str, starts: Sequence[int]) -> list[DriftRow]:
    layout, looks = ready.layout, ready.looks
    judged = [_moved(layout, one, looks) for one in seen]
    last, levels = seen[-1], judged[-1][1]
    found = []
    for place, asked in enumerate(layout.asked):
        effect, deviation, freedom = (float(v[place]) for v in (last.effects, last.deviations, last.freedom))
        if not np.isfinite(effect):
            why = f"{int(last.sizes[place])} rows now, or too few before"
            found.append(_untold(layout, asked, looks, why, season, int(last.sizes[place])))
            continue
        floor = FLOORS[asked.question]
        moved = [bool(flags[place]) for flags, _ in judged]
        effects = [float(one.effects[place]) for one in seen]
        half = alarm_budget.quantile((1 - _STEADY) / 2, freedom) * deviation
        needed = alarm_budget.quantile(float(levels[place]), freedom) + alarm_budget.quantile(_POWER, freedom)
        verdict: Literal["drifted", "moved", "steady", "cannot tell"]
        if alarm_budget.is_alarm(moved, effects, floor):
            verdict = "drifted"
        elif moved[-1]:
            verdict = "moved"
        else:
            verdict = "steady" if floor + needed * deviation <= alarm_budget.CLEAR * floor else "cannot tell"
        about = _about(layout, asked)
        figures = (effect, float(last.now[place]), float(last.before[place]))
        found.append(
            DriftRow(
                column=about[0],
                other=about[1],
                question=asked.question,
                verdict=verdict,
                effect=effect,
                low=max(0.0, effect - half),
                high=min(2.0 if asked.question == "dependence" else 1.0, effect + half),
                floor=floor,
                now=figures[1],
                before=figures[2],
                season=season,
                since=_instant(starts[moved.index(True)]) if verdict in ("drifted", "moved") else None,
                rows=int(last.sizes[place]),
                effective=int(last.effective[place]),
                is_used=_is_used(about, looks),
                sentence=_told(about, asked.question, figures, looks),
            )
        )
    return found


def _with_since(ready: Prepared, found: Sequence[DriftRow], last: int, around: Noise) -> list[DriftRow]:
    """With the first of the windows that moved without two quiet ones between them."""
    if all(one.since is None for one in found):
        return list(found)
    layout = ready.layout
    floors = np.array([FLOORS[asked.question] for asked in layout.asked])
    flags = []
    for place in range(last, max(-1, last - _BACK), -1):
        with np.errstate(invalid="ignore"):
            flags.append((_seen(ready, place, around).effects > floors, int(ready.windows.starts[place])))
    by_question = {(*_about(layout, a), str(a.question)): place for place, a in enumerate(layout.asked)}
    return [_dated(one, by_question[one.column, one.other, one.question], flags) if one.since else one for one in found]


def _dated(one: DriftRow, question: int, flags: Sequence[tuple[NDArray[np.bool_], int]]) -> DriftRow:
    since, quiet = one.since, 0
    for moved, start in flags:
        quiet = 0 if moved[question] else quiet + 1
        if quiet == _QUIET or since is None:
            break
        since = min(since, _instant(start)) if moved[question] else since
    return structs.replace(one, since=since)


def against_training(flat: Flat, hours: Windows, looks: Looks, now: datetime) -> list[DriftRow]:
    """The week until a time against training, where live weeks do not say yet what is usual."""
    until = int(now.astimezone(UTC).timestamp()) // 3600
    is_recent = (hours.starts >= until - _HOURS_A_WEEK) & (hours.starts < until)
    days = np.unique(hours.starts[is_recent] // _HOURS_A_DAY).size
    week, training = flat.profile(hours.counts[is_recent].sum(axis=(0, 1))), flat.reference
    if training.hours:
        of_hours = hours.counts[is_recent][..., flat.rows].sum(axis=1)
        places = (hours.starts[is_recent] + _THURSDAY) % _HOURS_A_WEEK
        by_hour = np.bincount(places, weights=of_hours, minlength=_HOURS_A_WEEK).astype(int).tolist()
        week, training = _with_hours(week, by_hour), _with_hours(training, training.hours)
    told = f"{days} days of traffic, and a week has seven" if days < _RECENT // DAY else ""
    found = []
    for answer in compare(week, training, false_alarms=0.01):
        is_open = bool(told) or answer.verdict == "cannot tell"
        found.append(
            DriftRow(
                column=answer.column,
                other=answer.other,
                question=answer.question,
                verdict="cannot tell" if is_open else ("moved" if answer.verdict == "moved" else "steady"),
                effect=answer.effect,
                low=answer.low,
                floor=answer.floor,
                season="training",
                rows=week.rows,
                is_used=_is_used((answer.column, answer.other), looks),
                sentence=f"{_named((answer.column, answer.other))}: {told}" if told else answer.sentence,
            )
        )
    return found


def _with_hours(found: Profile, hours: Sequence[int]) -> Profile:
    """A profile with one column more: at which weekday and hour its rows were decided."""
    names = tuple(f"{day} {hour:02}" for day in range(7) for hour in range(_HOURS_A_DAY))
    own = Column(name=_WHEN, kind="text", categories=names, counts=tuple(hours))
    return structs.replace(found, columns=(*found.columns, own))


def _untold(layout: Layout, asked: Asked, looks: Looks, why: str, season: str = "", rows: int = 0) -> DriftRow:
    about = _about(layout, asked)
    name = _named(about)
    return DriftRow(
        column=about[0],
        other=about[1],
        question=asked.question,
        verdict="cannot tell",
        floor=FLOORS[asked.question],
        season=season,
        rows=rows,
        is_used=_is_used(about, looks),
        sentence=f"{name}: {why} ({MIN_ROWS} rows are needed, and {LIKE_AT_LEAST} like windows)"
        if rows
        else f"{name}: {why}",
    )


def _about(layout: Layout, asked: Asked) -> tuple[str, str]:
    """The column, and of dependence the other one."""
    return layout.names[asked.column], layout.names[asked.other] if asked.question == "dependence" else ""


def _named(about: tuple[str, str]) -> str:
    return " and ".join(filter(None, about))


def _is_used(about: tuple[str, str], looks: Looks) -> bool:
    if about[0] == _WHEN:
        return False
    return not looks.used or all(name == "score" or looks.used.get(name, 0.0) > 0.0 for name in filter(None, about))


def _rank(one: DriftRow, looks: Looks) -> tuple[int, bool, float, str, str, str]:
    order = ("drifted", "moved", "cannot tell", "steady").index(one.verdict)
    weight = looks.used.get(one.column, 0.0) if looks.used else 1.0
    return order, not one.is_used, -weight * one.effect / one.floor, one.column, one.question, one.other


def _told(about: tuple[str, str], question: str, figures: tuple[float, float, float], looks: Looks) -> str:
    effect, now, before = figures
    name = _named(about)
    within = f" within {looks.segment}" if looks.segment and name != looks.segment else ""
    if question == "dependence":
        return f"{name}: correlated by {now:+.2f}{within}, {before:+.2f} in like windows before"
    if question == "shape" and looks.segment == name:
        return f"the mix of {name} moved: {effect:.0%} of the rows lie elsewhere than in like windows before"
    if question == "shape":
        return f"{name}: {effect:.0%} of the rows lie elsewhere{within} than in like windows before"
    words = {
        "missing": "missing in {0:.1%} of the rows",
        "unseen": "{0:.1%} of values never seen at training",
        "tails": "{0:.1%} of values outside of training's range",
    }
    return f"{name}: {words[question].format(now)}{within}, {before:.1%} in like windows before"


def _instant(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)
