"""Delta tables through delta-rs: which files a version has, and its rows through Polars."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from slipway.errors import Corrupt, NotFound, Unavailable
from slipway.hashing import digest
from slipway.ports.foreign_table import ForeignVersion
from slipway.ports.source import masked, scrubbed

__all__ = ["DeltaTables"]

_SHOWN = 3
# Features of a Delta table with which a file is not all that is to be known of its rows.
_BEYOND_FILES = {"deletionVectors", "columnMapping", "typeWidening", "variantType", "rowTracking"}


class DeltaTables:
    """See `ForeignTable`. Files are handed out as they lie only where they alone are the version."""

    def open(self, address: str, version: int | None = None) -> ForeignVersion:
        """See `ForeignTable.open`."""
        place = masked(address) if "://" in address else str(Path(address).resolve())
        try:
            table = DeltaTable(address, version=version)
        except TableNotFoundError as problem:
            raise NotFound(
                f"There is no Delta table at {place}.",
                why="It has no folder _delta_log with a version in it.",
                fix="Name the folder that holds _delta_log.",
            ) from problem
        except DeltaError as problem:
            raise self._unreadable(address, place, version, problem) from problem
        except (OSError, ValueError) as problem:  # of an object store that is away, or an address that is none
            raise Unavailable(
                f"The Delta table {place} cannot be read: {_first_line(problem)}.",
                fix="Check the address and the credentials in the environment, for s3:// AWS_ACCESS_KEY_ID and the others.",
            ) from problem
        number = table.version()
        paths = [_local(uri) for uri in table.file_uris()]
        files = tuple(path for path in paths if path is not None)
        gone = [path for path in files if not path.is_file()]
        if gone:
            raise NotFound(
                f"The Delta table {place} was vacuumed: {len(gone):,} of {len(paths):,} files of version {number} are gone.",
                why=f"For example {', '.join(path.name for path in gone[:_SHOWN])}.",
                fix="Import a version whose files are there, or restore them.",
            )
        told = pl.DataFrame(table.get_add_actions(flatten=True)).select("path", "size_bytes").sort("path")
        sizes = dict(zip(told["path"].to_list(), told["size_bytes"].to_list(), strict=True))
        for path in files:
            written = sizes.get(path.name, path.stat().st_size)
            if path.stat().st_size != written:
                raise Corrupt(
                    f"The Delta table {place} cannot be read: {path.name} has {path.stat().st_size:,} bytes where its "
                    f"log says {written:,}.",
                    fix="Restore that file, or repair the table with the tool that wrote it.",
                )
        obstacle = _obstacle(table, are_local=len(files) == len(paths))
        return ForeignVersion(
            place=place,
            number=number,
            digest=digest(repr(told.rows()).encode()),
            rows=pl.scan_delta(table),
            files=() if obstacle else files,
            obstacle=obstacle,
        )

    @staticmethod
    def _unreadable(address: str, place: str, version: int | None, problem: DeltaError) -> NotFound | Corrupt:
        if version is not None:
            try:
                newest = DeltaTable(address).version()
            except DeltaError:
                newest = None
            if newest is not None:
                return NotFound(
                    f"The Delta table {place} has no version {version} any more, or not yet.",
                    why=f"Its newest one is {newest}; logs of old ones may have been cleaned up.",
                    fix=f"Name one that is there: --version {newest}",
                )
        return Corrupt(
            f"The Delta table {place} cannot be read: {str(problem).splitlines()[0]}.",
            fix="Repair it with the tool that wrote it.",
        )


def _first_line(problem: Exception) -> str:
    """What delta-rs says of the cause, without the colours that it means for a terminal."""
    lines = [line.strip(" \u21b3") for line in re.sub(r"\x1b\[[0-9;]*m", "", str(problem)).splitlines()]
    return scrubbed(ValueError("; ".join(line for line in lines if line)), ())


def _local(uri: str) -> Path | None:
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return None if parsed.scheme else Path(uri)


def _obstacle(table: DeltaTable, *, are_local: bool) -> str:
    beyond = sorted(_BEYOND_FILES & set(table.protocol().reader_features or ()))
    metadata = table.metadata()
    if not are_local:
        return "its files lie in an object store"
    if metadata.partition_columns:
        return f"the values of {', '.join(metadata.partition_columns)} are in the names of its folders"
    if beyond:
        return f"it uses {', '.join(beyond)}"
    if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
        return "its columns have other names in the files"
    return ""
