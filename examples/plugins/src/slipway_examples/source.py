"""A source: a file of gzipped JSON lines, an object a line."""

import gzip
import shutil
import zlib
from pathlib import Path

import polars as pl

from slipway.errors import InvalidInput, NotFound, near
from slipway.hashing import digest_file
from slipway.ports.source import Ask, Reading


class GzippedLines:
    def __init__(self, folder: Path, path: str) -> None:
        self.file = folder / path  # relative to slipway.toml

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        if not self.file.is_file():
            raise NotFound(f"There is no file {self.file}.", fix="Correct the path.")
        state = digest_file(self.file)
        if state == ask.marker:
            return None
        plain = scratch / "rows.jsonl"
        try:
            with gzip.open(self.file) as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out)  # it ends with a checksum of all of it
        except (OSError, EOFError, zlib.error) as problem:
            raise InvalidInput(f"{self.file} is damaged: {problem}.", fix="Fetch it again.") from problem
        if not plain.stat().st_size:
            return Reading(rows=pl.LazyFrame(), digest=state, marker=state)
        rows = pl.scan_ndjson(plain, infer_schema_length=None)
        columns = rows.collect_schema()
        if ask.column and ask.column not in columns:
            told = f"The watermark {ask.column!r} is no column of {self.file}."
            raise InvalidInput(told, fix=near(ask.column, columns, what="columns"))
        if ask.since is not None:
            rows = rows.filter(pl.col(ask.column) >= ask.since)
        if ask.order:
            rows = rows.sort(name for name in ask.order if name in columns)
        return Reading(rows=rows, digest=state, marker=state)
