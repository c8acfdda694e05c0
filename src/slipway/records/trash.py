"""The trash: how long things stay in it, and purges under way."""

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["KEEP_DAYS", "Purge", "TrashRule"]

KEEP_DAYS = 30
"""How many days things stay in the trash where nobody said otherwise."""


class TrashRule(Record, frozen=True, kw_only=True, tag="trash_rule"):
    """How long a project's things stay in the trash. Id and name are the project's name.

    Args:
        keep_days: After how many days they are purged, None for never.
    """

    keep_days: int | None


class Purge(Record, frozen=True, kw_only=True, tag="purge"):
    """Records that are gone, and the bytes that may go now. It is removed when these are seen to.

    Args:
        runs: The runs among the records: what they left in files beside the ledger goes too.
        digests: Blobs that the records named.
        actor: Who purged.
    """

    runs: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    actor: Actor
