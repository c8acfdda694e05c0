"""A server's operations on runs over HTTP, for processes that log to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from slipway import errors
from slipway.errors import BackendError, InvalidSetting, SlipwayError, Unavailable
from slipway.ports.trust import trusted, untrusted

__all__ = ["HttpRuns"]

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_READS = frozenset({"projects.list", "runs.get", "runs.search"})
_ROUTES = {"projects.add": "/api/v1/projects/add", "projects.list": "/api/v1/projects"}
_AWAY = (408, 425, 429, 500, 502, 503, 504)


class HttpRuns:
    """See `RunServer`. Keeps its connections open.

    Args:
        url: Where `slipway up` answers.
        project: The project.
        token: By which the server knows who sends, None for none.
    """

    def __init__(self, url: str, project: str, token: str | None = None) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidSetting(
                f"The setting server is {url!r}, which is not the address of a server.",
                fix='For example server = "http://127.0.0.1:8300".',
            )
        self._url = url.rstrip("/")
        self._home = f"/api/v1/projects/{quote(project, safe='')}"
        # Proxies of the environment are for the world outside, not for one's own servers.
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=self._url, headers=headers, timeout=_TIMEOUT, trust_env=False, verify=trusted(self._url)
        )

    @property
    def url(self) -> str:
        """See `RunServer.url`."""
        return self._url

    def perform(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """See `RunServer.perform`."""
        path = _ROUTES.get(name, f"{self._home}/{name.replace('.', '/')}")
        try:
            if name in _READS:
                answer = self._http.get(path, params={key: str(value) for key, value in fields.items()})
            else:
                body = msgspec.json.encode(fields)
                answer = self._http.post(path, content=body, headers={"content-type": "application/json"})
        except (httpx.TransportError, RuntimeError) as problem:  # httpx says so of a client that was closed meanwhile
            nobody = Unavailable(
                f"Nobody answers at {self._url}: {problem or type(problem).__name__}.",
                fix="Start the server: slipway up; what is logged is kept until then.",
            )
            raise untrusted(self._url, problem) or nobody from problem
        try:
            said = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise Unavailable(
                f"{self._url} answered {answer.status_code}, and not in Slipway's words.",
                why="Something else than a Slipway server may answer there.",
                fix="Check the address.",
            ) from problem
        if answer.is_success:
            return said
        raise _error(answer.status_code, said.get("error"))

    def close(self) -> None:
        """See `RunServer.close`."""
        self._http.close()


def _error(status: int, said: Any) -> SlipwayError:
    told = said if isinstance(said, dict) else {"what": f"The server answered {status}."}
    code = str(told.get("code", ""))
    known = getattr(errors, code, None) if code in errors.__all__ and code[:1].isupper() else None
    kind: Any = Unavailable if status in _AWAY else known or BackendError
    if issubclass(kind, errors.StepFailed | errors.GateRefused):
        kind = BackendError
    found: SlipwayError = kind(
        str(told.get("what", "")), why=str(told.get("why", "")), fix=str(told.get("fix", "")) or "See the server's log."
    )
    return found
