"""Erasures: requests of persons that their rows be removed."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.erasures import Erasure, Place

__all__ = ["Erase", "ErasureReport", "Erasures", "operations"]


class Erase(Struct, frozen=True, kw_only=True):
    """Whose rows, and why: a table and a key, a column and a value, or a file set and paths.

    Args:
        table: The table, with `key`.
        key: The values of its key's columns, in their order, as text.
        where: Columns and their values as text: in every table where they are personal, or its key.
        files: A file set, with `paths`.
        paths: Paths of its files, or of folders in it.
        reason: Why; not needed for a dry run. No personal data: it is kept.
        dry_run: Whether rows are counted only.
    """

    table: str = ""
    key: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    files: str = ""
    paths: tuple[str, ...] = ()
    reason: str = ""
    dry_run: bool = False


class ErasureReport(Struct, frozen=True, kw_only=True):
    """What was erased, or would be.

    Args:
        erasure: The id of the record, "" for a dry run.
        dry_run: Whether rows were counted only.
        places: Where rows were.
        kept: What was not erased or not looked into, in sentences.
        left: How many rows were still found in the end, by looking everywhere again; 0 is the proof.
    """

    erasure: str = ""
    dry_run: bool = False
    places: tuple[Place, ...] = ()
    kept: tuple[str, ...] = ()
    left: int = 0


class Erasures(Struct, frozen=True, kw_only=True):
    """All erasures, newest first."""

    erasures: tuple[Erasure, ...]


operations = (
    Operation(
        name="erasures.list",
        summary="List the erasures: what was erased, when, by whom and why.",
        permission="tables.read",
        request=Empty,
        response=Erasures,
        body="slipway.flows.erase:list_erasures",
    ),
    Operation(
        name="erasures.start",
        summary="Erase a person's rows everywhere, or count them.",
        permission="tables.erase",
        request=Erase,
        response=ErasureReport,
        body="slipway.flows.erase:erase",
        changes=True,
    ),
)
