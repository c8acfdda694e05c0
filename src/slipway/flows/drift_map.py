"""Drift over time as a map: every window of a period judged as it was then; and one column in one window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

import numpy as np

from slipway.errors import InvalidInput, NotFound, near
from slipway.flows.column_trace import personal_inputs
from slipway.flows.drift import Watched, looks_of, watched
from slipway.flows.known_models import known_model
from slipway.hashing import digest
from slipway.models import registry
from slipway.monitoring.drift_watch import (
    DAY,
    HOUR,
    Prepared,
    Windows,
    against_training,
    judge_at,
    like_windows,
    prepare,
    usual_noise,
    windows_of,
)
from slipway.monitoring.feeds import feed_by_input
from slipway.operations.drift import AskColumn, AskMap, Bar, ColumnDrift, DriftMap, DriftRow, MapCell, MapColumn
from slipway.ports.workspace import Workspace
from slipway.schema.moments import moment
from slipway.stats.flat_profiles import Counts, Flat
from slipway.stats.profile_parts import Column, Profile
from slipway.tables.personal import may_see

__all__ = ["drift_column", "drift_map"]

_DAYS = {"24h": 1, "7d": 7, "30d": 30, "all": 10_000}
_UNITS = {"hour": HOUR, "day": DAY, "": None}
_WORST = ("steady", "cannot tell", "moved", "drifted")
_SCORE = "score"
_KEPT = 8
_maps: dict[tuple[object, ...], DriftMap] = {}
"""Those asked for last, by all that they are made of: a page that is loaded again judges nothing anew."""


def drift_map(workspace: Workspace, request: AskMap) -> DriftMap:
    """Each column by window, judged as of the window's end.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: There is no such period.
    """
    if request.period not in _DAYS:
        raise InvalidInput(f"{request.period!r} is no period.", fix=f"Choose {', '.join(_DAYS)}.", field="period")
    found = watched(workspace, request.name)
    if isinstance(found, str):
        return DriftMap(endpoint=request.name, model="", unit="day", note=found)
    unit: Literal["hour", "day"] = "hour" if request.period == "24h" else "day"
    ready = _ready(found, HOUR if unit == "hour" else DAY)
    begin = (found.now - timedelta(days=_DAYS[request.period])).astimezone(UTC).timestamp() // 3600
    places = [place for place, start in enumerate(ready.windows.starts.tolist()) if start >= begin]
    if not places:
        note = f"{request.name} answered nothing in a whole {unit} of this time."
        return DriftMap(endpoint=request.name, model=found.model, unit=unit, note=note)
    key = (workspace.root, found.revision.id, request.period, found.now.timestamp() // 3600, _digest(found))
    if (known := _maps.get(key)) is not None:
        return known
    judged = [_judged(found, ready, place) for place in places]
    by_window = [_by_column(rows) for rows in judged]
    made = DriftMap(
        endpoint=request.name,
        model=found.model,
        unit=unit,
        windows=tuple(_instant(int(ready.windows.starts[place])) for place in places),
        rows=tuple(_rows(ready, place) for place in places),
        columns=tuple(
            _column(found, name, [cells.get(name, ()) for cells in by_window]) for name in _names(found, ready)
        ),
    )
    while len(_maps) >= _KEPT:
        _maps.pop(next(iter(_maps)), None)
    _maps[key] = made
    return made


def _digest(found: Watched) -> str:
    """Of all that a map is made of besides the revision."""
    return digest(found.hours.starts.tobytes() + found.hours.counts.tobytes() + repr(found.faulty).encode())


def drift_column(workspace: Workspace, request: AskColumn) -> ColumnDrift:
    """One column in one window.

    Raises:
        NotFound: Nothing was ever deployed there, or there is no such column or window.
        InvalidInput: The time cannot be read, or the unit is none.
    """
    if request.unit not in _UNITS:
        raise InvalidInput(f"{request.unit!r} is no unit.", fix='It is "hour" or "day".', field="unit")
    at = moment(request.window, field="window") if request.window else None
    found = watched(workspace, request.name)
    if isinstance(found, str):
        return ColumnDrift(endpoint=request.name, model="", column=request.column, note=found)
    own = HOUR if timedelta(microseconds=found.monitor.every_us) < DAY else DAY
    window = _UNITS[request.unit] or own
    ready = _ready(found, window)
    names = _names(found, ready)
    if request.column not in names:
        raise NotFound(
            f"{found.model} has no column {request.column!r}, or its values are not logged.",
            why=near(request.column, names, what="columns"),
        )
    if not ready.windows.starts.size:
        note = f"{request.name} has answered nothing over a whole window yet."
        return ColumnDrift(endpoint=request.name, model=found.model, column=request.column, note=note)
    place = _place(ready, at, window)
    rows = [one for one in _judged(found, ready, place) if request.column in (one.column, one.other)]
    begin = _instant(int(ready.windows.starts[place]))
    hidden = _why_hidden(workspace, found, request.column)
    return ColumnDrift(
        endpoint=request.name,
        model=found.model,
        column=request.column,
        feed=feed_by_input(found.bundle.features).get(request.column, "request"),
        is_used=_is_used(ready, request.column),
        importance=_importance(found, request.column),
        unit="hour" if window == HOUR else "day",
        window_from=begin,
        window_until=begin + window,
        rows=_rows(ready, place),
        windows=tuple(_instant(start) for start in ready.windows.starts.tolist()),
        season=next((one.season for one in rows if one.season), ""),
        questions=tuple(rows),
        bars=() if hidden else _bars(ready, request.column, place),
        hidden=hidden,
    )


def _ready(found: Watched, window: timedelta) -> Prepared:
    looks = looks_of(found.bundle, found.monitor, found.hours, window)
    windows = windows_of(found.hours, window, found.now)
    return prepare(found.flat, windows, looks, found.faulty)


def _place(ready: Prepared, at: datetime | None, window: timedelta) -> int:
    starts = ready.windows.starts
    if at is None:
        return int(starts.size) - 1
    hour = int(at.astimezone(UTC).timestamp() // 3600)
    width = window // HOUR
    found = np.flatnonzero((starts <= hour) & (starts + width > hour))
    if not found.size:
        raise NotFound(
            f"Nothing was answered in the {'hour' if width == 1 else 'day'} of {at:%Y-%m-%d %H:%M} UTC, or it is not kept.",
            fix=f"Choose a time from {_instant(int(starts[0])):%Y-%m-%d} to {_instant(int(starts[-1])):%Y-%m-%d}.",
        )
    return int(found[0])


def _judged(found: Watched, ready: Prepared, place: int) -> list[DriftRow]:
    """All questions in one window: by like windows before it, or by training where there are none."""
    rows = judge_at(ready, place, usual_noise(ready, place))
    if not any(one.season for one in rows):
        until = _instant(int(ready.windows.starts[place])) + ready.looks.window
        rows = against_training(found.flat, found.hours, ready.looks, until)
    hidden = set(found.revision.log.redacted)
    return [one for one in rows if not hidden & {one.column, one.other}]


def _by_column(rows: Sequence[DriftRow]) -> dict[str, list[DriftRow]]:
    found: dict[str, list[DriftRow]] = {}
    for one in rows:
        for name in filter(None, (one.column, one.other)):
            found.setdefault(name, []).append(one)
    return found


def _names(found: Watched, ready: Prepared) -> list[str]:
    """What the model answers first, then its inputs, those first on which the answers rest most."""
    names = [name for name in ready.layout.names if name not in found.revision.log.redacted]

    def rank(name: str) -> tuple[bool, bool, float]:
        return name != _SCORE, not _is_used(ready, name), -(_importance(found, name) or 0.0)

    return sorted(names, key=rank)


def _is_used(ready: Prepared, name: str) -> bool:
    used = ready.looks.used
    return name == _SCORE or not used or used.get(name, 0.0) > 0.0


def _importance(found: Watched, name: str) -> float | None:
    told = found.bundle.explained
    each = next((one for one in told.importances if one.input == name), None) if told else None
    share = max(each.permuted, each.contribution) if each else None
    return share if share is not None and np.isfinite(share) else None


def _column(found: Watched, name: str, cells: Sequence[Sequence[DriftRow]]) -> MapColumn:
    flat = [one for rows in cells for one in rows]
    return MapColumn(
        column=name,
        feed=feed_by_input(found.bundle.features).get(name, "request"),
        is_used=name == _SCORE or any(one.is_used for one in flat),
        importance=_importance(found, name),
        cells=tuple(_cell(rows) for rows in cells),
    )


def _cell(rows: Sequence[DriftRow]) -> MapCell:
    """The worst question; where none moved the one that lies nearest to its floor."""
    if not rows:
        return MapCell(verdict="cannot tell", sentence="Nothing was counted.")
    told = [one for one in rows if one.verdict != "cannot tell"]
    worst = max(told or rows, key=lambda one: (_WORST.index(one.verdict), one.effect / one.floor))
    return MapCell(
        verdict=worst.verdict,
        question=worst.question,
        effect=worst.effect,
        floor=worst.floor,
        season=worst.season,
        sentence=worst.sentence,
    )


def _rows(ready: Prepared, place: int) -> int:
    return int(ready.windows.counts[place, :, ready.flat.rows].sum())


def _why_hidden(workspace: Workspace, found: Watched, column: str) -> str:
    """Why the values of a column are not shown, "" where they are."""
    if column == _SCORE or may_see(workspace.actor):
        return ""
    served = found.revision.served
    version = registry.get(workspace, served.model, str(served.number))
    with workspace.ledger.read() as tx:
        model = known_model(workspace, tx, version, (found.revision.name,))
    names = tuple(field.name for field in found.bundle.signature.inputs)
    is_personal = column in personal_inputs(workspace, model, names)
    return "It tells something of people, and your roles do not show you such values." if is_personal else ""


def _bars(ready: Prepared, name: str, place: int) -> tuple[Bar, ...]:
    """How the values of a column lie in a window, in the like windows before it, and in training."""
    flat, windows = ready.flat, ready.windows
    at = next(place for place, column in enumerate(flat.reference.columns) if column.name == name)
    now = _counts(_of(flat, windows, [place]).columns[at])
    before = like_windows(ready, place)
    usual = _counts(_of(flat, windows, before).columns[at]) if before else None
    training = _counts(flat.reference.columns[at])
    labels = _labels(flat.reference.columns[at])
    return tuple(
        Bar(label=label, training=_share(training, i), usual=_share(usual, i) if usual else None, now=_share(now, i))
        for i, label in enumerate(labels)
    )


def _of(flat: Flat, windows: Windows, places: Sequence[int]) -> Profile:
    counts: Counts = windows.counts[list(places)].sum(axis=(0, 1))
    return flat.profile(counts)


def _counts(column: Column) -> tuple[int, ...]:
    """Rows by bin or category, then those of no bin: others, unseen ones, missing ones."""
    rest = (column.missing,) if column.is_numeric else (column.other, column.unseen, column.missing)
    return (*column.counts, *rest)


def _labels(column: Column) -> tuple[str, ...]:
    if not column.is_numeric:
        return (*column.categories, "other known ones", "never seen at training", "missing")
    edges = column.edges
    if not edges:
        return ("all values", "missing")
    between = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return (f"up to {edges[0]:.4g}", *between, f"over {edges[-1]:.4g}", "missing")


def _share(counts: Sequence[int], place: int) -> float:
    whole = sum(counts)
    return counts[place] / whole if whole else 0.0


def _instant(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)
