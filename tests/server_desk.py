"""A server's application, asked without a socket."""

import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import httpx
import starlette.routing

from slipway.hosts.figures import Figures
from slipway.ports.workspace import Workspace
from slipway.records.reach import Reach
from slipway.server.app import LOCAL, make_app

Ask = Callable[..., httpx.Response]

if find_spec("sniffio") is None:  # httpx looks for it at each request, on the whole path
    sys.modules["sniffio"] = None  # type: ignore[assignment]

# A server compiles its three hundred paths once; here an application is made for each test, and for each role that asks.
starlette.routing.compile_path = cache(starlette.routing.compile_path)


def asker(workspace: Workspace, reach: Reach = LOCAL, figures: Figures | None = None) -> Ask:
    """A function that sends one request to the application of a workspace's store."""
    app = make_app(replace(workspace, project=""), reach, figures)

    async def once(method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8300") as client:
            return await client.request(method, path, **options)

    return lambda method, path, **options: asyncio.run_coroutine_threadsafe(
        once(method, path, **options), _loop()
    ).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all requests, as a server has: with one for each, each would start threads and open the ledger anew."""
    loop, up = asyncio.new_event_loop(), threading.Event()

    async def for_ever() -> None:
        up.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: loop.run_until_complete(for_ever()), name="server", daemon=True).start()
    up.wait()
    return loop
