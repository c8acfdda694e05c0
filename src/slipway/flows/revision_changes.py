"""What a new revision changes: the traffic, the versions, the configuration. Said of dry runs and of what was done alike."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.records.endpoints import Revision
from slipway.records.rollouts import RevisionChange, Share

__all__ = ["MARKS", "change_of", "traffic"]

MARKS = frozenset({"id", "number", "created_at", "actor", "reason"})
"""The fields in which a revision that goes back differs from the one that it equals."""

_TOLD_BY_TRAFFIC = frozenset({"served", "challenger", "verdict_id"})
_LONGEST = 40


def traffic(revision: Revision | None) -> tuple[Share, ...]:
    """Which version answers which part of the rows by a revision, the one that serves first."""
    if revision is None:
        return ()
    beside = revision.challenger
    if beside is None:
        return (Share(served=revision.served, fraction=1.0),)
    return (
        Share(served=revision.served, fraction=1.0 - beside.fraction),
        Share(served=beside.served, fraction=beside.fraction),
    )


def change_of(
    present: Revision | None, draft: Revision, *, told: Sequence[str] = (), obstacle: str = ""
) -> RevisionChange:
    """What a draft would change, or has changed.

    Args:
        present: The revision that stands, None for none.
        draft: The one that is to follow; its number is not read.
        told: What the change means beyond traffic.
        obstacle: Why it would be refused.
    """
    former = present.number if present is not None else 0
    return RevisionChange(
        endpoint=draft.name,
        former=former,
        number=former + 1,
        before=traffic(present),
        after=traffic(draft),
        other=() if present is None else _other(present, draft),
        told=tuple(told),
        obstacle=obstacle,
    )


def _other(present: Revision, draft: Revision) -> tuple[str, ...]:
    found = []
    for name in Revision.__struct_fields__:
        before, after = getattr(present, name), getattr(draft, name)
        if name in MARKS or name in _TOLD_BY_TRAFFIC or before == after:
            continue
        shown = f"{before}, then {after}"
        found.append(f"{name}: {shown}" if len(shown) <= _LONGEST else name)
    return tuple(found)
