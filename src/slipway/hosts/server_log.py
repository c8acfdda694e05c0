"""What a server writes about its requests and itself, a line each: as text, or as JSON for what collects logs.

A line names a request by its route as it is declared, never by its path or query: these hold names, and secrets of hooks
and shared links.
"""

import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

__all__ = ["LogForm", "ServerLog"]

LogForm = Literal["", "text", "json"]


class ServerLog:
    """Writes lines.

    Args:
        form: "text" or "json", with a line a request; "" for plain lines about the server only.
        write: Takes a line.
    """

    def __init__(self, form: LogForm, write: Callable[[str], None]) -> None:
        self._form = form
        self._write = write

    def say(self, line: str) -> None:
        """Write what a person should know."""
        self._told("info", line, line)

    def request(self, *, request: str, actor: str, method: str, route: str, status: int, ms: float) -> None:
        """Write that a request ended.

        Args:
            request: Its id.
            actor: Who asked, "" where nobody is known.
            method: The method.
            route: As it is declared.
            status: The answer's, 499 where whoever asked went away before it.
            ms: How long it took.
        """
        if not self._form:
            return
        by = f" by {actor}" if actor else ""
        fields = {"request": request, "actor": actor, "method": method, "route": route, "status": status, "ms": ms}
        level = "error" if status >= 500 else "info"
        self._told(level, f"{method} {route} {status} {ms} ms{by} request {request}", "", **fields)

    def handler(self) -> logging.Handler:
        """What writes the lines of Python's loggers, tracebacks of failures among them."""
        return _Handler(self)

    def record(self, record: logging.LogRecord) -> None:
        """Write a logger's line."""
        text = record.getMessage()
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        more = {"request": found} if (found := getattr(record, "request", "")) else {}
        if trace:
            more["trace"] = trace
        self._told(record.levelname.lower(), f"{text}\n{trace}".rstrip(), text, **more)

    def _told(self, level: str, text: str, message: str, **fields: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._form == "json":
            told = {"at": at, "level": level, **({"message": message} if message else {}), **fields}
            self._write(msgspec.json.encode(told).decode())
        else:
            self._write(f"{at} {text}" if self._form else text)


class _Handler(logging.Handler):
    def __init__(self, log: ServerLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.record(record)
        except Exception:  # as logging itself: a line that cannot be written ends no request
            self.handleError(record)
