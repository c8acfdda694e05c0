"""What a project may use, what it uses, and the refusal where that is as much as it may."""

from __future__ import annotations

from datetime import timedelta

from slipway.errors import OverQuota
from slipway.ledger import declared
from slipway.ledger.facets import milliseconds
from slipway.ledger.run_tags import FOUND, RESUMES
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.limits import KeptLimits, Quota
from slipway.records.search import And, Compare, Condition, Field, IsNull

__all__ = ["check_pipeline", "check_room", "kept_limits", "room", "used"]

_WORDS = {
    "runs_a_day": ("runs within 24 hours", "Begin it tomorrow"),
    "pipelines": ("pipelines at once", "Wait until one has ended"),
    "endpoints": ("endpoints", "Stop one and free its name"),
}
_STATE = Field("attribute", "state")
_MOST = 1_000_000
_IS_NEW = tuple(IsNull(Field("tag", tag)) for tag in (RESUMES, FOUND))


def kept_limits(tx: ReadTransaction, workspace: Workspace) -> KeptLimits | None:
    """The limits that were declared last, None where nobody did."""
    return declared.last(tx, workspace, KeptLimits)


def used(tx: ReadTransaction, workspace: Workspace, name: str, limit: int = _MOST) -> int:
    """How much of a quota is used now, counted no further than a limit.

    A run that goes on with another one is no new one, nor is a trial of a search that was only found stored.

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
        where = And((Compare(Field("attribute", "created"), ">", milliseconds(since)), *_IS_NEW))
    return len(tx.values("run", project=workspace.project, where=where, fields=[_STATE], limit=limit))


def room(tx: ReadTransaction, workspace: Workspace, name: str) -> int:
    """How much more the project may use of a quota; a large number where there is no limit."""
    most = _most(tx, workspace, name)
    return max(0, most - used(tx, workspace, name, most)) if most else _MOST


def check_pipeline(workspace: Workspace, *, goes_on: bool = False) -> None:
    """Refuse a pipeline's run that would be more than the project may begin, or have under way.

    Args:
        workspace: The project.
        goes_on: Whether it goes on with an earlier run, which began already.

    Raises:
        OverQuota: It uses as much as it may.
    """
    with workspace.ledger.read() as tx:
        if not goes_on:
            check_room(tx, workspace, "runs_a_day")
        check_room(tx, workspace, "pipelines")


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
    most = _most(tx, workspace, name)
    if most and used(tx, workspace, name, most) >= most:
        words, advice = _WORDS[name]
        raise OverQuota(
            f"The project {workspace.project!r} has {most:,} {words} in {workspace.environment!r}, as many as it may.",
            why=f"slipway.toml says so: [quota] {name} = {most}.",
            fix=f"{advice}, or let a platform engineer raise it there and run or deploy the project once.",
        )


def _most(tx: ReadTransaction, workspace: Workspace, name: str) -> int:
    kept = kept_limits(tx, workspace)
    most: int = getattr(kept.quota if kept else Quota(), name)
    return most
