"""What a table's source must do: read what is there, or what is newer than a watermark, without holding it in memory.

Beside the Protocol: how sources keep secrets. A secret is read from the environment at the last moment, and what a
source says of itself, its errors included, never holds one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote_plus, unquote_plus

from slipway.errors import InvalidSetting

if TYPE_CHECKING:
    from datetime import date, datetime

    import polars as pl

    Watermark = int | str | date | datetime

__all__ = ["Ask", "Reading", "Source", "masked", "resolved", "scrubbed", "secrets_of"]

_ENV = "env:"
# A password may hold a slash in a database's URL; in a web address what follows one is the path.
_USER = re.compile(r"(://[^:/?#@]*:)(.*)@")
_USER_OF_WEB = re.compile(r"(://[^:/?#@]*:)([^/?#]*)@")
_PARAMETER = re.compile(r"(?i)([?&][^=&#]*(?:pass|pwd|secret|token|key|sig|credential|auth)[^=&#]*=)([^&#]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a source.

    Args:
        column: The watermark's column, "" where there is none.
        since: The least watermark that is wanted, itself included; None for all rows.
        order: Columns by which rows are sorted where the source can, if it has them: what it gives is then the same
            each time.
        marker: The `Reading.marker` of last time: a source that finds itself unchanged since then need not be read.
    """

    column: str = ""
    since: Watermark | None = None
    order: tuple[str, ...] = ()
    marker: str = ""


def _nothing() -> None:
    """The check of a source whose rows cannot change any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source gave.

    Args:
        rows: The rows; they can be scanned again and again while the scratch folder is there.
        digest: Of what was read, for lineage.
        marker: What the source says of its state, "" for nothing.
        check: Call it when the rows have been used: it raises `Unavailable` where they changed meanwhile.
    """

    rows: pl.LazyFrame
    digest: str
    marker: str = ""
    check: Callable[[], None] = _nothing


class Source(Protocol):
    """Reads one source. Made of its declaration and of the folder that relative paths begin in.

    Guarantees: reading twice what has not changed gives the same rows; memory is bounded by a batch, whatever is read;
    a source that is missing, denied, truncated or vanishes while it is read is an error in words, without secrets.
    """

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        """Read.

        Args:
            ask: What is wanted.
            scratch: An empty folder for what must be kept while the rows are used.

        Returns:
            The rows, or None when the source is what it was at `ask.marker`.

        Raises:
            NotFound: There is no such file, table or address.
            InvalidInput: What is there cannot be read as rows, or lacks the watermark's column.
            InvalidSetting: An environment variable is missing.
            MissingExtra: A driver is not installed.
            Unavailable: It cannot be reached, or stopped answering; later is worth a try.
            BackendError: It refuses.
        """
        ...


def resolved(text: str) -> str:
    """A text itself, or the environment variable that "env:NAME" names.

    Raises:
        InvalidSetting: The variable is not set.
    """
    if not text.startswith(_ENV):
        return text
    name = text.removeprefix(_ENV)
    value = os.environ.get(name, "")
    if not value:
        raise InvalidSetting(
            f"The environment variable {name!r} is not set.",
            why=f"A source is declared with {text!r}.",
            fix=f"Set it where this runs: export {name}=...; for scheduled syncs, where `slipway up` runs.",
        )
    return value


def masked(url: str) -> str:
    """A URL for people: its password, and the values of parameters that look like secrets, are stars."""
    user = _USER_OF_WEB if url.startswith("http") else _USER
    return _PARAMETER.sub(r"\1***", user.sub(r"\1***@", url))


def secrets_of(urls: Iterable[str], values: Iterable[str] = ()) -> tuple[str, ...]:
    """The secrets that URLs hold, and values that are secret as a whole: what no message may show."""
    found = set(values)
    for url in urls:
        user = _USER_OF_WEB if url.startswith("http") else _USER
        found |= {match[2] for match in user.finditer(url)} | {match[2] for match in _PARAMETER.finditer(url)}
    found |= {unquote_plus(secret) for secret in found} | {quote_plus(secret) for secret in found}
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def scrubbed(problem: object, secrets: tuple[str, ...]) -> str:
    """An error's first line as the end of a sentence, without secrets."""
    text = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text.rstrip(".")[:300]
