"""One page that is being made: it asks operations, and remembers where the same facts stand as JSON."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from slipway.errors import Denied
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.server import api

__all__ = ["Context", "View"]

Context = dict[str, Any]


@dataclass
class View:
    """One page that is being made: it asks operations and remembers where the same facts stand as JSON.

    Args:
        workspace: The project's.
        path: The parts of the page's address.
        query: Its query.
        address: The page's address, without the query.
        sources: The API's addresses of what was asked.
        form: What a form sent to the page, {} where nobody sent one.
        is_first: Whether the page is to be seen before what is slow is known.
        waits: Whether something was left for later.
    """

    workspace: Workspace
    path: dict[str, str]
    query: QueryParams
    address: str = "/"
    sources: list[str] = field(default_factory=list)
    form: dict[str, str] = field(default_factory=dict)
    is_first: bool = False
    waits: bool = False

    def ask(self, name: str, /, **fields: Any) -> Any:
        """An operation's response."""
        wanted = operation(name)
        self.sources.append(self._source(wanted.path, fields))
        return api.perform(self.workspace, wanted, declare.convert(wanted, fields, texts=True))

    def ask_later(self, name: str, /, **fields: Any) -> Any:
        """The response of an operation that takes long; None as long as the page is to be seen first (`server/live.py`)."""
        if not self.is_first:
            return self.ask(name, **fields)
        self.sources.append(self._source(operation(name).path, fields))
        self.waits = True
        return None

    def ask_if_allowed(self, name: str, /, **fields: Any) -> Any:
        """An operation's response, None where the actor may not ask for it."""
        try:
            return self.ask(name, **fields)
        except Denied:
            self.sources.pop()
            return None

    def _source(self, path: str, fields: dict[str, Any]) -> str:
        address = path.replace("{project}", self.workspace.project)
        return f"{address}?{urlencode(fields)}" if fields else address

    def act(self, name: str, /, **fields: Any) -> Any:
        """The response of an operation that changes something, for a page that shows what came of its form."""
        wanted = operation(name)
        return api.perform(self.workspace, wanted, declare.convert(wanted, fields))
