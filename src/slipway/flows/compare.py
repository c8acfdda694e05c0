"""Compare what was served with what the same rows score offline: equal, or where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Comparison", "compare_scores"]


class Comparison(Struct, frozen=True, kw_only=True):
    """Served scores beside offline scores of the same rows.

    Args:
        rows: Rows that were served and scored offline.
        equal: How many have the very same bits.
        missing: Rows scored offline that were never served.
        first: The first rows that differ: key, served, offline.
    """

    rows: int
    equal: int
    missing: int
    first: tuple[tuple[str, float, float], ...] = ()

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        if not self.rows and not self.missing:
            return "nothing was compared: no row was scored offline"
        if self.equal == self.rows and not self.missing:
            return f"all {self.rows:,} served answers equal the offline scores of the same rows, bit for bit"
        told = f"{self.rows - self.equal:,} of {self.rows:,} served answers differ from the offline scores"
        if self.missing:
            told += f", and {self.missing:,} rows were never served"
        if self.first:
            key, served, offline = self.first[0]
            told += f"; first {key}: served {served!r}, offline {offline!r}"
        return told


def compare_scores(keys: Sequence[str], offline: NDArray[np.float64], served: Mapping[str, float]) -> Comparison:
    """Compare by key.

    Args:
        keys: The key of each offline row, as the prediction log writes it.
        offline: The offline scores, shape `(n_rows,)`, parallel to `keys`.
        served: The served scores by key.
    """
    pairs = [(key, served[key], float(score)) for key, score in zip(keys, offline, strict=True) if key in served]
    differing = [(key, was, is_) for key, was, is_ in pairs if was != is_]
    return Comparison(
        rows=len(pairs),
        equal=len(pairs) - len(differing),
        missing=len(keys) - len(pairs),
        first=tuple(differing[:5]),
    )
