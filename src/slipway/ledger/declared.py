"""What slipway.toml says of an environment, kept in the ledger: a numbered record at each change, and which is the last."""

from __future__ import annotations

from typing import Any, TypeVar

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.costs import KeptRates
from slipway.records.limits import KeptLimits
from slipway.records.responsibility import Raci

__all__ = ["keep", "last"]

R = TypeVar("R", KeptLimits, KeptRates, Raci)


def last(tx: ReadTransaction, workspace: Workspace, record_type: type[R]) -> R | None:
    """What was declared last for the workspace's environment; None while nothing was."""
    id = tx.ref(workspace.project, entries.kind_of(record_type), workspace.environment)
    return entries.get(tx, record_type, id) if id else None


def keep(tx: WriteTransaction, workspace: Workspace, record_type: type[R], **fields: Any) -> R:
    """Keep what is declared now as the next number.

    Args:
        tx: The transaction.
        workspace: The project's, in its environment.
        record_type: The kind of record.
        fields: What was declared, by the record's fields.
    """
    former = last(tx, workspace, record_type)
    number = former.number + 1 if former else 1
    kept = record_type(
        id=f"{workspace.project}/{workspace.environment}/{number}",
        project=workspace.project,
        name=workspace.environment,
        created_at=workspace.clock.now(),
        number=number,
        actor=workspace.actor,
        **fields,
    )
    entries.put(tx, kept, expect=0)
    sort = entries.kind_of(record_type)
    tx.set_ref(workspace.project, sort, workspace.environment, kept.id, expect=former.id if former else None)
    return kept
