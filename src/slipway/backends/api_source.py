"""JSON APIs that answer in pages, as a source: page after page into one file of lines, which is then read."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from slipway.backends.http_download import Download, Web
from slipway.backends.source_rows import EXACT, newer, not_exact
from slipway.errors import InvalidInput, near
from slipway.hashing import digest_file
from slipway.ports.secrets import is_kept_elsewhere, read_secret
from slipway.ports.source import Ask, Reading, masked, scrubbed, secrets_of
from slipway.records.sources import ApiSource

__all__ = ["ApiReader"]


class ApiReader:
    """See `Source`.

    Args:
        spec: The declaration.
        folder: Unused: an address is absolute.
    """

    def __init__(self, spec: ApiSource, folder: Path) -> None:
        self._spec = spec

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        """See `Source.read`."""
        address = read_secret(self._spec.url)
        shown = self._spec.url if address != self._spec.url else masked(address)
        headers = {name: read_secret(value) for name, value in self._spec.headers.items()}
        hidden = [headers[name] for name, value in self._spec.headers.items() if is_kept_elsewhere(value)]
        secrets = secrets_of([address], hidden)
        params = {name: read_secret(value) for name, value in self._spec.params.items()}
        if self._spec.since and ask.since is not None:
            params[self._spec.since] = _text(ask.since)
        web = Web(headers, secrets=secrets)
        try:
            pages = _Pages(self._spec, web, address, shown, params)
            found = pages.write(scratch, etag="" if ask.since is not None else ask.marker)
        finally:
            web.close()
        if found is None:
            return None
        lines = scratch / "rows.jsonl"
        try:
            rows = pl.scan_ndjson(lines, infer_schema_length=None) if lines.stat().st_size else pl.LazyFrame()
            rows = newer(rows, ask, shown)
        except pl.exceptions.PolarsError as problem:
            raise InvalidInput(
                f"The rows of {shown} do not go together: {scrubbed(problem, secrets)}.",
                fix="Look at one of its answers.",
            ) from problem
        return Reading(rows=rows, digest=digest_file(lines), marker=found)


class _Pages:
    """The pages of one reading."""

    def __init__(self, spec: ApiSource, web: Web, address: str, shown: str, params: dict[str, str]) -> None:
        self._spec = spec
        self._web = web
        self._address = address
        self._shown = shown
        self._params = params
        self._fractions: set[str] = set()
        self._large: set[str] = set()

    def write(self, scratch: Path, *, etag: str) -> str | None:
        """Write all rows as lines; returns what names this state ("" for nothing), or None when nothing has changed."""
        url, params, number = self._address, dict(self._params), 1
        seen: set[tuple[str, str]] = set()
        former = ""
        marker = ""
        with (scratch / "rows.jsonl").open("wb") as file:
            while True:
                if self._spec.page:
                    params[self._spec.page] = str(number)
                here = (url, repr(sorted(params.items())))
                if here in seen:
                    raise InvalidInput(
                        f"{self._shown} names a page again that was read: page {number}.",
                        fix="Check `next` and `cursor` of its source.",
                    )
                seen.add(here)
                got = self._web.fetch(url, scratch / "page.json", params=params, etag=etag if number == 1 else "")
                if got is None:
                    return None
                answer = self._decoded(scratch / "page.json")
                rows = self._rows(answer)
                self._note_numbers(rows)
                if self._spec.page and rows:
                    former, before = digest_file(scratch / "page.json"), former
                    if former == before:
                        raise InvalidInput(
                            f"{self._shown} gives the same rows as page {number - 1} and as page {number}.",
                            why=f"It seems not to know the parameter {self._spec.page!r}.",
                            fix="Check `page` of its source, or leave it away where all rows come at once.",
                        )
                file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
                marker = got.etag if number == 1 else ""  # of a first page that says nothing of the others
                following = self._next(answer, got, rows, url, params)
                if following is None:
                    return marker
                url, params = following
                number += 1

    def _note_numbers(self, rows: list[dict[str, Any]]) -> None:
        """Remember which columns hold fractions, and which whole numbers that would not stay exact beside them.

        Raises:
            InvalidInput: One of them has both.
        """
        for row in rows:
            for name, value in row.items():
                if type(value) is float:
                    self._fractions.add(name)
                elif type(value) is int and abs(value) > EXACT:
                    self._large.add(name)
        if self._fractions & self._large:
            raise not_exact(min(self._fractions & self._large), self._shown)

    def _decoded(self, path: Path) -> Any:
        try:
            return msgspec.json.decode(path.read_bytes())
        except msgspec.DecodeError as problem:
            raise InvalidInput(
                f"{self._shown} answered what is no JSON: {problem}.", fix="Open the address and look at its answer."
            ) from problem

    def _rows(self, answer: Any) -> list[Any]:
        found = _at(answer, self._spec.rows)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            fields = answer if isinstance(answer, dict) else {}
            where = f"at {self._spec.rows!r}" if self._spec.rows else "as a whole"
            raise InvalidInput(
                f"The answer of {self._shown} is no list of objects {where}.",
                why=near(self._spec.rows, fields, what="fields of the answer"),
                fix='Say where its rows are: sw.api(..., rows="items").',
            )
        return found

    def _next(
        self, answer: Any, got: Download, rows: list[Any], url: str, params: dict[str, str]
    ) -> tuple[str, dict[str, str]] | None:
        """The next page's address and parameters, None after the last."""
        if self._spec.page:
            return (url, params) if rows else None
        following = _at(answer, self._spec.next) if self._spec.next else got.next
        if not following:
            return None
        if self._spec.cursor:
            return url, {**params, self._spec.cursor: str(following)}
        target = str(httpx.URL(self._address).join(str(following)))
        if _origin(target) != _origin(self._address):  # the headers are for one host alone
            raise InvalidInput(
                f"The next page of {self._shown} is on another server: {masked(target)}.",
                fix="Name that server in the source, if it is right.",
            )
        return target, {}


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = httpx.URL(url)
    return parts.scheme, parts.host, parts.port


def _at(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(since: int | str | date | datetime) -> str:
    return since.isoformat() if isinstance(since, date) else str(since)
