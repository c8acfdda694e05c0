"""The trash: what is put aside, taken back, and purged for good."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.limits import Retention
from slipway.records.trash import TrashRule

__all__ = [
    "Kept",
    "Expire",
    "Expired",
    "KeepTrash",
    "ListTrash",
    "PurgeTrash",
    "Purged",
    "PutInTrash",
    "RestoreFromTrash",
    "SweepBlobs",
    "Swept",
    "Trash",
    "TrashItem",
    "TrashMoved",
    "operations",
]


class TrashItem(Struct, frozen=True, kw_only=True):
    """Something in the trash.

    Args:
        item: How it is named: "run:ID", "experiment:NAME", "model:NAME", "model:NAME:NUMBER", "logged:ID".
        name: What people call it.
        deleted_at: When it was put there.
        by: Who put it there.
        reason: Why.
        goes_at: When it is purged, None for never.
    """

    item: str
    name: str
    deleted_at: datetime
    by: str = ""
    reason: str = ""
    goes_at: datetime | None = None


class ListTrash(Struct, frozen=True, kw_only=True):
    """How many of each sort are listed at most."""

    limit: int = 100


class Trash(Struct, frozen=True, kw_only=True):
    """What is in the trash, newest first; what was put there with its experiment or model is not listed by itself.

    Args:
        items: Those that are listed.
        keep_days: After how many days things are purged, None for never.
    """

    items: tuple[TrashItem, ...]
    keep_days: int | None


class PutInTrash(Struct, frozen=True, kw_only=True):
    """What is put into the trash, and why.

    Args:
        items: Each "run:ID", "experiment:NAME", "model:NAME", "model:NAME:NUMBER" or "logged:ID". An experiment goes with
            its runs and logged models, a model with its versions.
        reason: Kept in the audit log.
    """

    items: tuple[str, ...]
    reason: str = ""


class RestoreFromTrash(Struct, frozen=True, kw_only=True):
    """What is taken back, named as for `trash.put`, and why."""

    items: tuple[str, ...]
    reason: str = ""


class TrashMoved(Struct, frozen=True, kw_only=True):
    """What was moved, by its full name."""

    items: tuple[str, ...]


class PurgeTrash(Struct, frozen=True, kw_only=True):
    """What is removed for good.

    Args:
        items: Named as for `trash.put`; they are in the trash. () for all that is there longer than `older_than_days`.
        older_than_days: For no `items`: how long things must be in the trash; None for what the project keeps to.
        grace_days: How long ago bytes must have been stored to be removed: whoever stores them just now may be about to
            name them. 0 where nobody writes.
        dry_run: Whether to say only what would go.
        reason: Kept in the audit log.
    """

    items: tuple[str, ...] = ()
    older_than_days: float | None = None
    grace_days: float = 1.0
    dry_run: bool = False
    reason: str = ""


class Kept(Struct, frozen=True, kw_only=True):
    """Something that was not purged, and what holds it."""

    item: str
    why: str


class Purged(Struct, frozen=True, kw_only=True):
    """What was removed, or would be.

    Args:
        items: What went.
        gone: What was asked for and was purged before.
        kept: What did not go, and why.
        records: How many records went, with their steps.
        blobs: How many blobs went.
        bytes: Their bytes: what the disk has back.
        waiting: How many blobs go with a later purge, because they were stored within the grace.
        dry_run: Whether nothing was removed.
    """

    items: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    records: int = 0
    blobs: int = 0
    bytes: int = 0
    waiting: int = 0
    dry_run: bool = False


class Expire(Struct, frozen=True, kw_only=True):
    """Let go what `[retention]` of slipway.toml says, as the server does once a day; or say what would go."""

    dry_run: bool = False


class Expired(Struct, frozen=True, kw_only=True):
    """What went, or would.

    Args:
        rule: What `[retention]` says, as it was declared last.
        runs: The runs that went into the trash.
        kept: Runs that are as old and stay, and why.
        runs_bytes: For a dry run: what purging these runs would give the disk back.
        tasks: How many folders of ended tasks went.
        tasks_bytes: Their bytes.
        unnamed: How many blobs that nothing names went.
        unnamed_bytes: Their bytes.
        dry_run: Whether nothing was changed.
    """

    rule: Retention
    runs: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    runs_bytes: int = 0
    tasks: int = 0
    tasks_bytes: int = 0
    unnamed: int = 0
    unnamed_bytes: int = 0
    dry_run: bool = False


class KeepTrash(Struct, frozen=True, kw_only=True):
    """After how many days the server purges what is in the trash; None for never."""

    days: int | None


class SweepBlobs(Struct, frozen=True, kw_only=True):
    """How old unnamed bytes must be to be removed, and whether to count only."""

    grace_days: float = 1.0
    dry_run: bool = False


class Swept(Struct, frozen=True, kw_only=True):
    """What a sweep removed, or would.

    Args:
        blobs: How many blobs that nothing names.
        bytes: Their bytes.
        left_bytes: The bytes of what killed writers had left beside them.
        dry_run: Whether nothing was removed.
    """

    blobs: int
    bytes: int
    left_bytes: int
    dry_run: bool = False


operations = (
    Operation(
        name="trash.list",
        summary="List what is in the trash: since when, by whom, why, and when it is purged.",
        permission="trash.read",
        request=ListTrash,
        response=Trash,
        body="slipway.flows.trash:list_trash",
    ),
    Operation(
        name="trash.put",
        summary="Put runs, experiments, models, their versions or logged models into the trash.",
        permission="trash.write",
        request=PutInTrash,
        response=TrashMoved,
        body="slipway.flows.trash:put_in_trash",
        changes=True,
    ),
    Operation(
        name="trash.restore",
        summary="Take something out of the trash again.",
        permission="trash.write",
        request=RestoreFromTrash,
        response=TrashMoved,
        body="slipway.flows.trash:restore",
        changes=True,
    ),
    Operation(
        name="trash.purge",
        summary="Remove what is in the trash for good, with its bytes; or say what would go.",
        permission="trash.purge",
        request=PurgeTrash,
        response=Purged,
        body="slipway.flows.purge:purge",
        changes=True,
    ),
    Operation(
        name="trash.keep",
        summary="Say after how many days what is in the trash is purged.",
        permission="trash.purge",
        request=KeepTrash,
        response=TrashRule,
        body="slipway.flows.trash:keep",
        changes=True,
    ),
    Operation(
        name="trash.expire",
        summary="Let old runs, tasks and bytes go as `[retention]` says; or say what would go.",
        permission="trash.purge",
        request=Expire,
        response=Expired,
        body="slipway.flows.expire:expire",
        changes=True,
    ),
    Operation(
        name="trash.sweep",
        summary="Remove bytes that nothing in the store names any more; or count them.",
        permission="trash.purge",
        request=SweepBlobs,
        response=Swept,
        body="slipway.flows.purge:sweep",
        changes=True,
    ),
)
