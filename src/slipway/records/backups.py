"""What a backup of a store says of itself: every file with the digest of its content, in a manifest that is signed."""

from datetime import datetime

from msgspec import Struct

__all__ = ["MANIFEST_TYPE", "BackedUpFile", "Backup"]

MANIFEST_TYPE = "application/vnd.slipway.backup+json"


class BackedUpFile(Struct, frozen=True):
    """A file of a store's folder as it was copied.

    Args:
        path: Where it lies in the folder, relative, with "/".
        digest: Of its content: by this it is found among the backup's objects.
        size_bytes: How long it is.
        changed_ns: When it was changed last, nanoseconds since the epoch: with its size it tells the next backup that it
            is the same.
        is_closed: Whether nobody but its owner could read it.
    """

    path: str
    digest: str
    size_bytes: int
    changed_ns: int = 0
    is_closed: bool = False


class Backup(Struct, frozen=True):
    """A whole backup.

    Args:
        id: Its name: the moment, sortable.
        made_at: When it was begun, by the machine's clock.
        store: Which store's folder, by its name: see `slipway.ledger.store_folder`.
        slipway: The version of Slipway that made it.
        environment: Whose store.
        database: "sqlite" or "postgres": whose the ledger's copy is.
        ledger: The ledger's copy; its path is "".
        ledger_url: The database as settings name it, without a password; "" for a file.
        events: The number of the event that tells of this backup: all up to it are in the copy of the ledger.
        blobs_url: The object store that keeps blobs and parts of tables, of which nothing was copied; "" for the folder.
        has_keys: Whether the private keys are in it.
        files: All else.
        left_out: What of the folder was left out, by its first name.
    """

    id: str
    made_at: datetime
    store: str
    slipway: str
    environment: str
    database: str
    ledger: BackedUpFile
    ledger_url: str
    events: int
    blobs_url: str
    has_keys: bool
    files: tuple[BackedUpFile, ...]
    left_out: tuple[str, ...] = ()
    edition: int = 1

    @property
    def size_bytes(self) -> int:
        """All of it, as it is restored."""
        return self.ledger.size_bytes + sum(one.size_bytes for one in self.files)
