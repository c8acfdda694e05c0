"""What a reader of an endpoint's log holds: rows in the order of their coming, asked for by decision time, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from slipway.tables.prediction_log import labels_frame, latest_labels

__all__ = ["Blocks", "Labels"]

_BLOCK_ROWS = 8192
_LOOSE_FRAMES = 16


class Labels:
    """Labels in the order of their coming. Of those for one case the last one counts; the others go now and then."""

    def __init__(self) -> None:
        self._frames = [labels_frame([], [])]

    def append(self, frame: pl.DataFrame) -> None:
        """Add labels."""
        self._frames.append(frame)
        if len(self._frames) > _LOOSE_FRAMES:
            self._frames = [latest_labels(self.frame())]

    def frame(self) -> pl.DataFrame:
        """All labels that may count."""
        return pl.concat(self._frames)

    def height(self) -> int:
        """How many there are."""
        return sum(frame.height for frame in self._frames)

    def keep(self, ids: pl.Series, keys: pl.Series, but: int) -> None:
        """Keep those of predictions and keys, and the last ones: what they judge may not have been read yet."""
        whole = self.frame()
        later = whole.tail(but)
        is_held = pl.col("prediction").is_in(ids.implode()) | (
            (pl.col("prediction") == "") & pl.col("key").is_in(keys.implode())
        )
        self._frames = [whole.head(whole.height - later.height).filter(is_held), later]

    def forget(self, ids: pl.Series, keys: pl.Series) -> None:
        """Drop the labels of predictions, and of keys."""
        is_gone = pl.col("prediction").is_in(ids.implode()) & (pl.col("prediction") != "")
        is_gone |= pl.col("key").is_in(keys.implode()) & (
            (pl.col("prediction") == "") | pl.col("until_at").is_not_null()
        )
        if ids.len() or keys.len():
            self._frames = [self.frame().filter(~is_gone)]


class Blocks:
    """Rows in the order of their coming, in blocks that know their first and last decision time.

    Small frames are loose at first and joined when there are many of them, so that neither adding nor asking copies what
    is old.

    Args:
        schema: Of every frame.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self._empty = pl.DataFrame(schema=schema)
        self._blocks: list[_Block] = []
        self._loose: list[_Block] = []

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows, or none: where a share of a log is held, it may be none of what came."""
        if not frame.height:
            return
        self._loose.append(_Block(frame))
        rows = sum(block.frame.height for block in self._loose)
        if rows >= _BLOCK_ROWS or len(self._loose) > _LOOSE_FRAMES:
            made = _Block(pl.concat([block.frame for block in self._loose], rechunk=True))
            self._loose = [] if rows >= _BLOCK_ROWS else [made]
            self._blocks += [made] if rows >= _BLOCK_ROWS else []

    def height(self) -> int:
        """How many rows there are."""
        return sum(block.frame.height for block in (*self._blocks, *self._loose))

    def drop(self, wanted: pl.Expr, but: int = 0) -> pl.DataFrame:
        """Drop rows, the last ones excepted, and put the others together anew; returns what was dropped."""
        frames = self.frames()
        self._blocks, self._loose = [], []
        left, gone = sum(frame.height for frame in frames) - but, [self._empty]
        for frame in frames:
            first = frame.head(max(left, 0))
            left -= frame.height
            gone.append(first.filter(wanted))
            self.append(pl.concat([first.filter(~wanted), frame.tail(frame.height - first.height)]))
        return pl.concat(gone)

    def frames(self) -> list[pl.DataFrame]:
        """All rows."""
        return [block.frame for block in (*self._blocks, *self._loose)]

    def between(self, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """The rows whose decision time is in [since, until)."""
        found = [block.between(since, until) for block in (*self._blocks, *self._loose)]
        return pl.concat([self._empty, *(frame for frame in found if frame.height)])

    def forget(self, before: datetime) -> pl.DataFrame:
        """Drop the rows whose decision time is earlier; returns them."""
        gone = self.between(None, before)
        if gone.height:
            self._blocks = _after(self._blocks, before)
            self._loose = _after(self._loose, before)
        return gone


class _Block:
    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        bounds = frame.select(first=pl.col("at").min(), last=pl.col("at").max()).row(0)
        self.first: datetime = bounds[0]
        self.last: datetime = bounds[1]

    def between(self, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        if (since is not None and self.last < since) or (until is not None and self.first >= until):
            return self.frame.clear()
        wanted = []
        if since is not None and self.first < since:
            wanted.append(pl.col("at") >= since.astimezone(UTC))
        if until is not None and self.last >= until:
            wanted.append(pl.col("at") < until.astimezone(UTC))
        return self.frame.filter(*wanted) if wanted else self.frame


def _after(blocks: Sequence[_Block], before: datetime) -> list[_Block]:
    kept = []
    for block in blocks:
        if block.first >= before:
            kept.append(block)
        elif (rest := block.between(before, None)).height:
            kept.append(_Block(rest))
    return kept
