"""Promotions as records: kept in the ledgers of all environments that have to do with one, told in their audit logs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slipway.errors import InvalidInput
from slipway.ledger import entries, events, lineage
from slipway.operations.promotions import ListPromotions, Promotions
from slipway.ports.workspace import Workspace
from slipway.records.promotions import Promotion, PromotionStage

__all__ = ["bring_along", "keep", "list_promotions", "moved", "newest_of", "reason_of"]

_MOST = 10_000
_LONGEST_REASON = 1000


def list_promotions(workspace: Workspace, request: ListPromotions) -> Promotions:
    """Promotions of the project, newest first.

    Raises:
        InvalidInput: The limit is none.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    with workspace.ledger.read() as tx:
        found = list(entries.every(tx, Promotion, project=workspace.project, name=request.model or None))
    wanted = [one for one in found if request.bundle in ("", one.bundle)]
    return Promotions(promotions=tuple(wanted[: request.limit]))


def newest_of(workspace: Workspace, model: str, environment: str, *, bundle: str = "") -> Promotion | None:
    """A model's last promotion into an environment, of a bundle or of any; None where there was none."""
    with workspace.ledger.read() as tx:
        found = [
            one
            for one in entries.every(tx, Promotion, project=workspace.project, name=model)
            if one.target == environment and bundle in ("", one.bundle)
        ]
    return max(found, key=lambda one: one.number, default=None)


def reason_of(text: str) -> str:
    """A reason as it is kept: in one line.

    Raises:
        InvalidInput: It is too long.
    """
    plain = " ".join(text.split())
    if len(plain) > _LONGEST_REASON:
        raise InvalidInput(
            f"The reason has {len(plain):,} characters.",
            fix=f"Give at most {_LONGEST_REASON:,}; what is longer is a comment on the version: slipway comment",
            field="reason",
        )
    return plain


def moved(promotion: Promotion, stage: PromotionStage) -> Promotion:
    """A promotion with one of its stages as it stands now."""
    stages = tuple(stage if one.name == stage.name else one for one in promotion.stages)
    state = "done" if all(one.state == "done" for one in stages) else "under way"
    if stage.state in ("waiting", "failed"):
        state = stage.state
    return msgspec.structs.replace(promotion, stages=stages, state=state, updated_at=stage.at or promotion.updated_at)


def keep(workspaces: Sequence[Workspace], promotion: Promotion, *, verb: str) -> Promotion:
    """Write a promotion as it stands into every ledger that has to do with it, the one that decides first.

    Args:
        workspaces: That of the environment it goes into, then the others.
        promotion: As it stands.
        verb: The event's verb.
    """
    stage = next((one for one in promotion.stages if one.state not in ("done", "to do")), promotion.stages[-1])
    for workspace in workspaces:
        with workspace.ledger.write() as tx:
            entries.put(tx, promotion)
            lineage.link(tx, f"bundle:{promotion.bundle}", f"promotion:{promotion.id}", promotion.target)
            events.record(
                tx,
                workspace,
                verb,
                f"promotion:{promotion.id}",
                bundle=promotion.bundle,
                state=promotion.state,
                stage=stage.name,
                stage_state=stage.state,
                name=promotion.name,
                version=promotion.version,
                target=promotion.target,
                **({"reason": promotion.reason} if promotion.reason else {}),
            )
    return promotion


def bring_along(workspaces: Sequence[Workspace], promotion: Promotion) -> None:
    """Let the other ledgers say what the deciding one says, where a kill came between them."""
    for workspace in workspaces[1:]:
        with workspace.ledger.read() as tx:
            is_there = entries.etag(tx, Promotion, promotion.id)
            is_same = is_there and entries.get(tx, Promotion, promotion.id) == promotion
        if not is_same:
            keep([workspace], promotion, verb="promotions.stage")
