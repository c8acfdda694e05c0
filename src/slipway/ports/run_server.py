"""The server that keeps the runs of an environment, as a process that logs to it sees it."""

from typing import Any, Protocol

__all__ = ["RunServer"]


class RunServer(Protocol):
    """Performs operations on runs over a wire that may be down. Safe for threads."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    def perform(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Call an operation by name with plain fields; returns its response as plain values.

        Raises:
            Unavailable: Nobody answers, or the server cannot at the moment.
            SlipwayError: The server refuses; in its words.
        """
        ...

    def close(self) -> None:
        """Close the connections; calling it twice is fine."""
        ...
