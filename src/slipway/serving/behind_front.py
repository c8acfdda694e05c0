"""A worker behind a front: what the front says of a connection counts as if it were the worker's own."""

from functools import lru_cache
from typing import Any

from slipway.serving.front_requests import FROM, NAMED
from slipway.serving.http import ROWS_NAMED, App, Receive, Scope, Send

__all__ = ["behind_front"]


def behind_front(app: App) -> App:
    """An app whose requests come from a front by a socket that nobody else may open.

    Args:
        app: Judges scheme, client and address as if they were the connection's.
    """

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if headers and headers[0][0] == FROM:
            scope["scheme"], scope["client"], scope["server"] = _origin(headers[0][1])
            scope["headers"] = headers[1:]
            if len(headers) > 1 and headers[1][0] == NAMED:
                time, _, first = headers[1][1].decode("latin-1").partition(" ")
                scope["headers"] = headers[2:]
                scope[ROWS_NAMED] = (first, time != "1")
        await app(scope, receive, send)

    return asked


@lru_cache(maxsize=1024)
def _origin(said: bytes) -> tuple[str, Any, Any]:
    scheme, client, client_port, server, server_port = said.decode("latin-1").split(" ")
    return scheme, (client, int(client_port)), (server, int(server_port))
