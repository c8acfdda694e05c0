"""Whose rows are erased: by which columns a person is named, and whether a record is theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

__all__ = ["Target", "has_letter", "is_key", "is_theirs", "names", "words_of"]

_LETTER = re.compile(r"[^\W\d_]")
_PARTS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose rows.

    Args:
        columns: By which columns the person is named: name to value as text.
        table: The only table that is meant, "" for every one where these columns are personal or the key.
    """

    columns: Mapping[str, str]
    table: str = ""


def is_theirs(row: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    """Whether a record of plain values names the person by all columns."""
    return all(name in row and _equals(row[name], text) for name, text in columns.items())


def is_key(names: tuple[str, ...], key: str, columns: Mapping[str, str]) -> bool:
    """Whether a request's key as a log has it, of some columns, names the person."""
    if not set(columns) <= set(names) or not key:
        return False
    parts = [re.sub(r"\\(.)", r"\1", part) for part in _PARTS.split(key)]
    return len(parts) == len(names) and is_theirs(dict(zip(names, parts, strict=True)), columns)


def has_letter(columns: Mapping[str, str]) -> bool:
    """Whether what names the person is more than figures, which stand in any text."""
    return any(_LETTER.search(value) for value in columns.values())


def words_of(columns: Mapping[str, str]) -> list[re.Pattern[str]]:
    """What finds each value in a text, as a word."""
    return [re.compile(rf"(?<!\w){re.escape(value)}(?!\w)") for value in columns.values()]


def names(text: bytes, words: Iterable[re.Pattern[str]]) -> bool:
    """Whether a text names the person: all values stand in it, as words."""
    told = text.decode("utf-8", "replace")
    return all(word.search(told) for word in words)


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == text.lower()
    if isinstance(value, int | float):
        try:
            return value == float(text)
        except ValueError:
            return False
    if isinstance(value, datetime):
        try:
            named = datetime.fromisoformat(text)
        except ValueError:
            return False
        return value.replace(tzinfo=None) == named.replace(tzinfo=None) if not named.tzinfo else value == named
    return (value.isoformat() if isinstance(value, date) else str(value)) == text
