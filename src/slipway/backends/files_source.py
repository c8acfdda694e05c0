"""Files as a source: on disk, in object stores (through Polars' own readers) and on web servers."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars import selectors

from slipway.backends.http_download import Web
from slipway.backends.source_rows import exact_beside_fractions, newer
from slipway.errors import BackendError, InvalidInput, NotFound, SlipwayError, Unavailable, near
from slipway.hashing import digest, digest_file
from slipway.ports.source import Ask, Reading, masked, resolved, scrubbed, secrets_of
from slipway.records.sources import FilesSource

__all__ = ["FilesReader"]

_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_TAIL = 1 << 20
_ETAG = ('"', "W/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file, and what it is called in sentences and markers.

    Args:
        name: What people call it, without secrets.
        path: Where it can be scanned, "" for one on a web server that is still what it was.
        state: Its digest or ETag, "" where nobody knows.
        url: Its web address, "" for others.
        is_far: Whether it lies in an object store.
    """

    name: str
    path: str
    state: str = ""
    url: str = ""
    is_far: bool = False


class FilesReader:
    """See `Source`. A file that ends within a row is refused; a local file that changes while it is used, too.

    Args:
        spec: The declaration.
        folder: Where relative paths begin.
    """

    def __init__(self, spec: FilesSource, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        """See `Source.read`."""
        former: dict[str, str] = json.loads(ask.marker) if ask.marker else {}
        found = [file for path in self._spec.paths for file in self._find(path, scratch, former)]
        if former and {file.name: file.state for file in found} == former:
            return None
        found = [file if file.path else self._download(file.url, file.name, scratch) for file in found]
        what = " and ".join(file.name for file in found[:2])
        rows = newer(_laid_together([self._scan(file) for file in found], what), ask, what)
        near_ones = [Path(file.path) for file in found if not file.is_far]
        if len(near_ones) < len(found):
            rows = _kept(rows, scratch / "kept.parquet", [file.path for file in found])
            return Reading(rows=rows, digest=digest_file(scratch / "kept.parquet"), check=_unchanged(near_ones))
        marker = json.dumps({file.name: file.state for file in found}, sort_keys=True)
        return Reading(rows=rows, digest=digest(marker.encode()), marker=marker, check=_unchanged(near_ones))

    def _find(self, given: str, scratch: Path, former: dict[str, str]) -> list[_File]:
        path = resolved(given)
        name = given if path != given else masked(path)
        if path.startswith(("http://", "https://")):
            return [self._download(path, name, scratch, former=former.get(name, ""))]
        if "://" in path:
            return [_File(path=path, name=name, is_far=True)]
        place = self._folder / path
        matches = [place]
        if glob.has_magic(path):
            matches = sorted(Path(match) for match in glob.glob(str(place), recursive=True) if os.path.isfile(match))
            if not matches:
                raise NotFound(f"No file matches {path!r} in {self._folder}.", fix="Check the pattern and the folder.")
        return [_File(path=str(match), name=self._name(match), state=_digest_of(match)) for match in matches]

    def _name(self, path: Path) -> str:
        try:
            return path.relative_to(self._folder).as_posix()
        except ValueError:
            return str(path)

    def _download(self, url: str, name: str, scratch: Path, *, former: str = "") -> _File:
        target = scratch / f"{digest(url.encode())[:16]}.part"
        web = Web(secrets=secrets_of([url]))
        try:
            got = web.fetch(url, target, etag=former if former.startswith(_ETAG) else "")
        finally:
            web.close()
        if got is None:
            return _File(path="", name=name, state=former, url=url)
        state = got.etag if got.etag.startswith(_ETAG) else digest_file(target)
        return _File(path=str(target), name=name, state=state, url=url)

    def _scan(self, file: _File) -> pl.LazyFrame:
        address = (file.url or file.path).partition("?")[0] if "://" in (file.url or file.path) else file.path
        kind = self._spec.format or _SUFFIXES.get(Path(address).suffix.lower(), "")
        if not kind:
            raise InvalidInput(
                f"The format of {file.name!r} cannot be told from its name.",
                fix='Say it: sw.files(..., format="csv"); it is "parquet", "csv", "json" or "jsonl".',
            )
        try:
            if not file.is_far and kind in ("csv", "jsonl"):
                _check_end(Path(file.path), file.name, kind)
            rows = _SCANS[kind](file.path)
            rows.collect_schema()
            if kind == "csv":
                rows = _empty_columns_untyped(rows, file.name)
        except SlipwayError:
            raise
        except (pl.exceptions.PolarsError, OSError, ValueError) as problem:
            raise _unreadable(file, kind, problem) from problem
        return rows


def _laid_together(scans: list[pl.LazyFrame], what: str) -> pl.LazyFrame:
    if len(scans) == 1:
        return scans[0]
    rows = pl.concat(scans, how="diagonal_relaxed")
    try:
        together = rows.collect_schema()
    except pl.exceptions.SchemaError as problem:
        raise InvalidInput(
            f"The columns of {what} do not go together: {str(problem).splitlines()[0]}.",
            fix="Make them one type where they are written, or read them in a function of your own that casts them.",
        ) from problem
    exact_beside_fractions(scans, together, what)
    return rows


def _empty_columns_untyped(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """A CSV file's rows; its columns without any value have no type: Polars would call them texts."""
    schema = rows.collect_schema()
    if len(schema) == 1 and any(separator in next(iter(schema)) for separator in ";\t|"):
        raise InvalidInput(
            f"{name} has a single column, {next(iter(schema))!r}: its fields are not separated by commas.",
            fix="Read it in a function of your own: pl.scan_csv(path, separator=';').",
        )
    texts = [column for column, dtype in schema.items() if dtype == pl.String]
    if not texts:
        return rows
    # By selectors: a column may be called like a pattern.
    there = rows.select(selectors.by_name(texts).count()).collect(engine="streaming").row(0, named=True)
    return rows.with_columns(selectors.by_name([name for name in texts if not there[name]]).cast(pl.Null))


def _scan_json(path: str) -> pl.LazyFrame:
    if "://" in path:  # Polars' reader of lists knows no object stores
        lines = pl.scan_lines(path).collect().to_series()
        return pl.read_json(io.BytesIO("\n".join(lines).encode()), infer_schema_length=None).lazy()
    return pl.read_json(path, infer_schema_length=None).lazy()


_SCANS: dict[str, Callable[[str], pl.LazyFrame]] = {
    "parquet": lambda path: pl.scan_parquet(path, hive_partitioning=False),
    "csv": lambda path: pl.scan_csv(path, infer_schema_length=None),
    "json": _scan_json,
    "jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=None) if _has_rows(path) else pl.LazyFrame(),
}


def _has_rows(path: str) -> bool:
    return "://" in path or Path(path).stat().st_size > 0


def _digest_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder.", fix=f'Name its files: sw.files("{path.name}/*.parquet").')
        return digest_file(path)
    except FileNotFoundError as problem:
        there = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(f"There is no file {path}.", why=near(path.name, there, what="files there")) from problem
    except PermissionError as problem:
        raise BackendError(f"{path} may not be read by this user.", fix="Give this user the right to.") from problem


def _unchanged(paths: list[Path]) -> Callable[[], None]:
    """A check that the files are still what they were."""

    def looks() -> list[tuple[int, int, int]]:
        found = [path.stat() for path in paths]
        return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]

    before = looks()

    def check() -> None:
        try:
            is_same = looks() == before
        except OSError:
            is_same = False
        if not is_same:
            raise Unavailable(
                f"A file among {', '.join(path.name for path in paths[:3])} changed while it was read.",
                why="Nothing was stored.",
                fix="Sync again when it has been written. Writers should write beside it and rename.",
            )

    return check


def _check_end(path: Path, name: str, kind: str) -> None:
    """Refuse a file that ends within a row: Polars would fill the rest of a CSV row with nulls."""
    with path.open("rb") as file:
        head = file.readline(_TAIL)
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    if b"\r" in head.strip() and not head.endswith(b"\n"):
        raise InvalidInput(
            f"{name} has lines that end with a carriage return alone.",
            fix="Write it with line feeds: tr '\\r' '\\n' < old > new.",
        )
    if not tail.strip() or tail.endswith((b"\n", b"\r")):
        return
    last = tail.rpartition(b"\n")[2]
    broken = False
    if kind == "jsonl":
        broken = not last.rstrip().endswith(b"}")
    elif last.count(b'"') % 2 == 0:  # else it is the end of a field over several lines, which Polars looks at itself
        columns, fields = (len(next(csv.reader(io.StringIO(line.decode("utf-8", "replace"))))) for line in (head, last))
        broken = fields < columns
    if broken:
        raise InvalidInput(
            f"{name} ends within a row: ...{last[-60:].decode('utf-8', 'replace')!r}.",
            why="It was cut off, or is still being written.",
            fix="Get the whole file, then sync again.",
        )


def _unreadable(file: _File, kind: str, problem: Exception) -> SlipwayError:
    told = scrubbed(problem, secrets_of([file.path]))
    if file.is_far:
        return Unavailable(
            f"{file.name} cannot be read: {told}.",
            fix="Check the address and the credentials in the environment, for s3:// AWS_ACCESS_KEY_ID and the others.",
        )
    if isinstance(problem, pl.exceptions.NoDataError):
        return InvalidInput(f"{file.name} is empty: there is not even a header.", fix="Check how it is written.")
    return InvalidInput(
        f"{file.name} cannot be read as {kind}: {told}.",
        why="It was cut off, damaged, or is of another format.",
        fix="Get the whole file, or name its format: sw.files(..., format=...).",
    )


def _kept(rows: pl.LazyFrame, target: Path, paths: list[str]) -> pl.LazyFrame:
    """Rows from far away, kept near: they are used more than once, and must not change between."""
    try:
        rows.sink_parquet(target)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise Unavailable(
            f"{', '.join(map(masked, paths))} could not be read to the end: {scrubbed(problem, secrets_of(paths))}.",
            fix="Try again later.",
        ) from problem
    return pl.scan_parquet(target, glob=False, hive_partitioning=False)
