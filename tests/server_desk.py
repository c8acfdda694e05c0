"""A server's application, asked without a socket."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from slipway.ports.workspace import Workspace
from slipway.server.app import make_app

Ask = Callable[..., httpx.Response]


def asker(workspace: Workspace) -> Ask:
    """A function that sends one request to the application of a workspace's store."""
    app = make_app(replace(workspace, project=""))

    async def once(method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8300") as client:
            return await client.request(method, path, **options)

    return lambda method, path, **options: asyncio.run(once(method, path, **options))
