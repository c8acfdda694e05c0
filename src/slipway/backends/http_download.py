"""Files and answers over HTTP, whole or not at all: retried, bounded in time, never half."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from slipway.errors import BackendError, NotFound, SlipwayError, Unavailable
from slipway.ports.source import masked, scrubbed, secrets_of

__all__ = ["Download", "Web"]

_TRIES = 3
_WAIT_S = 0.25
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class _WithoutSecrets(logging.Filter):
    """httpx tells the address of each request at level INFO, with whatever it holds."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(masked(str(a)) if isinstance(a, httpx.URL) else a for a in record.args)
        return True


logging.getLogger("httpx").addFilter(_WithoutSecrets())


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What was answered.

    Args:
        etag: The server's name for this state of the content, "" where it gives none.
        next: The URL of the next page that a `Link` header names, "" for none.
    """

    etag: str
    next: str


class Web:
    """Fetches addresses with one set of headers.

    Args:
        headers: Sent with each request; with any, redirections are not followed: they may lead to another host.
        secrets: What no message may show.
    """

    def __init__(self, headers: Mapping[str, str] | None = None, *, secrets: tuple[str, ...] = ()) -> None:
        self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=not headers, headers=dict(headers or {}))
        self._secrets = secrets

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def fetch(
        self, url: str, target: Path, *, params: Mapping[str, str] | None = None, etag: str = ""
    ) -> Download | None:
        """Write what an address answers into a file; three tries where the server is busy or the connection breaks.

        Args:
            url: Where.
            target: The file.
            params: Query parameters that are set in the URL.
            etag: What it was called last time.

        Returns:
            What came, or None when it is still what `etag` names.

        Raises:
            NotFound: There is nothing at the address.
            Unavailable: The server is away, busy, or broke off each time.
            BackendError: It refuses.
        """
        secrets = self._secrets + secrets_of([url], [])
        for attempt in range(1, _TRIES + 1):
            try:
                return self._once(url, target, params, etag)
            except SlipwayError:
                raise
            except (httpx.TransportError, _Busy) as problem:
                told = scrubbed(problem, secrets)
            except httpx.HTTPError as problem:
                raise BackendError(
                    f"{masked(url)} cannot be read: {scrubbed(problem, secrets)}.", fix="Check the address."
                ) from None
            if attempt < _TRIES:
                time.sleep(_WAIT_S * 2**attempt)
        raise Unavailable(
            f"{masked(url)} could not be read in {_TRIES} tries: {told}.",
            why="Nothing of it was kept.",
            fix="Try again when the server answers.",
        )

    def _once(self, url: str, target: Path, params: Mapping[str, str] | None, etag: str) -> Download | None:
        address = httpx.URL(url)
        address = address.copy_merge_params(dict(params)) if params else address
        with self._client.stream("GET", address, headers={"If-None-Match": etag} if etag else {}) as answer:
            if answer.status_code == 304 and etag:
                return None
            _check_status(answer, masked(url))
            with target.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
            promised = answer.headers.get("Content-Length", "")
            if promised.isdigit() and int(promised) != answer.num_bytes_downloaded:
                raise _Busy(f"it broke off after {answer.num_bytes_downloaded:,} of {int(promised):,} bytes")
            following = answer.links.get("next", {}).get("url", "")
            return Download(
                etag=answer.headers.get("ETag", ""),
                next=str(answer.url.join(following)) if following else "",
            )


class _Busy(Exception):
    """The server could not answer whole this time."""


def _check_status(answer: httpx.Response, shown: str) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    if status in _BUSY:
        raise _Busy(f"the server answered {status}")
    if status in (404, 410):
        raise NotFound(f"There is nothing at {shown}: the server answered {status}.", fix="Check the address.")
    if status in (401, 403):
        raise BackendError(
            f"{shown} refuses to be read: the server answered {status}.",
            fix="Check the token or key in the environment variable that the source names.",
        )
    if answer.is_redirect:
        raise BackendError(
            f"{shown} redirects to {masked(answer.headers.get('Location', ''))}.",
            why="Headers are not sent to an address that the source does not name.",
            fix="Name that address in the source.",
        )
    raise BackendError(
        f"{shown} cannot be read: the server answered {status}.", fix="Check the address and parameters."
    )
