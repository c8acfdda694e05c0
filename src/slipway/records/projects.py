"""Projects that a store holds."""

from slipway.records.record import Record

__all__ = ["Project"]


class Project(Record, frozen=True, kw_only=True, tag="project"):
    """A project that was opened in this store. Id and name are the project's name.

    Args:
        template: The template that it was made from, "" for none.
    """

    template: str = ""
