"""The base of what the ledger stores, and the form in which stores keep it."""

from datetime import datetime

from msgspec import Struct

from slipway.records.search import Facet

__all__ = ["Entry", "Link", "Record"]


class Record(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Something the ledger keeps under its kind and id.

    Subclasses set `tag` to their kind and may add `number` (counting within a name), `state` and `parent_id`; the
    ledger indexes these.

    Args:
        id: Unique within the kind.
        project: The project it belongs to.
        name: What people call it, "" where it has no name.
        created_at: Business time, aware UTC.
    """

    id: str
    project: str
    name: str = ""
    created_at: datetime


class Entry(Struct, frozen=True, kw_only=True):
    """A record as a ledger store keeps it: indexed columns beside an encoded body.

    Args:
        kind: The record's tag.
        id: Unique within the kind.
        project: The project.
        name: The record's name or "".
        number: The record's number within its name, or 0.
        state: The record's state or "".
        parent: The id of the record it belongs to, or "".
        created_us: Microseconds since the epoch.
        etag: Counts the writes of this record, from 1; 0 before the first.
        body: The record as JSON.
        facets: What it is found by; (), which is not searched, in every entry that is read.
    """

    kind: str
    id: str
    project: str
    name: str
    number: int
    state: str
    parent: str
    created_us: int
    etag: int
    body: bytes
    facets: tuple[Facet, ...] = ()


class Link(Struct, frozen=True):
    """One arrow of the lineage: `source` went into `target`, in a role.

    Nodes are written `kind:id`: `table:flights@<version>`, `run:<id>`, `model:<id>`, `bundle:<digest>`,
    `artifact:<digest>`, `revision:<endpoint>/<number>`.
    """

    source: str
    target: str
    role: str
