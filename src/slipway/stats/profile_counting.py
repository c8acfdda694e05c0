"""Counting one column over the frame of a reference: in blocks that fit into a processor's cache, no value as an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.stats.profile_parts import CLIP, STEPS, Column, emptied

__all__ = [
    "BINS",
    "Cells",
    "GROUPS",
    "HASH_BYTES",
    "MAX_CATEGORIES",
    "MAX_RARE",
    "MISSING",
    "TAILS",
    "Tally",
    "added",
    "count_numbers",
    "count_texts",
    "edged",
    "groups_of_numbers",
    "groups_of_texts",
    "hashed",
    "is_known",
    "is_rare",
    "named",
    "numbers_of",
    "ranked",
    "spread_of",
    "steps_of",
    "tally_of",
    "texts_of",
    "weighted",
]

BINS = 10
# Together they keep 30 columns within 64 KiB whatever the categories are: 20 names of 40 bytes, 160 hashes of 4 bytes.
MAX_CATEGORIES = 20
MAX_RARE = 160
HASH_BYTES = 4
GROUPS = 5
MISSING = GROUPS
_NAME_BYTES = 40
_BLOCK = 1 << 16
TAILS = (0.0005, 0.5, 0.9995)
# A normal distribution has so many standard deviations between its first and last decile.
_DECILES = 2.563
_SMALLEST = 1e-300

Cells = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Tally = pl.DataFrame
"""How often each text comes: `raw` as it was, `name` as a profile knows it, `count`; a null is a missing value."""


def numbers_of(values: Any) -> Numbers | None:
    """A column as floats, NaN where a value is missing; None where it holds texts."""
    if isinstance(values, pl.Series):
        kind = values.dtype
        if kind in (pl.String, pl.Categorical, pl.Null) or isinstance(kind, pl.Enum) or kind.is_nested():
            return None
        return values.to_physical().cast(pl.Float64, strict=False).to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return np.ascontiguousarray(values, dtype=np.float64)
    return None


def texts_of(values: Any) -> pl.Series:
    """A column as texts, null where a value is missing."""
    if isinstance(values, pl.Series):
        return values.cast(pl.String, strict=False)
    given = values.tolist() if isinstance(values, np.ndarray) else values
    return pl.Series([None if value is None or value != value else str(value) for value in given], dtype=pl.String)


def edged(name: str, sample: Numbers, low: float, high: float) -> Column:
    """A column of numbers with the deciles of a sample as its edges, nothing counted yet."""
    finite = np.sort(sample[np.isfinite(sample)])
    if not finite.size:
        return Column(name=name, counts=(0,), low=low, high=high)
    deciles = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])
    tails = np.quantile(finite, TAILS)
    return _framed(name, deciles, tails, _spread(finite), (low, high))


def weighted(
    name: str, deciles: Numbers, tails: Numbers, values: Numbers, counts: NDArray[np.int64], unit: float
) -> Column:
    """A column of numbers of which each different value came so often, ascending.

    Args:
        name: Its name.
        deciles: The inner edges.
        tails: The quantiles of 0.05 %, 50 % and 99.95 %.
        values: The different values.
        counts: How often each came.
        unit: The robust standard deviation.
    """
    frame = _framed(name, deciles, tails, unit, (float(values[0]), float(values[-1])))
    places = np.searchsorted(np.asarray(frame.edges), values, side="left")
    cells = np.bincount(places, weights=counts, minlength=len(frame.edges) + 1)
    steps = steps_of(values, frame)
    return msgspec.structs.replace(
        frame,
        counts=tuple(int(n) for n in cells),
        under=int(counts[values < frame.tail_low].sum()),
        over=int(counts[values > frame.tail_high].sum()),
        total=int((steps.astype(np.int64) * counts).sum()),
        squares=int((steps.astype(np.int64) ** 2 * counts).sum()),
    )


def _framed(name: str, deciles: Numbers, tails: Numbers, unit: float, bounds: tuple[float, float]) -> Column:
    edges = np.unique(deciles)
    return Column(
        name=name,
        edges=tuple(edges.tolist()),
        low=bounds[0],
        high=bounds[1],
        counts=(0,) * (len(edges) + 1),
        tail_low=float(tails[0]),
        tail_high=float(tails[2]),
        centre=float(tails[1]),
        unit=unit,
    )


def spread_of(first: float, last: float, deviation: float) -> float:
    """The unit of moments: by the distance from the first to the last decile, else the standard deviation, else 1."""
    with np.errstate(over="ignore"):
        unit = float((np.float64(last) - np.float64(first)) / _DECILES)
    unit = unit if unit > 0.0 else deviation
    return unit if _SMALLEST < unit < np.inf else 1.0


def _spread(ordered: Numbers) -> float:
    first, last = np.quantile(ordered, [0.1, 0.9])
    with np.errstate(over="ignore", invalid="ignore"):
        return spread_of(float(first), float(last), float(ordered.std()) if first == last else 0.0)


def steps_of(numbers: Numbers, frame: Column) -> Numbers:
    """Whole numbers of steps from the centre, NaN for what is missing. They are floats: exact, and added faster."""
    with np.errstate(all="ignore"):
        steps = (numbers - frame.centre) * (STEPS / frame.unit)
        np.clip(steps, -CLIP * STEPS, CLIP * STEPS, out=steps)
    return np.rint(steps, out=steps)


def count_numbers(frame: Column, numbers: Numbers, *, grouped: bool = False) -> tuple[Column, Cells | None]:
    """Numbers counted over a frame.

    Args:
        frame: Of the reference.
        numbers: The values.
        grouped: Whether each row's group is wanted too, for pairs.
    """
    cells = np.zeros(numbers.size, dtype=np.uint8) if grouped else None
    beyond = np.zeros(len(frame.edges), dtype=np.int64)
    outside = np.zeros(4, dtype=np.int64)
    missing = total = squares = 0
    for start in range(0, numbers.size, _BLOCK):
        block = numbers[start : start + _BLOCK]
        for place, edge in enumerate(frame.edges):
            is_over = block > edge
            beyond[place] += np.count_nonzero(is_over)
            if cells is not None:
                cells[start : start + _BLOCK] += is_over.view(np.uint8)
        is_missing = np.isnan(block)
        gone = int(np.count_nonzero(is_missing))
        outside += _outside(frame, block)
        missing += gone
        if np.isnan(frame.centre):  # a frame without moments, of an earlier release or of no values
            continue
        steps = steps_of(block, frame)
        if gone:
            steps[is_missing] = 0.0
        total += int(steps.sum())
        squares += int(np.square(steps, out=steps).sum())  # a dot product would wake all threads of the BLAS
    upto = [numbers.size - missing, *beyond.tolist(), 0]
    below, above, under, over = outside.tolist()
    counted = msgspec.structs.replace(
        emptied(frame),
        counts=tuple(a - b for a, b in pairwise(upto)),
        below=below,
        above=above,
        under=under,
        over=over,
        missing=missing,
        total=total,
        squares=squares,
    )
    return counted, None if cells is None else _grouped(frame, numbers, cells, missing)


def groups_of_numbers(frame: Column, numbers: Numbers) -> Cells:
    """Each row's group: of neighbouring bins, or `MISSING`."""
    cells = np.searchsorted(np.asarray(frame.edges), numbers, side="left").astype(np.uint8)
    return _grouped(frame, numbers, cells, int(np.isnan(numbers).sum()))


def _grouped(frame: Column, numbers: Numbers, cells: Cells, missing: int) -> Cells:
    count = len(frame.edges) + 1
    table = np.minimum(np.arange(256) * min(GROUPS, count) // count, GROUPS - 1).astype(np.uint8)
    groups = np.take(table, cells)
    if missing:
        groups[np.isnan(numbers)] = MISSING
    return groups


def _outside(frame: Column, block: Numbers) -> NDArray[np.int64]:
    """Rows below, above, under and over; a block within the tails, as most are not, is looked at once more."""
    found = np.zeros(4, dtype=np.int64)
    found[2] = np.count_nonzero(block < frame.tail_low)
    found[3] = np.count_nonzero(block > frame.tail_high)
    found[0] = np.count_nonzero(block < frame.low)
    found[1] = np.count_nonzero(block > frame.high)
    return found


def tally_of(values: Any) -> Tally:
    """How often each text of a column comes."""
    if isinstance(values, Counter):
        pairs = [(None if key is None or key != key else str(key), count) for key, count in values.items()]
        found = pl.DataFrame(pairs, schema={"raw": pl.String, "count": pl.Int64}, orient="row")
    else:
        series = values if isinstance(values, pl.Series) else texts_of(values)
        found = series.alias("raw").value_counts(name="count").cast({"raw": pl.String, "count": pl.Int64})
    return added(found.with_columns(name=_names(found["raw"])))


def added(*tallies: Tally) -> Tally:
    """Several tallies as one."""
    together = pl.concat([one.select("raw", "name", "count") for one in tallies])
    return together.group_by("raw", "name").agg(pl.col("count").sum())


def ranked(name: str, tally: Tally) -> Column:
    """A column of texts with the most frequent of these as its categories, nothing counted yet."""
    by_name = _by_name(tally)
    first = by_name.sort("count", "name", descending=[True, False])["name"]
    rare = first[MAX_CATEGORIES : MAX_CATEGORIES + MAX_RARE + 1].to_list()
    is_open = len(rare) > MAX_RARE
    listed = tuple(first[:MAX_CATEGORIES].to_list())
    return Column(
        name=name,
        kind="text",
        categories=listed,
        counts=(0,) * len(listed),
        rare=b"" if is_open else b"".join(sorted(map(hashed, rare))),
        is_open=is_open,
        singles=int((by_name["count"] == 1).sum()),
    )


def count_texts(frame: Column, tally: Tally) -> Column:
    """Texts counted over a frame."""
    by_name = _by_name(tally)
    is_listed = pl.col("name").is_in(list(frame.categories))
    known = dict(by_name.filter(is_listed).iter_rows())
    rest = by_name.filter(~is_listed)
    rare = is_rare(frame)
    other = sum(count for name, count in rest.iter_rows() if rare(name))
    unseen = int(rest["count"].sum()) - other
    return msgspec.structs.replace(
        emptied(frame),
        counts=tuple(known.get(category, 0) for category in frame.categories),
        other=other,
        unseen=unseen,
        missing=int(tally.filter(pl.col("raw").is_null())["count"].sum()),
    )


def is_rare(frame: Column) -> Callable[[str], bool]:
    """Tells of a name that is not listed whether it counts as `other`; what is not remembered as rare is unseen."""
    if frame.is_open:
        return lambda name: True
    rare = {frame.rare[start : start + HASH_BYTES] for start in range(0, len(frame.rare), HASH_BYTES)}
    return lambda name: hashed(name) in rare


def groups_of_texts(frame: Column, values: pl.Series, tally: Tally) -> Cells:
    """Each row's group: one of the most frequent categories, all others, or `MISSING`."""
    first = frame.categories[: GROUPS - 1]
    raws = tally.filter(pl.col("name").is_in(list(first))).sort("raw")
    places = [first.index(name) for name in raws["name"]]
    texts = values.cast(pl.String, strict=False)
    # Many raw texts are one category only where long ones agree in their hash: never by chance.
    found = texts.cast(pl.Enum(raws["raw"]), strict=False).to_physical().cast(pl.UInt32)
    codes = found.fill_null(len(places)).to_numpy()
    groups = np.take(np.array([*places, GROUPS - 1], dtype=np.uint8), codes)
    if texts.null_count():
        groups[texts.is_null().to_numpy()] = MISSING
    return groups


def _by_name(tally: Tally) -> pl.DataFrame:
    return tally.filter(pl.col("raw").is_not_null()).group_by("name").agg(pl.col("count").sum())


def _names(raw: pl.Series) -> pl.Series:
    """Names as a profile knows them: only long ones are looked at one by one."""
    is_long = (raw.str.len_bytes() > _NAME_BYTES).fill_null(False)
    if not is_long.any():
        return raw
    long = raw.filter(is_long)
    return raw.replace(long, pl.Series([named(text) for text in long], dtype=pl.String))


def named(category: str) -> str:
    """A category as a profile knows it: a long one ends in a hash of the whole."""
    raw = category.encode("utf-8", "replace")
    if len(raw) <= _NAME_BYTES:
        return raw.decode("utf-8")
    tail = "…" + blake2b(raw, digest_size=6).hexdigest()
    return raw[: _NAME_BYTES - len(tail.encode())].decode("utf-8", "ignore") + tail


def hashed(category: str) -> bytes:
    """The hash by which a rare category is remembered."""
    return blake2b(category.encode(), digest_size=HASH_BYTES).digest()


def is_known(frame: Column, name: str) -> bool:
    """Whether a name is listed or among the rare ones."""
    if name in frame.categories:
        return True
    wanted: Sequence[int] = range(0, len(frame.rare), HASH_BYTES)
    own = hashed(name)
    return any(frame.rare[start : start + HASH_BYTES] == own for start in wanted)
