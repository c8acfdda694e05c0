"""Profiles: columns as integer counts over fixed edges, so that merging is exact addition in any order.

A reference profile fixes the edges (deciles), the range and the categories of each column; profiles of later windows
are counted over these. Two profiles over the same reference merge into the one that all their rows would have given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from slipway.errors import Corrupt, InvalidInput

__all__ = ["Column", "Profile", "from_bytes", "has_category", "merge", "profile", "profile_in_batches", "to_bytes"]

BINS = 10
# Together they keep 30 columns within 64 KiB whatever the categories are: 24 names of 40 bytes, 220 hashes of 4 bytes.
MAX_CATEGORIES = 24
MAX_RARE = 220
_NAME_BYTES = 40
_HASH_BYTES = 4
_SAMPLED = 200_000


class Column(Struct, frozen=True, kw_only=True):
    """One column's counts.

    Args:
        name: The column.
        edges: Inner edges of a numeric column's bins, ascending; () for a categorical one.
        low: The reference's smallest value, NaN for a categorical column.
        high: The reference's greatest value, NaN for a categorical column.
        categories: The reference's most frequent values, long ones ending in a hash; () for a numeric column.
        counts: Rows a bin (`len(edges) + 1` of them), or rows a category.
        below: Rows under `low`.
        above: Rows over `high`.
        other: Rows of a known category beyond the listed ones.
        unseen: Rows of a category that the reference never had.
        missing: Rows without a value (null or NaN).
        rare: The reference's rarer categories, which count as `other`: their hashes of 4 bytes, ascending.
        is_open: The reference had more categories than can be remembered: what is not listed counts as `other`, and
            nothing as `unseen`.
        singles: Rows of the reference whose category came once: as share of its rows, about what is never seen before
            in new rows without any change.
        kind: "number" or "text".
    """

    name: str
    edges: tuple[float, ...] = ()
    low: float = float("nan")
    high: float = float("nan")
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    below: int = 0
    above: int = 0
    other: int = 0
    unseen: int = 0
    missing: int = 0
    rare: bytes = b""
    is_open: bool = False
    singles: int = 0
    kind: Literal["number", "text"] = "number"

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def rows(self) -> int:
        """All rows of the column."""
        return sum(self.counts) + self.other + self.unseen + self.missing

    @property
    def is_numeric(self) -> bool:
        """Whether it was counted over edges."""
        return self.kind == "number"


class Profile(Struct, frozen=True, kw_only=True):
    """The counts of several columns over the same rows."""

    rows: int
    columns: tuple[Column, ...]


def profile(columns: Mapping[str, Any], reference: Profile | None = None) -> Profile:
    """Profile columns.

    Args:
        columns: By name: a float array of shape `(n_rows,)` (NaN is missing), or a sequence of texts and None.
        reference: The profile whose edges and categories count; None makes this a reference of its own.

    Raises:
        InvalidInput: A column of the reference is missing, or is of another kind.
    """
    if reference is None:
        found = tuple(_reference(name, values) for name, values in columns.items())
    else:
        found = tuple(_counted(column, columns) for column in reference.columns)
    rows = len(next(iter(columns.values()))) if columns else 0
    return Profile(rows=rows, columns=found)


def profile_in_batches(batches: Callable[[], Iterable[Mapping[str, Any]]], rows: int) -> Profile:
    """The reference profile of columns that come in batches; they are read twice.

    Up to 200,000 rows it is `profile` of all rows. Of more, the edges are the deciles of 200,000 rows that lie evenly
    among them; the range, the categories and all counts are those of all rows.

    Args:
        batches: Gives the columns batch by batch, as `profile` takes them, or of texts how often each comes; at each
            call the same ones.
        rows: How many rows they have together.
    """
    wanted = np.unique(np.linspace(0, rows - 1, _SAMPLED).round().astype(np.intp)) if rows > _SAMPLED else None
    sampled: dict[str, list[NDArray[np.float64]]] = {}
    bounds: dict[str, tuple[float, float]] = {}
    tallies: dict[str, Counter[str | None]] = {}
    names: dict[str, None] = {}
    start = 0
    for columns in batches():
        size = max((_size(values) for values in columns.values()), default=0)
        inside = slice(None) if wanted is None else wanted[(wanted >= start) & (wanted < start + size)] - start
        names.update(dict.fromkeys(columns))
        for name, values in columns.items():
            if not _is_numeric(values):
                tallies.setdefault(name, Counter()).update(_tally(values))
                continue
            numbers = np.asarray(values, dtype=np.float64)
            sampled.setdefault(name, []).append(numbers[inside].copy())
            present = numbers[~np.isnan(numbers)]
            if present.size:
                low, high = bounds.get(name, (np.inf, -np.inf))
                bounds[name] = (min(low, float(present.min())), max(high, float(present.max())))
        start += size
    frames = {
        name: _edged(name, np.concatenate(parts), *bounds.get(name, (np.nan, np.nan)))
        for name, parts in sampled.items()
    }
    sampled.clear()
    found = dict(frames)
    for columns in batches() if frames else ():
        for name, frame in frames.items():
            found[name] = _sum(found[name], _numbers(frame, np.asarray(columns[name], dtype=np.float64)))
    found |= {name: _texts_of(_ranked(name, tally), tally) for name, tally in tallies.items()}
    return Profile(rows=start, columns=tuple(found[name] for name in names))


def merge(one: Profile, other: Profile) -> Profile:
    """The profile of both profiles' rows: exact, in any order.

    Raises:
        InvalidInput: They were not counted over the same reference.
    """
    if [_frame(c) for c in one.columns] != [_frame(c) for c in other.columns]:
        raise InvalidInput(
            "Two profiles over different references cannot be merged.",
            fix="Profile both windows over the same reference profile.",
        )
    columns = tuple(_sum(a, b) for a, b in zip(one.columns, other.columns, strict=True))
    return Profile(rows=one.rows + other.rows, columns=columns)


def has_category(column: Column, value: object) -> bool:
    """Whether the reference had this category, or may have had it because it had more than can be remembered."""
    name = _named(str(value))
    if column.is_open or name in column.categories:
        return True
    wanted = _hash(name)
    starts = range(0, len(column.rare), _HASH_BYTES)
    return any(column.rare[start : start + _HASH_BYTES] == wanted for start in starts)


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


def _size(values: Any) -> int:
    return values.total() if isinstance(values, Counter) else len(values)


def _is_numeric(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "biuf"


def _reference(name: str, values: Any) -> Column:
    if _is_numeric(values):
        numbers = np.asarray(values, dtype=np.float64)
        present = numbers[~np.isnan(numbers)]
        bounds = (float(present.min()), float(present.max())) if present.size else (np.nan, np.nan)
        return _numbers(_edged(name, present, *bounds), numbers)
    tally = _tally(values)
    return _texts_of(_ranked(name, tally), tally)


def _edged(name: str, numbers: NDArray[np.float64], low: float, high: float) -> Column:
    """A column of numbers with the deciles of these as its edges, nothing counted yet."""
    present = numbers[~np.isnan(numbers)]
    if not present.size:
        return Column(name=name, counts=(0,), low=low, high=high)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]))
    return Column(name=name, edges=tuple(edges.tolist()), low=low, high=high, counts=(0,) * (len(edges) + 1))


def _ranked(name: str, tally: Counter[str | None]) -> Column:
    """A column of texts with the most frequent of these as its categories, nothing counted yet."""
    ranked = sorted((key for key in tally if key is not None), key=lambda key: (-tally[key], key))
    rare = ranked[MAX_CATEGORIES:]
    is_open = len(rare) > MAX_RARE
    return Column(
        name=name,
        kind="text",
        categories=tuple(ranked[:MAX_CATEGORIES]),
        rare=b"" if is_open else b"".join(sorted(map(_hash, rare))),
        is_open=is_open,
        singles=sum(count == 1 for key, count in tally.items() if key is not None),
    )


def _counted(frame: Column, columns: Mapping[str, Any]) -> Column:
    if frame.name not in columns:
        raise InvalidInput(
            f"The column {frame.name!r} of the reference profile is missing.",
            fix="Give every column of it.",
            field=frame.name,
        )
    values = columns[frame.name]
    if frame.is_numeric != _is_numeric(values):
        raise InvalidInput(
            f"The column {frame.name!r} was {'numbers' if frame.is_numeric else 'texts'} in the reference profile "
            "and is not any more.",
            fix="Give it in the type that it had, or make a new reference.",
            field=frame.name,
        )
    return _numbers(frame, np.asarray(values, dtype=np.float64)) if frame.is_numeric else _texts(frame, values)


def _numbers(frame: Column, numbers: NDArray[np.float64]) -> Column:
    present = numbers[~np.isnan(numbers)]
    places = np.searchsorted(np.asarray(frame.edges), present, side="left")
    counts = np.bincount(places, minlength=len(frame.edges) + 1)
    return msgspec.structs.replace(
        frame,
        counts=tuple(int(count) for count in counts),
        below=int((present < frame.low).sum()),
        above=int((present > frame.high).sum()),
        missing=int(numbers.size - present.size),
    )


def _texts(frame: Column, values: Sequence[Any]) -> Column:
    return _texts_of(frame, _tally(values))


def _texts_of(frame: Column, counted: Counter[str | None]) -> Column:
    tally = counted.copy()
    missing = tally.pop(None, 0)
    counts = tuple(tally.pop(category, 0) for category in frame.categories)
    starts = range(0, len(frame.rare), _HASH_BYTES)
    rare = {frame.rare[start : start + _HASH_BYTES] for start in starts}
    other = sum(count for key, count in tally.items() if frame.is_open or (key is not None and _hash(key) in rare))
    unseen = sum(tally.values()) - other
    return msgspec.structs.replace(frame, counts=counts, other=other, unseen=unseen, missing=missing)


def _tally(values: Sequence[Any]) -> Counter[str | None]:
    """Rows by category; None, and a NaN among texts, is a missing value."""
    tally: Counter[str | None] = Counter()
    for value, count in Counter(values).items():
        tally[None if value is None or value != value else _named(str(value))] += count
    return tally


def _named(category: str) -> str:
    raw = category.encode("utf-8", "replace")
    if len(raw) <= _NAME_BYTES:
        return raw.decode("utf-8")
    tail = "…" + blake2b(raw, digest_size=6).hexdigest()
    return raw[: _NAME_BYTES - len(tail.encode())].decode("utf-8", "ignore") + tail


def _hash(category: str) -> bytes:
    return blake2b(category.encode(), digest_size=_HASH_BYTES).digest()


def _frame(column: Column) -> tuple[Any, ...]:
    bounds = tuple(np.nan_to_num(np.array([column.low, column.high]), nan=0.0).tolist())
    return (
        column.name,
        column.kind,
        column.edges,
        bounds,
        column.categories,
        column.rare,
        column.is_open,
        column.singles,
    )


def _sum(one: Column, other: Column) -> Column:
    return msgspec.structs.replace(
        one,
        counts=tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        below=one.below + other.below,
        above=one.above + other.above,
        other=one.other + other.other,
        unseen=one.unseen + other.unseen,
        missing=one.missing + other.missing,
    )
