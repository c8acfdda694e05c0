"""Erasures: requests of persons that their rows be removed, and what was done."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["Erasure", "Place"]


class Place(Struct, frozen=True, kw_only=True):
    """Where rows of a person were found.

    Args:
        place: In words: "table customers", "prediction log of flight-delays".
        rows: How many.
        files: In how many files or records.
        note: What is to be known of it, "" for nothing.
    """

    place: str
    rows: int
    files: int = 0
    note: str = ""


class Erasure(Record, frozen=True, kw_only=True, tag="erasure"):
    """One request, and what was done. It holds no personal data. Id: a new id; name: the subject's keyed hash.

    Args:
        state: "started" until the proof is through.
        columns: By which columns the person was named.
        tables: Which tables were searched.
        reason: Why, in the words of whoever did it.
        actor: Who did it.
        places: Where rows were erased.
        doomed: What is to be removed from the disk: "part:<table>/<digest>", "blob:<digest>"; () when it is done.
        gone: Which parts of tables were removed, "<table>/<digest>": machines that hold copies of them remove these too.
        kept: What could not be erased, in sentences.
        ended_at: When the proof was through.
    """

    state: Literal["started", "finished"] = "started"
    columns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    reason: str = ""
    actor: Actor
    places: tuple[Place, ...] = ()
    doomed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    ended_at: datetime | None = None

    @property
    def rows(self) -> int:
        """Rows of all places."""
        return sum(place.rows for place in self.places)
