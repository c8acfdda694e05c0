"""Pages that stay true while they are looked at: server-sent events that bring the parts that changed.

A page is live by what it holds: parts in `{% call live("name") %}`, and "live" in its context as long as these may change.
Its address, asked for as an event stream, renders it again and again and sends the parts that differ; a page that does not
ask knows nothing of it. Source of the protocol: WHATWG HTML, section 9.2 (server-sent events).

What takes long to find out comes by the same way. A browser that opens a page gets it at once, with a sentence where slow
facts will stand (`View.ask_later`, `later` in templates/parts.html), and such a page is live until its stream brought
them. Who does not run scripts is led on to the whole page, and who is no browser gets nothing else.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slipway.errors import SlipwayError
from slipway.hashing import digest
from slipway.records.reach import STOPPING

__all__ = ["WORDS", "digest_of", "is_asked", "is_first", "stream", "whole"]

_SEEN, _WHOLE = "live", "whole"
WORDS = (_SEEN, _WHOLE)
"""Words of the query that are no page's own: what it shows already, and that nothing is to be left for later."""

_PART = re.compile(r"<!--live:([a-z-]+)-->(.*?)<!--/live:\1-->", re.DOTALL)
_EVERY_S = 1.5
_LASTS_S = 120.0  # then the browser asks again, and who asks is looked at again
_RETRY_MS = 1000
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the second is for nginx


def is_asked(request: Request) -> bool:
    """Whether a page is asked for as a stream of its changes."""
    return "text/event-stream" in request.headers.get("accept", "")


def is_first(request: Request) -> bool:
    """Whether a page is to be seen before what is slow is known: a browser opens it, and does not ask for all of it."""
    is_opened = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return is_opened and _WHOLE not in request.query_params


def whole(request: Request) -> str:
    """The address of the whole page, from the page itself."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in WORDS]
    return f"?{urlencode([*kept, (_WHOLE, '1')])}"


def digest_of(page: str) -> str:
    """What a page's live parts hold, in short."""
    return digest("".join(text for _, text in _PART.findall(page)).encode())[:16]


def stream(request: Request, render: Callable[[], Awaitable[tuple[str, bool]]]) -> Response:
    """The changes of a page's live parts, until nothing changes any more, for two minutes at most.

    Args:
        request: Whose; its query says what the browser shows already.
        render: Makes the page as it is now, and says whether it may still change.
    """
    stopping = request.scope.get("state", {}).get(STOPPING)

    async def events() -> AsyncIterator[str]:
        try:
            async for event in changes():
                yield event
        except SlipwayError:  # what it is about was taken away: the browser asks for the page, which says so in words
            yield "event: gone\ndata: {}\n\n"

    async def changes() -> AsyncIterator[str]:
        until = monotonic() + _LASTS_S
        known: dict[str, str] = {}
        page, is_live = await render()
        if digest_of(page) == request.query_params.get(_SEEN):
            known = dict(_PART.findall(page))
        yield f"retry: {_RETRY_MS}\n\n"
        while True:
            parts = dict(_PART.findall(page))
            for name, text in parts.items():
                if known.get(name) != text:
                    told = msgspec.json.encode({"name": name, "html": text}).decode()
                    yield f"event: part\nid: {digest_of(page)}\ndata: {told}\n\n"
            known = parts
            if not is_live:
                yield "event: still\ndata: {}\n\n"
                return
            if monotonic() > until or (stopping is not None and stopping.is_set()):
                return
            await asyncio.sleep(_EVERY_S)
            page, is_live = await render()

    return StreamingResponse(events(), media_type="text/event-stream", headers=_HEADERS)
