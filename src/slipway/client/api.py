"""A server's operations, called over HTTP as if they were here."""

from typing import Any
from urllib.parse import quote

import msgspec

from slipway.client.http import Connection
from slipway.operations import declare, wire
from slipway.operations.declare import Operation
from slipway.operations.table import operation

__all__ = ["Client"]


class Client(Connection):
    """Calls the operations of one project on a server. Safe for threads; use it in a `with` block or close it.

    Args:
        url: Where `slipway up` answers: "http://127.0.0.1:8300".
        project: The project.
        token: Who asks; None while servers know no tokens.
        timeout_s: Seconds to wait for an answer.

    Attributes:
        simulated: The project's simulated tables, as the newest response to a question names them.

    Example:
        `Client("http://127.0.0.1:8300", "flights").call("runs.search", limit=5).runs`
    """

    def __init__(self, url: str, project: str, token: str | None = None, *, timeout_s: float = 600.0) -> None:
        super().__init__(url, token=token, timeout_s=timeout_s, remedy="Start the server: slipway up --root DIR")
        self.project = project
        self.simulated: tuple[str, ...] = ()

    def call(self, name: str, /, **fields: Any) -> Any:
        """Call an operation by name.

        Args:
            name: "runs.search".
            **fields: The request's fields.

        Returns:
            The operation's response struct.

        Raises:
            SlipwayError: What the operation raised on the server, in its own class.
            Unavailable: Nobody answers.
        """
        wanted = operation(name)
        return self.perform(wanted, declare.convert(wanted, fields))

    def perform(self, wanted: Operation, request: Any) -> Any:
        """Call an operation with its request struct; see `call`."""
        path = wanted.path.replace("{project}", quote(self.project, safe=""))
        values = msgspec.to_builtins(request)
        if wanted.changes:
            return wire.decode(wanted, self.send(wanted.method, path, body=wire.encode(request)))
        query = {name: _text(value) for name, value in values.items() if value is not None}
        body = self.send(wanted.method, path, query=query)
        self.simulated = wire.simulated_in(body)
        return wire.decode(wanted, body)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
