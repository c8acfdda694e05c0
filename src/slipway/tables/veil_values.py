"""The values that somebody may not see, and where they stand in a text.

Of personal columns, and of tables that somebody may not read, texts with a letter and whole numbers of six digits are
looked for, whole and between other characters than letters and digits. Shorter numbers, floats, dates and truth values
stand in any text and tell nobody apart; so do the values of a column that has only a few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from slipway.errors import SlipwayError
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.tables.catalog import manifest_of, words
from slipway.tables.part_cache import part_folder
from slipway.tables.personal import MASK
from slipway.tables.scans import scan_parts

__all__ = ["Hidden", "gathered", "masked"]

_CATEGORIES, _CATEGORY_ROWS = 20, 100
"""A column with so few values in so many rows says of a row to which group it belongs, and of no row whose it is."""
_SHORTEST, _DIGITS, _LOWERED, _IN_BYTES = 3, 6, 8, 5
_AT_ONCE = 1 << 22
_MOST_BITS, _ROOM_BITS = 24, 8
"""Of a table of bits: of 256 places at most one is taken, until the table is as large as it may be."""
_WORD = re.compile(r"[^\W_]+")
_ENDS = r"^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$"


@dataclass(frozen=True, slots=True)
class Hidden:
    """Values that are hidden.

    Args:
        values: Each once, in the column `value`, with its first word in `head`.
    """

    values: pl.DataFrame

    def found_in(self, text: str) -> dict[str, list[str]]:
        """The values that may stand in a text, by their first word and the longest first."""
        if self.values.is_empty():
            return {}
        heads = pl.Series(list({match.group() for match in _WORD.finditer(text)}), dtype=pl.String)
        found: dict[str, list[str]] = {}
        for value, head in self.values.filter(pl.col("head").is_in(heads.implode())).iter_rows():
            if value in text:
                found.setdefault(head, []).append(value)
        return {head: sorted(some, key=len, reverse=True) for head, some in found.items()}

    def are_in_bytes(self, data: bytes) -> bool:
        """Whether a value stands anywhere in bytes of which nobody knows how to read them, also as UTF-16 or UTF-32."""
        long = [value.encode() for value in self.values["value"] if len(value) >= _IN_BYTES]
        looked = [data, data.replace(b"\0", b"")] if b"\0" in data else [data]
        return bool(long) and any(_one_stands_in(one, long) for one in looked)


def masked(text: str, known: Mapping[str, list[str]]) -> str:
    """A text in which a mark stands in the place of values.

    Args:
        text: The text.
        known: What `Hidden.found_in` gave for it, or for a text that it is part of.
    """
    parts, done = [], 0
    for match in _WORD.finditer(text):
        begin = match.start()
        if begin < done:
            continue
        value = next((one for one in known.get(match.group(), ()) if _stands_at(text, one, begin)), "")
        if value:
            parts += [text[done:begin], MASK]
            done = begin + len(value)
    return "".join([*parts, text[done:]]) if parts else text


def _stands_at(text: str, value: str, begin: int) -> bool:
    end = begin + len(value)
    return text.startswith(value, begin) and not text[end : end + 1].isalnum()


def _one_stands_in(data: bytes, values: list[bytes]) -> bool:
    """Whether one of many values stands anywhere in bytes: by their beginnings, which a table of bits knows."""
    beginnings = _beginnings(b"".join(value[:_IN_BYTES] for value in values))[::_IN_BYTES]
    bits = min(_MOST_BITS, len(beginnings).bit_length() + _ROOM_BITS)
    known = np.zeros(1 << bits, dtype=bool)
    known[_spread(beginnings, bits)] = True
    by_length: dict[int, set[bytes]] = {}
    for value in values:
        by_length.setdefault(len(value), set()).add(value)
    for begin in range(0, len(data), _AT_ONCE):
        stretch = data[begin : begin + _AT_ONCE + _IN_BYTES - 1]
        if len(stretch) < _IN_BYTES:
            break
        for place in np.flatnonzero(known[_spread(_beginnings(stretch), bits)]) + begin:
            if any(data[place : place + length] in some for length, some in by_length.items()):
                return True
    return False


def _beginnings(data: bytes) -> np.ndarray:
    """At each place of bytes the number that the next few bytes make."""
    each = np.frombuffer(data, dtype=np.uint8).astype(np.uint64)
    count = len(each) - _IN_BYTES + 1
    found = np.zeros(count, dtype=np.uint64)
    for offset in range(_IN_BYTES):
        found = (found << np.uint64(8)) | each[offset : offset + count]
    return found


def _spread(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of a few bits, by multiplying with 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4)."""
    return (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)


def gathered(
    workspace: Workspace, versions: Iterable[tuple[TableVersion, tuple[str, ...]]], exempt: Iterable[str]
) -> Hidden:
    """The values of columns in all versions of tables; each part is read once.

    Args:
        workspace: Whose store is read.
        versions: Each with the columns that are hidden in it. Rows that were cleaned away are not there.
        exempt: Texts that stand for something else too, like a table's name.
    """
    columns: dict[tuple[str, str, int], list[pl.LazyFrame]] = {}
    rows: dict[tuple[str, str, int], int] = {}
    seen: set[tuple[str, str, int]] = set()
    for version, names in versions:
        try:
            manifest = manifest_of(workspace, version)
        except SlipwayError:  # cleaned away or damaged: whoever reads it is told
            continue
        folder = part_folder(workspace, version.name, project=version.project)
        for field, number in zip(manifest.fields, manifest.field_ids, strict=True):
            parts = [one for one in manifest.parts if (version.name, one.digest, number) not in seen]
            if field.name not in names or not parts:
                continue
            seen |= {(version.name, one.digest, number) for one in parts}
            column = (version.project, version.name, number)
            scan = scan_parts(folder, manifest, words(version), parts).select(pl.col(field.name).alias("value"))
            rows[column] = rows.get(column, 0) + sum(one.rows for one in parts)
            columns.setdefault(column, []).extend(_texts(scan))
    found = [_few(scans, rows[column]) for column, scans in columns.items() if scans]
    every = pl.concat([pl.DataFrame(schema={"value": pl.String}), *found])
    lowered = every.filter(pl.col("value").str.len_chars() >= _LOWERED).with_columns(pl.col("value").str.to_lowercase())
    told = pl.concat([every, lowered]).unique().filter(~pl.col("value").is_in(list(exempt)))
    return Hidden(told.with_columns(head=pl.col("value").str.extract(r"^([\p{L}\p{N}]+)")))


def _texts(scan: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The values of a column as texts; none where they stand in any text."""
    dtype = scan.collect_schema()["value"]
    if isinstance(dtype, pl.List | pl.Array):
        return _texts(scan.select(pl.col("value").explode()))
    if isinstance(dtype, pl.Struct):
        inner = [pl.col("value").struct.field(field.name).alias("value") for field in dtype.fields]
        return [text for one in inner for text in _texts(scan.select(one))]
    if dtype.is_integer():
        text = pl.col("value").cast(pl.String)
        return [scan.select(text).filter(pl.col("value").str.count_matches(r"\d") >= _DIGITS)]
    if dtype != pl.String and not isinstance(dtype, pl.Categorical | pl.Enum):
        return []
    text = pl.col("value").cast(pl.String).str.replace_all(_ENDS, "")
    has_enough = (pl.col("value").str.len_chars() >= _SHORTEST) & (
        pl.col("value").str.contains(r"\p{L}") | (pl.col("value").str.count_matches(r"\p{N}") >= _DIGITS)
    )
    return [scan.select(text).filter(has_enough)]


def _few(scans: list[pl.LazyFrame], rows: int) -> pl.DataFrame:
    found = pl.concat(scans).unique().collect(engine="streaming")
    is_category = rows >= _CATEGORY_ROWS and found.height <= _CATEGORIES
    return found.head(0) if is_category else found
