"""Sources as a project declares them: `sw.files(...)`, `sw.sql(...)`, `sw.api(...)`, `sw.delta(...)`, `sw.custom_source(...)`."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.errors import InvalidDeclaration, near
from slipway.ports.secrets import FORMS, is_kept_elsewhere
from slipway.ports.source import masked
from slipway.records.plugged import Value
from slipway.records.sources import ApiSource, CustomSource, DeltaSource, FilesSource, SourceSpec, SqlSource
from slipway.schema.plugged import plugged

__all__ = ["FORMATS", "api", "custom_source", "delta", "files", "place_of", "sql"]

FORMATS = ("parquet", "csv", "json", "jsonl")
_SHOWN = 100


def files(*paths: str, format: str = "") -> FilesSource:
    """Read a table from files: all that are named together are its rows.

    Args:
        *paths: Paths relative to slipway.toml's folder, patterns as "data/*.csv", or URLs: s3://, gs://, az://, http://
            and https://. "env:NAME" reads one from an environment variable: for addresses that hold a secret.
        format: "parquet", "csv", "json" (one list) or "jsonl" (an object a line); by the suffix where it is missing.

    Raises:
        InvalidDeclaration: No path is named, a format is unknown, or a URL holds a password.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="code", source=sw.files("data/airports-*.csv"))
        ... def airports(): ...
    """
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise InvalidDeclaration("sw.files() names no file.", fix="Name at least one: sw.files('data/*.parquet').")
    if format and format not in FORMATS:
        raise InvalidDeclaration(f"{format!r} is no format of files.", fix=near(format, FORMATS, what="formats"))
    for path in paths:
        _refuse_secrets(path, "sw.files")
    return FilesSource(paths=paths, format=format)


def sql(url: str, query: str) -> SqlSource:
    """Read a table from a SQL database, through SQLAlchemy and the database's driver.

    Args:
        url: "env:NAME", "file:/path" or "command:..." of what holds SQLAlchemy's URL, or the URL itself where it holds no
            password: "sqlite:///shop.db" (relative to slipway.toml's folder), "postgresql://localhost/shop".
        query: A select, or a table's name.

    Raises:
        InvalidDeclaration: One of them is empty, or the URL holds a password.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="id", source=sw.sql("env:SHOP_DB", "select * from orders"), watermark="updated_at")
        ... def orders(): ...
    """
    if not isinstance(url, str) or not (is_kept_elsewhere(url) or "://" in url):
        raise InvalidDeclaration(
            f"{url!r} is no database's URL.", fix='Write sw.sql("env:SHOP_DB", ...) or "sqlite:///shop.db".'
        )
    if not isinstance(query, str) or not query.strip():
        raise InvalidDeclaration("sw.sql() was given no query.", fix='Give a select or a table\'s name: "orders".')
    _refuse_secrets(url, "sw.sql")
    return SqlSource(url=url, query=query.strip().rstrip(";").strip())


def api(
    url: str,
    *,
    rows: str = "",
    next: str = "",
    cursor: str = "",
    page: str = "",
    since: str = "",
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ApiSource:
    """Read a table from a JSON API, page after page. A `Link` header with rel="next" is followed unasked.

    Args:
        url: Of the first page, or "env:NAME", "file:/path" or "command:..." of what holds it.
        rows: Where in an answer the list of rows is: "data.items"; "" where the answer is the list.
        next: Where in an answer the next page's URL or token is: "paging.next".
        cursor: The query parameter that takes it, where it is a token.
        page: The query parameter that counts pages from 1; the first page without rows is the last.
        since: The query parameter that takes the watermark of what is stored.
        params: Other query parameters.
        headers: Headers: {"Authorization": "env:SHOP_TOKEN"}.

    Raises:
        InvalidDeclaration: It is no web address, holds a secret, or `cursor` is given without `next`.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="id", source=sw.api("https://shop.example/orders", rows="items", next="links.next"))
        ... def orders(): ...
    """
    if not isinstance(url, str) or not url.startswith(("http://", "https://", *FORMS)):
        raise InvalidDeclaration(f"{url!r} is no web address.", fix="Write it with http:// or https://, or env:NAME.")
    if cursor and not next:
        raise InvalidDeclaration(
            f"sw.api() was given the cursor {cursor!r} and not where an answer holds its value.",
            fix='Name that too: next="paging.after".',
        )
    _refuse_secrets(url, "sw.api")
    for name, value in (headers or {}).items():
        if name.lower() in ("authorization", "cookie", "x-api-key") and not is_kept_elsewhere(value):
            raise InvalidDeclaration(
                f"sw.api() was given the header {name!r} in code.",
                why="Code goes into each snapshot of the project, and its secrets with it.",
                fix=f'Put the value into an environment variable: headers={{"{name}": "env:SHOP_TOKEN"}}.',
            )
    texts = {name: str(value) for name, value in (params or {}).items()}
    return ApiSource(
        url=url,
        rows=rows,
        next=next,
        cursor=cursor,
        page=page,
        since=since,
        params=texts,
        headers=dict(headers or {}),
    )


def delta(path: str, version: int | None = None) -> DeltaSource:
    """Read a table from a Delta table. A version that is named is read once; of none the newest is read each time.

    Args:
        path: Its folder, relative to slipway.toml's folder, or its URL; "env:NAME" reads it from an environment variable.
        version: The number of the version that is read, None for the newest.

    Raises:
        InvalidDeclaration: No path is given, the version is no number, or a URL holds a password.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="flight_id", source=sw.delta("lake/flights"), watermark="known_at")
        ... def flights(): ...
    """
    if not isinstance(path, str) or not path:
        raise InvalidDeclaration("sw.delta() names no Delta table.", fix="Name its folder: sw.delta('lake/flights').")
    if version is not None and (not isinstance(version, int) or version < 0):
        raise InvalidDeclaration(f"{version!r} is no version of a Delta table.", fix="Versions count from 0.")
    _refuse_secrets(path, "sw.delta")
    return DeltaSource(path=path, version=version)


def custom_source(plugin: str, **options: Value) -> CustomSource:
    """Read a table from what an installed plug-in reads: see docs/plug-ins.md.

    Args:
        plugin: The name under which its package installed it.
        **options: Its keyword arguments; a secret stands in an environment variable, "env:NAME".

    Raises:
        InvalidDeclaration: It is no name of a plug-in, an option is no plain value, or holds a secret.
        NotFound: No installed package brings one of that name.

    Example:
        `@sw.table(key="id", source=sw.custom_source("gzipped_lines", path="orders.jsonl.gz"))`
    """
    return CustomSource(plugin=plugged("source", plugin, options))


def place_of(source: SourceSpec) -> str:
    """A source in words, without secrets: for records, lineage and messages."""
    if isinstance(source, FilesSource):
        return ", ".join(masked(path) if "://" in path else path for path in source.paths)
    if isinstance(source, ApiSource):
        return masked(source.url)
    if isinstance(source, DeltaSource):
        return masked(source.path) + ("" if source.version is None else f" version {source.version}")
    if isinstance(source, CustomSource):
        return str(source.plugin)
    query = " ".join(source.query.split())
    return f"{masked(source.url)}: {query if len(query) <= _SHOWN else query[:_SHOWN] + '...'}"


def _refuse_secrets(url: str, what: str) -> None:
    if masked(url) != url:
        raise InvalidDeclaration(
            f"{what}({masked(url)!r}) was given a secret in code.",
            why="Code goes into each snapshot of the project, and its secrets with it.",
            fix=f'Put the address into an environment variable and name that: {what}("env:SHOP_DB", ...).',
        )
