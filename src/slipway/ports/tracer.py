"""Traces of requests for whoever collects them."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

__all__ = ["App", "Tracer"]

Call = TypeVar("Call", bound=Callable[..., Any])
Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Tracer(Protocol):
    """Makes spans of requests and sends them elsewhere, off the requests' path. Safe for threads.

    A receiver that is slow or away costs spans, which are counted, and never a request.
    """

    def around(self, app: App) -> App:
        """An ASGI app whose requests are spans; a trace that the caller began (W3C `traceparent`) goes on in them."""
        ...

    def inside(self, name: str, call: Call, told: Mapping[str, str | int] = {}) -> Call:
        """A function of rows whose calls are spans within the request's; outside of a request it is called as it is.

        Args:
            name: The span's.
            call: Takes rows as its first argument.
            told: What is said of each span.
        """
        ...

    def close(self) -> None:
        """Send what waits, for a moment, and end."""
        ...
