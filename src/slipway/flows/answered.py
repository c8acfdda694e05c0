"""What a revision's bundle answered at its endpoint, put together over the contracts that it was asked under."""

from __future__ import annotations

from datetime import datetime

import msgspec
import polars as pl

from slipway.flows.endpoints import folder_of
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.models import Bundle
from slipway.tables import prediction_log

__all__ = ["answered_rows"]


def answered_rows(
    workspace: Workspace, revision: Revision, bundle: Bundle, since: datetime | None = None
) -> pl.DataFrame:
    """What a revision's bundle answered at its endpoint, with the labels that came: see `prediction_log.joined`.

    Earlier revisions may have served the same bundle under another contract; then the columns are those of all. Where
    the contract has a key, a case that was asked again for the same decision time counts once, with its last answer.

    Args:
        workspace: Where the endpoint's folder lies.
        revision: Whose bundle.
        bundle: Its bundle.
        since: Only rows whose decision time is at or after this, None for all: days before it are not read.
    """
    log = folder_of(workspace, revision.name) / "log"
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=100_000)
    by_contract: dict[bytes, list[Revision]] = {}
    for found in known:
        if found.served.bundle == revision.served.bundle:
            by_contract.setdefault(msgspec.json.encode(found.contract), []).append(found)
    frames = [
        prediction_log.predictions(
            log,
            same[0].contract,
            bundle.signature,
            bundle=revision.served.bundle,
            revisions={found.number for found in same},
            since=since,
        )
        for same in by_contract.values()
    ]
    shared = [name for name in frames[0].columns if all(name in frame.columns for frame in frames)]
    answered = pl.concat([frame.select(shared) for frame in frames])
    if revision.contract.key:
        answered = answered.sort("answered_at", maintain_order=True)
        answered = answered.unique(["key", "at"], keep="last", maintain_order=True)
    return prediction_log.joined(answered, prediction_log.labels(log))
