"""Hard breaks of feeds, within the hour: an input that is wholly missing, or stands still, and never did before.

A share of a day needs a day. That all rows of the last hours show the same is said at once, where no hour of the four weeks
before showed it, so that it needs no threshold that a season could cross. Judged are the last rows, at least a hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from slipway.monitoring.drift_watch import Windows
from slipway.monitoring.feeds import HISTORY_DAYS, Span
from slipway.stats.flat_profiles import Flat
from slipway.stats.seasons import Layout

__all__ = ["HardBreak", "hard_breaks"]

_ROWS = 100
_HOURS = 6
"""The last rows are those of so many hours at most: of an endpoint that is hardly asked, a day tells."""
_OF_AN_HOUR = 20
_KNOWN_HOURS = 72
_DAYS = 7
_MOSTLY: Mapping[str, float] = {"missing": 0.9, "stale": 0.6}
"""What any hour showed as much of before is no sign. A slow input of three airports may lie in one bin by chance."""
_ALL_BUT = 1e-9
_CELLS = 3


class HardBreak(Struct, frozen=True, kw_only=True):
    """An input that shows one thing only.

    Args:
        column: The input.
        kind: "missing": no row has a value; "stale": all rows have the same one, or the same range of ten.
        feed: What to mend.
        since: The first hour that shows it.
        rows: Rows that show it.
        usual: The greatest share of an hour's rows that ever showed it before.
    """

    column: str
    kind: Literal["missing", "stale"]
    feed: str
    since: datetime
    rows: int
    usual: float

    @property
    def sentence(self) -> str:
        """What is wrong, in words."""
        what = "missing in all" if self.kind == "missing" else "the same in all"
        since = f"since {self.since:%Y-%m-%d %H:%M} UTC"
        return f"{self.feed}, {since}: {self.column} is {what} {self.rows:,} rows; the most in any hour before was {self.usual:.0%}"


class _Shares(NamedTuple):
    """By hour and column: the share of rows that are missing, or of present ones in the fullest cell; and rows."""

    shares: NDArray[np.float64]
    rows: NDArray[np.float64]


def hard_breaks(
    flat: Flat, hours: Windows, now: datetime, *, feeds: Mapping[str, str], faulty: Collection[Span] = ()
) -> list[HardBreak]:
    """What the last rows show and no hour before did.

    Args:
        flat: The layout of the profiles.
        hours: The traffic by hour, ascending; the hour that runs may be among them.
        now: Business time.
        feeds: Which feed an input comes from, see `feeds.feed_by_input`.
        faulty: Times over which a feed was broken: they are no example of what is usual.
    """
    present = int(now.astimezone(UTC).timestamp()) // 3600
    is_near = (hours.starts <= present) & (hours.starts > present - HISTORY_DAYS * 24)
    starts, counts = hours.starts[is_near], hours.counts[is_near].sum(axis=1)
    if not starts.size or starts[-1] - starts[0] < _DAYS * 24:
        return []
    layout = Layout(flat)
    cells = counts[:, layout.cells].astype(np.float64)
    values = np.add.reduceat(cells, layout.starts, axis=1)
    rows = values + counts[:, layout.missing]
    fullest = np.maximum.reduceat(cells, layout.starts, axis=1)
    kinds: dict[Literal["missing", "stale"], _Shares] = {
        "missing": _Shares((rows - values) / np.maximum(rows, 1), rows),
        "stale": _Shares(fullest / np.maximum(values, 1), values),
    }
    ours = np.array([_is_in(int(start), faulty) for start in starts])
    found = []
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    for place, name in enumerate(layout.names):
        for kind, seen in kinds.items():
            if kind == "stale" and widths[place] < _CELLS:
                continue
            one = _broken(starts, seen.shares[:, place], seen.rows[:, place], ours, present, _MOSTLY[kind])
            if one is not None and (kind == "missing" or _is_one_cell(cells, layout, place, one[0])):
                first, shown, usual = one
                since = datetime.fromtimestamp(int(starts[first]) * 3600, UTC)
                feed = feeds.get(name, "request")
                found.append(HardBreak(column=name, kind=kind, feed=feed, since=since, rows=shown, usual=usual))
    return found


def _broken(
    starts: NDArray[np.int64],
    shares: NDArray[np.float64],
    rows: NDArray[np.float64],
    faulty: NDArray[np.bool_],
    present: int,
    mostly: float,
) -> tuple[int, int, float] | None:
    """The first hour of a run of hours that shows one thing only up to now, its rows, and the most of any hour before."""
    block = shown = 0
    for place in range(starts.size - 1, -1, -1):
        if present - starts[place] > _HOURS or shown >= _ROWS:
            break
        if rows[place] and shares[place] < 1 - _ALL_BUT:
            return None
        shown, block = shown + int(rows[place]), place
    if shown < _ROWS:
        return None
    first = block
    while first > 0 and (not rows[first - 1] or shares[first - 1] >= mostly):
        first -= 1
    before = (np.arange(starts.size) < first) & (rows >= _OF_AN_HOUR) & ~faulty
    if before.sum() < _KNOWN_HOURS or starts[first] - starts[before][0] < _DAYS * 24:
        return None
    usual = float(shares[before].max())
    if usual >= mostly:
        return None
    while not rows[first]:
        first += 1
    return first, int((rows[first:] * shares[first:]).sum()), usual


def _is_one_cell(cells: NDArray[np.float64], layout: Layout, place: int, first: int) -> bool:
    """Whether the rows of the run lie in one and the same cell: a rhythm may fill one after the other."""
    ends = [*layout.starts[1:].tolist(), layout.cells.size]
    own = cells[first:, int(layout.starts[place]) : ends[place]]
    full = own[own.sum(axis=1) > 0]
    return len(set(full.argmax(axis=1).tolist())) == 1


def _is_in(hour: int, spans: Collection[Span]) -> bool:
    begin = datetime.fromtimestamp(hour * 3600, UTC)
    end = begin + timedelta(hours=1)
    return any(since < end and (until is None or until > begin) for since, until in spans)
