"""Tables of another format, as files and rows: what an import reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ForeignTable", "ForeignVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignVersion:
    """One version of a table of another format.

    Args:
        place: The table's address, without secrets.
        number: The version's number there.
        digest: Of what its log says of its files: equal for equal content.
        rows: Its rows, lazily.
        files: Its files where they lie on this machine as plain Parquet that is all of the version; () where not.
        obstacle: Why the files alone are not the version, in words; "" where they are.
    """

    place: str
    number: int
    digest: str
    rows: pl.LazyFrame
    files: tuple[Path, ...] = ()
    obstacle: str = ""


class ForeignTable(Protocol):
    """Opens tables of another format."""

    def open(self, address: str, version: int | None = None) -> ForeignVersion:
        """Open one version.

        Args:
            address: A path or URL.
            version: Its number, None for the newest.

        Raises:
            NotFound: There is no such table, or no such version of it; or files of the version are gone.
            Corrupt: Its log cannot be read.
        """
        ...
