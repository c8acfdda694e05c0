"""What a project may use, what it uses, and the refusal where that is as much as it may."""

from __future__ import annotations

from datetime import timedelta

from slipway.errors import OverQuota
from slipway.ledger import declared
from slipway.ledger.facets import milliseconds
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.limits import KeptLimits, Quota
from slipway.records.search import And, Compare, Condition, Field

__all__ = ["check_room", "kept_limits", "used"]

_WORDS = {
    "runs_a_day": ("runs within 24 hours", "Log them tomorrow"),
    "pipelines": ("pipelines at once", "Wait until one has ended"),
    "endpoints": ("endpoints", "Stop one and free its name"),
}
_STATE = Field("attribute", "state")
_MOST = 1_000_000


def kept_limits(tx: ReadTransaction, workspace: Workspace) -> KeptLimits | None:
    """The limits that were declared last, None where nobody did."""
    return declared.last(tx, workspace, KeptLimits)


def used(tx: ReadTransaction, workspace: Workspace, name: str, limit: int = _MOST) -> int:
    """How much of a quota is used now, counted no further than a limit.

    Args:
        tx: Of the ledger.
        workspace: The project.
        name: A field of `Quota`.
        limit: Where counting ends.
    """
    if name == "endpoints":
        return len(tx.refs(workspace.project, "endpoint"))
    if name == "pipelines":
        where: Condition = And((Compare(_STATE, "=", "running"), Compare(Field("attribute", "pipeline"), "LIKE", "_%")))
    else:
        since = workspace.clock.now() - timedelta(days=1)
        where = Compare(Field("attribute", "created"), ">", milliseconds(since))
    return len(tx.values("run", project=workspace.project, where=where, fields=[_STATE], limit=limit))


def check_room(tx: ReadTransaction, workspace: Workspace, name: str) -> None:
    """Refuse what would be more than the project may use.

    Several that ask at the same moment may each find the last place: it is a limit on use, not a lock.

    Args:
        tx: Of the ledger.
        workspace: The project.
        name: A field of `Quota`.

    Raises:
        OverQuota: It uses as much as it may.
    """
    kept = kept_limits(tx, workspace)
    most = getattr(kept.quota if kept else Quota(), name)
    if most and used(tx, workspace, name, most) >= most:
        words, advice = _WORDS[name]
        raise OverQuota(
            f"The project {workspace.project!r} has {most:,} {words} in {workspace.environment!r}, as many as it may.",
            why=f"slipway.toml says so: [quota] {name} = {most}.",
            fix=f"{advice}, or let a platform engineer raise it there and run or deploy the project once.",
        )
