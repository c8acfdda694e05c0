"""Profiles: columns as integer counts over fixed edges, so that merging is exact addition in any order.

A reference profile fixes the frame: the edges (deciles), the range and the tails, the categories, the grid of the moments
and the pairs of columns whose dependence is counted. Profiles of later windows are counted over it. Two profiles over the
same reference merge into the one that all their rows would have given, to the byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import Corrupt, InvalidInput
from slipway.stats import profile_counting as counting
from slipway.stats.profile_counting import BINS, MAX_CATEGORIES, MAX_RARE, Tally, numbers_of
from slipway.stats.profile_pairs import MAX_PAIRS, POOL, chosen, count_pair, strongest, sum_of_pairs
from slipway.stats.profile_parts import HOURS, Column, Pair, Profile, deviation, emptied, mean, sum_of

__all__ = [
    "BINS",
    "MAX_CATEGORIES",
    "MAX_PAIRS",
    "MAX_RARE",
    "POOL",
    "Column",
    "Pair",
    "Profile",
    "deviation",
    "from_bytes",
    "has_category",
    "hours_of",
    "mean",
    "merge",
    "profile",
    "profile_in_batches",
    "to_bytes",
    "weighed",
    "without",
]

_SAMPLED = 200_000
_PAIRED = 20_000

Columns = Mapping[str, Any]


def profile(
    columns: Any,
    reference: Profile | None = None,
    *,
    at: Any = None,
    importance: Mapping[str, float] | None = None,
    predictions: Collection[str] = (),
    pairs: int = MAX_PAIRS,
) -> Profile:
    """Profile columns.

    The edges of a reference are the deciles of all its rows, of more than 200,000 rows those of 200,000 that lie evenly
    among them; everything else is counted over all rows.

    Args:
        columns: A Polars frame, an Arrow table, or by name: a float array of shape `(n_rows,)` (NaN is missing), a Polars
            series, or a sequence of texts and None.
        reference: The profile whose frame counts; None makes this a reference of its own.
        at: When each row was decided: then rows are counted by weekday and hour, UTC.
        importance: By name the share of a model's answers that rests on an input: which pairs matter, and what may alert.
            Only a reference takes it.
        predictions: Which columns hold what the model answered; only a reference takes it.
        pairs: Of how many pairs a reference counts the dependence.

    Raises:
        InvalidInput: A column of the reference is missing, or is of another kind.
    """
    given = _by_name(columns)
    hours = () if at is None else hours_of(at)
    if reference is not None:
        return _counted(reference, given, hours)
    made = profile_in_batches(lambda: [given], _rows(given), importance=importance, pairs=pairs)
    return msgspec.structs.replace(made, hours=hours, predictions=tuple(predictions))


def profile_in_batches(
    batches: Callable[[], Iterable[Columns]],
    rows: int,
    *,
    importance: Mapping[str, float] | None = None,
    pairs: int = MAX_PAIRS,
) -> Profile:
    """The reference profile of columns that come in batches, the same as `profile` of all rows; they are read twice.

    Args:
        batches: Gives the columns batch by batch, as `profile` takes them, or of texts how often each comes; at each
            call the same ones.
        rows: How many rows they have together.
        importance: As `profile` takes it.
        pairs: As `profile` takes it.
    """
    look = _Look(rows)
    for columns in batches():
        look.add(columns)
    frames = look.frames(importance)
    counted = dict(frames)
    for name, tally in look.tallies.items():
        counted[name] = counting.count_texts(frames[name], tally)
    wanted = strongest(look.groups(frames), importance, pairs)
    made = [Pair(first=a, second=b, cells=(0,) * counting.GROUPS**2) for a, b in wanted]
    grouped = {name for pair in wanted for name in pair}
    for columns in batches() if look.samples or made else ():
        groups = {}
        for name, frame in frames.items():
            if frame.is_numeric:
                numbers = numbers_of(columns[name])
                assert numbers is not None
                found, cells = counting.count_numbers(frame, numbers, grouped=name in grouped)
                counted[name] = sum_of(counted[name], found)
                if cells is not None:
                    groups[name] = cells
            elif name in grouped:
                groups[name] = _text_groups(frame, columns[name], look.tallies[name])
        made = [sum_of_pairs(pair, _pair(pair, groups)) for pair in made]
    return Profile(rows=look.rows, columns=tuple(counted[name] for name in look.names), pairs=tuple(made))


def merge(one: Profile, other: Profile) -> Profile:
    """The profile of both profiles' rows: exact, in any order.

    Raises:
        InvalidInput: They were not counted over the same reference.
    """
    if _frame(one) != _frame(other):
        raise InvalidInput(
            "Two profiles over different references cannot be merged.",
            fix="Profile both windows over the same reference profile.",
        )
    columns = tuple(map(sum_of, one.columns, other.columns))
    hours = tuple(map(sum, zip(one.hours, other.hours, strict=True))) if one.hours and other.hours else ()
    return msgspec.structs.replace(
        one,
        rows=one.rows + other.rows,
        columns=columns,
        pairs=tuple(map(sum_of_pairs, one.pairs, other.pairs)),
        hours=hours or one.hours or other.hours,
    )


def weighed(found: Profile, importance: Mapping[str, float] | None) -> Profile:
    """A reference with what the model uses each input for: its columns keep it, and of its pairs the most important stay."""
    columns = found.columns
    if importance:
        columns = tuple(_with_importance(column, importance) for column in columns)
    return msgspec.structs.replace(found, columns=columns, pairs=chosen(found.pairs, importance))


def without(found: Profile, names: Collection[str]) -> Profile:
    """A profile that does not tell of some columns, nor of what depends on them."""
    return msgspec.structs.replace(
        found,
        columns=tuple(column for column in found.columns if column.name not in names),
        pairs=tuple(pair for pair in found.pairs if pair.first not in names and pair.second not in names),
        predictions=tuple(name for name in found.predictions if name not in names),
    )


def hours_of(at: Any) -> tuple[int, ...]:
    """Rows by weekday (Monday first) and hour, UTC, of instants: a Polars series, or what makes one."""
    times = at if isinstance(at, pl.Series) else pl.Series(at)
    whole = times.drop_nulls().dt.epoch("us").to_numpy()
    # The first of January 1970 was a Thursday.
    hours = (whole // 3_600_000_000 + 3 * 24) % HOURS
    return tuple(np.bincount(hours, minlength=HOURS).tolist())


def has_category(column: Column, value: object) -> bool:
    """Whether the reference had this category, or may have had it because it had more than can be remembered."""
    return column.is_open or counting.is_known(column, counting.named(str(value)))


def to_bytes(found: Profile) -> bytes:
    """The profile as bytes, the same for equal profiles."""
    return msgspec.msgpack.encode(found)


def from_bytes(data: bytes) -> Profile:
    """A profile from `to_bytes`.

    Raises:
        Corrupt: The bytes are none.
    """
    try:
        return msgspec.msgpack.decode(data, type=Profile)
    except msgspec.DecodeError as problem:
        raise Corrupt(f"A stored profile cannot be read: {problem}.", fix="Make it again from its rows.") from problem


class _Look:
    """What the first reading of a reference's rows finds: a sample, the range, and how often each text comes."""

    def __init__(self, rows: int) -> None:
        self._wanted = _evenly(rows, _SAMPLED) if rows > _SAMPLED else None
        self.samples: dict[str, list[NDArray[np.float64]]] = {}
        self.texts: dict[str, list[pl.Series]] = {}
        self.tallies: dict[str, Tally] = {}
        self.bounds: dict[str, tuple[float, float]] = {}
        self.names: dict[str, None] = {}
        self.rows = 0

    def add(self, columns: Columns) -> None:
        """Look at one batch."""
        size = _rows(columns)
        wanted = self._wanted
        inside = slice(None)
        if wanted is not None:
            inside = wanted[(wanted >= self.rows) & (wanted < self.rows + size)] - self.rows  # type: ignore[assignment]
        for name, values in columns.items():
            self.names[name] = None
            numbers = numbers_of(values)
            if numbers is None:
                tally = counting.tally_of(values)
                self.tallies[name] = counting.added(self.tallies[name], tally) if name in self.tallies else tally
                if not isinstance(values, Counter):
                    texts = values if isinstance(values, pl.Series) else counting.texts_of(values)
                    self.texts.setdefault(name, []).append(texts[inside])
                continue
            self.samples.setdefault(name, []).append(numbers[inside].copy())
            if numbers.size:
                low, high = self.bounds.get(name, (np.nan, np.nan))
                self.bounds[name] = (
                    float(np.fmin(np.fmin.reduce(numbers), low)),
                    float(np.fmax(np.fmax.reduce(numbers), high)),
                )
        self.rows += size

    def frames(self, importance: Mapping[str, float] | None) -> dict[str, Column]:
        """The frame of each column."""
        found = {}
        for name in self.names:
            if name in self.tallies:
                found[name] = counting.ranked(name, self.tallies[name])
            else:
                low, high = self.bounds.get(name, (np.nan, np.nan))
                found[name] = counting.edged(name, np.concatenate(self.samples[name]), low, high)
        return {name: _with_importance(frame, importance or {}) for name, frame in found.items()}

    def groups(self, frames: Mapping[str, Column]) -> dict[str, NDArray[np.uint8]]:
        """The groups of some sampled rows, by column."""
        found = {}
        for name, frame in frames.items():
            if name in self.samples:
                sample = np.concatenate(self.samples[name])
                found[name] = counting.groups_of_numbers(frame, sample[_evenly(sample.size, _PAIRED)])
            elif name in self.texts:
                texts = pl.concat([part.cast(pl.String) for part in self.texts[name]])
                few = texts[_evenly(len(texts), _PAIRED)]
                found[name] = counting.groups_of_texts(frame, few, self.tallies[name])
        return found


def _evenly(rows: int, most: int) -> NDArray[np.intp]:
    """Positions that lie evenly among the rows, the first and the last among them."""
    few = min(rows, most)
    return np.arange(few) * (rows - 1) // max(few - 1, 1)


def _by_name(columns: Any) -> Columns:
    if isinstance(columns, Mapping):
        return columns
    frame = columns if isinstance(columns, pl.DataFrame) else pl.DataFrame(columns)
    return {name: frame.get_column(name) for name in frame.columns}


def _rows(columns: Columns) -> int:
    sizes = [values.total() if isinstance(values, Counter) else len(values) for values in columns.values()]
    return max(sizes, default=0)


def _counted(reference: Profile, given: Columns, hours: tuple[int, ...]) -> Profile:
    found: list[Column] = []
    groups: dict[str, NDArray[np.uint8]] = {}
    known = {column.name for column in reference.columns}
    pairs = [pair for pair in reference.pairs if pair.first in known and pair.second in known]
    grouped = {name for pair in pairs for name in (pair.first, pair.second)}
    for frame in reference.columns:
        values = _fitting(frame, given)
        name = frame.name
        wants = name in grouped and name not in groups
        if frame.is_numeric:
            counted, cells = counting.count_numbers(frame, values, grouped=wants)
            found.append(counted)
            if cells is not None:
                groups[name] = cells
            continue
        tally = counting.tally_of(values)
        found.append(counting.count_texts(frame, tally))
        if wants:
            groups[name] = _text_groups(frame, values, tally)
    return msgspec.structs.replace(
        reference,
        rows=_rows(given),
        columns=tuple(found),
        pairs=tuple(_pair(pair, groups) for pair in pairs),
        hours=hours,
    )


def _fitting(frame: Column, given: Columns) -> Any:
    if frame.name not in given:
        raise InvalidInput(
            f"The column {frame.name!r} of the reference profile is missing.",
            fix="Give every column of it.",
            field=frame.name,
        )
    values = given[frame.name]
    if isinstance(values, pl.Series) and values.dtype == pl.Null:
        return np.full(len(values), np.nan) if frame.is_numeric else values.cast(pl.String)
    numbers = numbers_of(values)
    if frame.is_numeric != (numbers is not None):
        raise InvalidInput(
            f"The column {frame.name!r} was {'numbers' if frame.is_numeric else 'texts'} in the reference profile "
            "and is not any more.",
            fix="Give it in the type that it had, or make a new reference.",
            field=frame.name,
        )
    return values if numbers is None else numbers


def _text_groups(frame: Column, values: Any, tally: Tally) -> NDArray[np.uint8]:
    texts = values if isinstance(values, pl.Series) else counting.texts_of(values)
    return counting.groups_of_texts(frame, texts, tally)


def _pair(pair: Pair, groups: Mapping[str, NDArray[np.uint8]]) -> Pair:
    return count_pair(pair.first, pair.second, groups[pair.first], groups[pair.second])


def _with_importance(column: Column, importance: Mapping[str, float]) -> Column:
    share = importance.get(column.name)
    return column if share is None else msgspec.structs.replace(column, importance=float(share))


def _frame(found: Profile) -> tuple[bytes, Any, Any]:
    columns = [emptied(column) for column in found.columns]
    return msgspec.msgpack.encode(columns), [(pair.first, pair.second) for pair in found.pairs], found.predictions
