"""Where a table's rows come from, how far it has been read, and each time that it was synced."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.plugged import Plugged
from slipway.records.record import Record

__all__ = [
    "ApiSource",
    "CustomSource",
    "DeltaSource",
    "FilesSource",
    "Mark",
    "SourceSpec",
    "SqlSource",
    "Sync",
    "Synced",
]


class FilesSource(Struct, frozen=True, kw_only=True, tag="files", omit_defaults=True):
    """Files on disk, in an object store or on a web server.

    Args:
        paths: Paths (relative to slipway.toml's folder), patterns, or URLs (s3, gs, az, http, https); "env:NAME" reads
            one from an environment variable.
        format: "parquet", "csv", "json" or "jsonl"; "" goes by the suffix.
    """

    paths: tuple[str, ...]
    format: str = ""


class SqlSource(Struct, frozen=True, kw_only=True, tag="sql"):
    """A query of a SQL database.

    Args:
        url: SQLAlchemy's URL without a password, or "env:NAME", "file:/path" or "command:..." of what holds it.
        query: A select, or a table's name.
    """

    url: str
    query: str


class ApiSource(Struct, frozen=True, kw_only=True, tag="api", omit_defaults=True):
    """A JSON API that answers in pages.

    Args:
        url: Of the first page, or "env:NAME", "file:/path" or "command:..." of what holds it.
        rows: Where in an answer the list of rows is: "data.items"; "" where the answer is the list.
        next: Where in an answer the next page's URL or token is, "" for none.
        cursor: The query parameter that takes that token, "" where it is a URL.
        page: The query parameter that counts pages from 1; the first page without rows ends it.
        since: The query parameter that takes the watermark, "" where the API has none.
        params: Other query parameters.
        headers: Headers; values may be "env:NAME", "file:/path" or "command:...".
    """

    url: str
    rows: str = ""
    next: str = ""
    cursor: str = ""
    page: str = ""
    since: str = ""
    params: dict[str, str] = {}
    headers: dict[str, str] = {}


class DeltaSource(Struct, frozen=True, kw_only=True, tag="delta", omit_defaults=True):
    """A Delta table.

    Args:
        path: Its folder (relative to slipway.toml's folder) or URL, or "env:NAME".
        version: The version that is read, None for the newest.
    """

    path: str
    version: int | None = None


class CustomSource(Struct, frozen=True, kw_only=True, tag="custom"):
    """What an installed plug-in reads.

    Args:
        plugin: Which, and what it is given; text may be "env:NAME".
    """

    plugin: Plugged


SourceSpec = FilesSource | SqlSource | ApiSource | DeltaSource | CustomSource


class Mark(Struct, frozen=True):
    """A watermark's value, exactly.

    Args:
        type: What it is; a "wall time" is a datetime without a time zone.
        text: The value, as ISO 8601 where it is a time.
    """

    type: Literal["int", "string", "date", "datetime", "wall time"]
    text: str


class Synced(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a version has read its source. It is stored with the version, in the version's own transaction.

    Args:
        place: The source, without secrets.
        watermark: The watermark's column, "" for none.
        reached: The greatest watermark that was read and not in the future, None before the first row.
        marker: What the source said of its state (digests of files, an ETag), "" where it says nothing.
        digest: Of what was read.
        definition: The fingerprint of the source and of the function that cleans its rows.
        rows: How many rows were read.
    """

    place: str
    watermark: str = ""
    reached: Mark | None = None
    marker: str = ""
    digest: str = ""
    definition: str = ""
    rows: int = 0


class Sync(Record, frozen=True, kw_only=True, tag="sync"):
    """One time that a table was synced with its source; name: the table's.

    Args:
        parent_id: `<project>/<environment>`.
        state: "running"; "made": it brought a version; "unchanged": nothing was new; "failed".
        trigger: What asked for it: "by hand", "schedule 0 3 * * * Europe/Berlin".
        full: Whether everything was read again.
        snapshot: The digest of the project snapshot that ran, "" for a person's checkout.
        attempts: How often its process was started: one that was killed is started again.
        host: The process that does it, see `provenance.host`; "" before it is known.
        version: The hash of the version that it left current, "" for none.
        rows: How many rows were read.
        ended_at: Business time of its end, None while it runs.
        sentence: What came of it, in words, without secrets.
    """

    parent_id: str
    state: Literal["running", "made", "unchanged", "failed"] = "running"
    trigger: str
    full: bool = False
    snapshot: str = ""
    attempts: int = 0
    host: str = ""
    version: str = ""
    rows: int = 0
    ended_at: datetime | None = None
    sentence: str = ""
