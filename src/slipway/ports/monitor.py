"""What a custom monitor must be: a function of answered rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Judged", "Monitor"]


class Judged(NamedTuple):
    """What a monitor says.

    Args:
        state: "alert" opens an incident, or keeps it open; "ok" and "note" close it; "cannot tell" leaves it as it is.
        sentence: What was found, in words.
        value: The figure that it goes by, None for none.
        values: Other figures, as JSON carries them.
    """

    state: Literal["ok", "note", "alert", "cannot tell"]
    sentence: str
    value: float | None = None
    values: Mapping[str, Any] = MappingProxyType({})


class Monitor(Protocol):
    """Asked in the server at each look, once a day at least, for as long as an endpoint declares it.

    Guarantees: it depends on nothing but rows and options, not on the order of the rows; it is quick, for other monitors
    wait; rows that are too few, or without labels, are no error.
    """

    def __call__(self, rows: pl.DataFrame, **options: Any) -> Judged:
        """Judge.

        Args:
            rows: What the present model answered within the monitor's window: its inputs by name, `score`, `label` (null
                where none has come), `at` (when it was decided) and other columns of the prediction log.
            **options: What `sw.custom_monitor` was given: text, numbers, true or false.
        """
        ...
