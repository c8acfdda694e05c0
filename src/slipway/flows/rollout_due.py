"""Whether a version has to be rolled out where it would serve, and whether it can be."""

from __future__ import annotations

from slipway.errors import Conflict, NotFound
from slipway.flows.endpoints import revision_of
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision

__all__ = ["is_due", "refuse_unlike"]


def is_due(workspace: Workspace, declared: DeclaredEndpoint, draft: Revision) -> bool:
    """Whether a version has to be rolled out: a plan is declared, and another bundle of the same contract serves."""
    present = _champion_of(workspace, declared, draft)
    return present is not None and present.contract == draft.contract


def refuse_unlike(workspace: Workspace, declared: DeclaredEndpoint, draft: Revision) -> None:
    """Refuse to roll out what takes other requests than what serves: it would serve everybody at once, unseen.

    Raises:
        Conflict: A roll-out is declared, and the contracts differ.
    """
    present = _champion_of(workspace, declared, draft)
    if present is None or present.contract == draft.contract:
        return
    served, name = draft.served, f"{draft.served.model} {draft.served.number}"
    raise Conflict(
        f"{name} cannot be rolled out at {declared.name!r}: its requests are others than those of what serves, "
        f"{present.served.model} {present.served.number}.",
        why="The two cannot answer the same rows, so nothing could be compared before it served everybody.",
        fix=f"See what changes: slipway deploy {served.model} --version {served.number} --endpoint {declared.name} --dry-run; "
        "let it serve everybody without a roll-out by --at-once; or give it an endpoint of its own.",
    )


def _champion_of(workspace: Workspace, declared: DeclaredEndpoint, draft: Revision) -> Revision | None:
    """What serves and would be a roll-out's champion, None where there is none or no plan is declared."""
    plan = declared.rollout
    if plan is None or (plan.shadow is None and plan.canary is None):
        return None
    try:
        present = revision_of(workspace, declared.name)
    except NotFound:
        return None
    if present.served.bundle == draft.served.bundle:
        return None
    if present.environment != draft.environment:
        workspace.say(f"What serves was let through for {present.environment}, so it is no champion: no roll-out.")
        return None
    return present
