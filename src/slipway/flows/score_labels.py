"""Labels of what a batch endpoint scored: it has no address to send them to, so they go into its log from here."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.score import spec_of
from slipway.flows.scored_log import policy_of
from slipway.ledger import events
from slipway.operations.scorings import LabelScores, LabelsTaken
from slipway.ports.workspace import Workspace
from slipway.serving.contracts import ContractReader
from slipway.serving.pushes import LabelsBody, decode_body, label_rows
from slipway.tables.prediction_log import LABELS
from slipway.tables.segments import SegmentWriter

__all__ = ["label_scores"]


@dataclass(frozen=True, slots=True)
class _Reads:
    contract: ContractReader


def label_scores(workspace: Workspace, request: LabelScores) -> LabelsTaken:
    """Take labels in, checked as a live endpoint checks them; all or none.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: It answers requests, and takes its labels itself.
        InvalidInput: A label does not fit.
        BackendError: The log cannot be written.
    """
    revision = revision_of(workspace, request.name)
    spec_of(revision)
    body = decode_body(msgspec.json.encode({"labels": request.labels}), LabelsBody)
    rows = label_rows(body, _Reads(ContractReader(revision.contract)), workspace.clock.now())
    policy = policy_of(workspace, revision)
    rows = rows if policy is None else policy.labels(rows)
    writer = SegmentWriter(folder_of(workspace, request.name) / "log", LABELS)
    try:
        writer.append(rows)
    finally:
        writer.close()
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "scorings.label", f"revision:{revision.id}", labels=len(rows))
    return LabelsTaken(accepted=len(rows))
