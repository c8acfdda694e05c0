"""Which pairs of columns depend on each other most, and how often their groups come together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from slipway.stats.profile_counting import GROUPS, MISSING
from slipway.stats.profile_parts import Pair

__all__ = ["MAX_COLUMNS", "MAX_PAIRS", "POOL", "chosen", "count_pair", "strength", "strongest", "sum_of_pairs"]

MAX_PAIRS = 30
POOL = 50
# Of more columns not all pairs are looked at: the cost grows with their square.
MAX_COLUMNS = 100
_SIDE = MISSING + 1

Cells = NDArray[np.uint8]


def count_pair(first: str, second: str, one: Cells, other: Cells) -> Pair:
    """How often the groups of two columns come together; rows of which one is missing are left out."""
    both = one * np.uint8(_SIDE) + other
    even = both.size // 2 * 2
    # Two rows at a time: half as many steps, and a table of 64k that fits into the cache.
    twos = np.bincount(both[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    cells = twos.sum(axis=0) + twos.sum(axis=1)
    if even < both.size:
        cells[both[-1]] += 1
    grid = cells[: _SIDE * _SIDE].reshape(_SIDE, _SIDE)[:GROUPS, :GROUPS]
    return Pair(first=first, second=second, cells=tuple(grid.ravel().tolist()))


def strongest(
    groups: Mapping[str, Cells], importance: Mapping[str, float] | None = None, most: int = MAX_PAIRS
) -> list[tuple[str, str]]:
    """The pairs that matter most: strong dependence of important columns.

    Args:
        groups: By column each row's group, of a sample.
        importance: By column the share of the model's answers that rests on it; None for all alike.
        most: How many.
    """
    names = list(groups)
    if importance:
        names.sort(key=lambda name: -importance.get(name, 0.0))
    names = names[:MAX_COLUMNS]
    if len(names) < 2:
        return []
    marks = np.concatenate([np.arange(GROUPS)[:, None] == groups[name] for name in names]).astype(np.float32)
    together = (marks @ marks.T).astype(np.int64)
    scored = []
    for a, b in combinations(range(len(names)), 2):
        grid = together[a * GROUPS : (a + 1) * GROUPS, b * GROUPS : (b + 1) * GROUPS]
        scored.append((-strength(grid) * _weight(importance, names[a], names[b]), names[a], names[b]))
    order = {name: place for place, name in enumerate(groups)}
    picked = [(a, b) if order[a] < order[b] else (b, a) for _, a, b in sorted(scored)[:most]]
    return sorted(picked, key=lambda pair: (order[pair[0]], order[pair[1]]))


def chosen(pairs: Sequence[Pair], importance: Mapping[str, float] | None, most: int = MAX_PAIRS) -> tuple[Pair, ...]:
    """Of the pairs that a reference counted, those that matter most, in their order."""

    def score(pair: Pair) -> float:
        grid = np.array(pair.cells).reshape(GROUPS, GROUPS)
        return -strength(grid) * _weight(importance, pair.first, pair.second)

    kept = sorted(range(len(pairs)), key=lambda place: (score(pairs[place]), place))[:most]
    return tuple(pairs[place] for place in sorted(kept))


def strength(grid: NDArray[np.int64]) -> float:
    """Cramer's V of a grid of counts: 0 for independent columns, 1 where one tells the other.

    Source: H. Cramer, Mathematical Methods of Statistics, 1946.
    """
    rows, columns = grid.sum(axis=1), grid.sum(axis=0)
    n, fewer = grid.sum(), min(np.count_nonzero(rows), np.count_nonzero(columns)) - 1
    if fewer < 1:
        return 0.0
    expected = np.outer(rows, columns) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = np.nansum(np.where(expected > 0, (grid - expected) ** 2 / expected, 0.0)) / n
    return float((squared / fewer) ** 0.5)


def sum_of_pairs(one: Pair, other: Pair) -> Pair:
    """Both pairs' counts."""
    return msgspec.structs.replace(one, cells=tuple(a + b for a, b in zip(one.cells, other.cells, strict=True)))


def _weight(importance: Mapping[str, float] | None, first: str, second: str) -> float:
    if not importance:
        return 1.0
    # A column that nobody measured is as good as one of little use; never none at all.
    return float((max(importance.get(first, 0.0), 1e-3) * max(importance.get(second, 0.0), 1e-3)) ** 0.5)
