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
    """

    workspace: Workspace
    path: dict[str, str]
    query: QueryParams
    address: str = "/"
    sources: list[str] = field(default_factory=list)

    def ask(self, name: str, /, **fields: Any) -> Any:
        """An operation's response."""
        wanted = operation(name)
        address = wanted.path.replace("{project}", self.workspace.project)
        self.sources.append(f"{address}?{urlencode(fields)}" if fields else address)
        return api.perform(self.workspace, wanted, declare.convert(wanted, fields, texts=True))

    def ask_if_allowed(self, name: str, /, **fields: Any) -> Any:
        """An operation's response, None where the actor may not ask for it."""
        try:
            return self.ask(name, **fields)
        except Denied:
            self.sources.pop()
            return None
