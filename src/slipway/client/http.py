"""One HTTP connection that is kept open, and its failures as sentences."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from slipway.errors import (
    BackendError,
    Conflict,
    Denied,
    InvalidInput,
    NotFound,
    SlipwayError,
    Unauthenticated,
    Unavailable,
    UserError,
)
from slipway.operations.wire import error_from
from slipway.ports.trust import trusted, untrusted

__all__ = ["Connection"]

_CLASS_OF_STATUS: dict[int, type[SlipwayError]] = {
    400: UserError,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    405: UserError,
    409: Conflict,
    413: InvalidInput,
    422: InvalidInput,
    429: Unavailable,
    503: Unavailable,
}
_WANTS_CREDENTIALS = frozenset({401, 403, 407})


class Connection:
    """A server's address and the connections to it, which stay open between requests. Safe for threads.

    Args:
        url: Where the server answers: "http://127.0.0.1:8300".
        token: Sent as a bearer token, None for none.
        timeout_s: Seconds to wait for an answer.
        remedy: What to do when nobody answers.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 60.0, remedy: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidInput(
                f"{url!r} is not the address of a server.",
                why="It begins with http:// or https:// and names a host.",
                fix="For example http://127.0.0.1:8300",
                field="url",
            )
        self.url = url.rstrip("/")
        self._remedy = remedy
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        # Proxies of the environment are for the world outside, not for one's own servers.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False, verify=trusted(self.url)
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Send a request; returns the answer's body.

        Raises:
            Unavailable: Nobody answers there, or not in time.
            BackendError: The answer is not one of Slipway's.
            SlipwayError: The error that the server said, in its own class.
        """
        headers = None if body is None else {"content-type": content_type}
        try:
            answer = self._http.request(method, path, params=query, content=body, headers=headers)
        except httpx.TimeoutException as problem:
            raise Unavailable(f"{self.url} did not answer in time.", fix=self._remedy) from problem
        except httpx.TransportError as problem:
            nobody = Unavailable(f"Nobody answers at {self.url}: {problem}.", fix=self._remedy)
            raise untrusted(self.url, problem) or nobody from problem
        if answer.is_success:
            return answer.content
        raise self._error(answer)

    def close(self) -> None:
        """Close the connections; calling it twice is fine."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use it in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _error(self, answer: httpx.Response) -> SlipwayError:
        try:
            said: Any = msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            said = None
        if not isinstance(said, dict) or not isinstance(said.get("error"), dict):
            if answer.status_code in _WANTS_CREDENTIALS:
                return Denied(
                    f"{self.url} answered {answer.status_code}: it wants to know who asks.",
                    why="That is not said in Slipway's words: something that stands before the server wants credentials of its own.",
                    fix="Reach the server itself, for example through an SSH tunnel, and name that address.",
                )
            return BackendError(
                f"{answer.request.url} answered {answer.status_code}, and not in Slipway's words.",
                why="Something else than a Slipway server may answer there.",
                fix="Check the address.",
            )
        return error_from(said["error"], otherwise=_CLASS_OF_STATUS.get(answer.status_code, BackendError))
