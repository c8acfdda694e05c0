"""Files as they may be seen by somebody from whom values are hidden: frames by their columns, texts by their words.

What is neither is searched for the values as it is, inside of archives too, and is closed where it holds one.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Protocol

import msgspec
import polars as pl

from slipway.tables.personal import MASK
from slipway.tables.veil_values import Hidden, masked

__all__ = ["Known", "seen_through"]

_MOST_BYTES = 256 << 20
_DEEPEST = 3


class Known(Protocol):
    """What is hidden: see `slipway.tables.veil.Veil`."""

    @property
    def columns(self) -> frozenset[str]:
        """The names of hidden columns, lower-case."""
        ...

    @property
    def hidden(self) -> Hidden:
        """Their values."""
        ...

    def text(self, text: str) -> str:
        """A text as it may be seen."""
        ...

    def answer(self, value: Any) -> Any:
        """Plain values as they may be seen."""
        ...


def seen_through(known: Known, name: str, data: bytes) -> tuple[bytes, bool]:
    """A file as it may be seen.

    Args:
        known: What is hidden.
        name: What it is called.
        data: Its bytes.

    Returns:
        Its bytes, the same where nothing in it is hidden; and whether it can be shown: a binary file that holds hidden
        values, or cannot be looked into, has none.
    """
    if data[:4] == b"PAR1":
        return _parquet(known, data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return (b"", False) if _holds(known, data, [_MOST_BYTES]) else (data, True)
    shown = _worded(known, PurePosixPath(name).suffix.lower(), text)
    return (data if shown == text else shown.encode()), True


def _worded(known: Known, suffix: str, text: str) -> str:
    if suffix in (".csv", ".tsv"):
        text = _separated(known, text, "\t" if suffix == ".tsv" else ",")
    if suffix in (".json", ".ipynb", "") and text.lstrip()[:1] in ("{", "["):
        try:
            value = msgspec.json.decode(text)
            told = known.answer(value if suffix == ".ipynb" else _keyed(known, value))
        except (msgspec.DecodeError, RecursionError):  # no JSON: a text like others
            return known.text(text)
        if told != value:
            return msgspec.json.encode(told).decode()
    return known.text(text)


def _separated(known: Known, text: str, separator: str) -> str:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        return text
    places = {number for number, name in enumerate(rows[0]) if _is_hidden(known, name)} if rows else set()
    if not places:
        return text
    sink = io.StringIO(newline="")
    told = [[MASK if number in places else cell for number, cell in enumerate(row)] for row in rows[1:]]
    csv.writer(sink, delimiter=separator, lineterminator="\n").writerows([rows[0], *told])
    return sink.getvalue()


def _keyed(known: Known, value: Any) -> Any:
    """JSON in which what stands under the name of a hidden column is hidden; also in tables by columns and rows."""
    match value:
        case {"columns": list(columns), "data": list(rows)} if all(isinstance(row, list) for row in rows):
            places = {number for number, name in enumerate(columns) if _is_hidden(known, str(name))}
            told = [[MASK if number in places else cell for number, cell in enumerate(row)] for row in rows]
            return {**{key: _keyed(known, one) for key, one in value.items()}, "columns": columns, "data": told}
        case Mapping():
            return {key: MASK if _is_hidden(known, key) else _keyed(known, one) for key, one in value.items()}
        case list():
            return [_keyed(known, one) for one in value]
    return value


def _is_hidden(known: Known, name: str) -> bool:
    """Whether a column is hidden by its name, also where a frame calls it after its table: `people.email`."""
    told = name.strip().lower()
    return told in known.columns or told.replace("/", ".").rpartition(".")[2] in known.columns


def _parquet(known: Known, data: bytes) -> tuple[bytes, bool]:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return b"", False
    told = {name: shown for name in frame.columns if (shown := _column(known, frame[name])) is not None}
    if not told:
        return data, True
    sink = io.BytesIO()
    frame.with_columns(**told).write_parquet(sink)
    return sink.getvalue(), True


def _column(known: Known, column: pl.Series) -> pl.Series | None:
    """A frame's column as it may be seen; None where nothing in it is hidden."""
    if _is_hidden(known, column.name):
        return pl.Series(column.name, [MASK] * len(column))
    dtype = column.dtype
    is_text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
    if not (is_text or dtype.is_integer() or dtype.is_nested() or dtype == pl.Binary):
        return None
    texts = [None if value is None else str(value) for value in column.to_list()]
    found = known.hidden.found_in("\n".join({text for text in texts if text is not None}))
    if not found:
        return None
    shown = [None if text is None else masked(text, found) for text in texts]
    return pl.Series(column.name, shown, dtype=pl.String) if shown != texts else None


def _holds(known: Known, data: bytes, left: list[int], depth: int = 0) -> bool:
    """Whether bytes hold a hidden value; an archive that is too deep or too large to be looked into counts as if."""
    inner = _inside(data, left)
    if inner is None or depth > _DEEPEST:
        return True
    if known.hidden.are_in_bytes(data):
        return True
    for name, member in inner:
        if known.hidden.are_in_bytes(name.encode()):
            return True
        if member[:4] == b"PAR1":
            if _parquet(known, member) != (member, True):
                return True
        elif _holds(known, member, left, depth + 1):
            return True
    return False


def _inside(data: bytes, left: list[int]) -> list[tuple[str, bytes]] | None:
    """The files in an archive, [] where it is none; None where they cannot be looked into.

    Args:
        data: The archive.
        left: How many bytes may still be unpacked.
    """
    found = []
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as file:
                found = [("", file.read(left[0] + 1))]
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > left[0]:
                    return None
                found = [(name, archive.read(name)) for name in archive.namelist()]
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None
    left[0] -= sum(len(member) for _, member in found)
    return None if left[0] < 0 else found
