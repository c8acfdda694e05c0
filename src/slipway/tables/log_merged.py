"""Of which files a larger Parquet file of a log was made, so that who has read some of them reads only the others' rows.

A file's rows are told by the segments that they come from: what one segment holds for a day and a layout becomes one file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
import polars as pl

from slipway.errors import Corrupt

__all__ = ["MERGED", "Merged", "merged_of", "put_together"]

MERGED = "slipway.merged"
"""Under this name a Parquet file keeps what it was made of."""


class Merged(msgspec.Struct, frozen=True):
    """What a file was made of.

    Args:
        segments: The segments that its rows come from, in the order of its files.
        files: By name, which of them were in a file that it was made of, directly or over others: from and up to where.
    """

    segments: tuple[str, ...]
    files: dict[str, tuple[int, int]]

    def read_before(self, known: Collection[str]) -> set[str]:
        """The segments whose rows are known to who has read some files."""
        spans = [span for name, span in self.files.items() if name in known]
        return {segment for start, stop in spans for segment in self.segments[start:stop]}


def put_together(parts: Iterable[tuple[str, Iterable[str], Merged | None]]) -> Merged:
    """What a file is made of that takes the place of some: of each its name, its segments, and what it was made of itself."""
    segments: list[str] = []
    files: dict[str, tuple[int, int]] = {}
    for name, own, merged in parts:
        start = len(segments)
        if merged is None:
            segments += own
        else:
            segments += merged.segments
            files |= {of: (first + start, last + start) for of, (first, last) in merged.files.items()}
        files[name] = (start, len(segments))
    return Merged(tuple(segments), files)


def merged_of(path: Path) -> Merged | None:
    """What a Parquet file was made of, None for nothing.

    Raises:
        Corrupt: It is none of a log.
    """
    try:
        said = pl.read_parquet_metadata(path).get(MERGED)
        return None if said is None else msgspec.json.decode(said, type=Merged)
    except (msgspec.DecodeError, pl.exceptions.PolarsError) as problem:
        raise Corrupt(
            f"The Parquet file {path} is no file of a prediction log: {type(problem).__name__}: {problem}.",
            fix="Move it away, or restore it from a backup.",
        ) from problem
