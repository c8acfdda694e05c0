"""What of a scoring is logged where its endpoint does not log all: a share of the rows, no personal values."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.flows.endpoints import folder_of
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.predictions import PredictionRow
from slipway.serving.log_policy import LogPolicy, read_key
from slipway.tables.prediction_log import PREDICTIONS
from slipway.tables.segments import SegmentWriter, read_segments

__all__ = ["as_logged", "policy_of"]

_FRAME_ROWS = 1000


def policy_of(workspace: Workspace, revision: Revision) -> LogPolicy | None:
    """What chooses and rewrites a revision's log rows, None where all are logged as they are.

    Raises:
        Corrupt: Personal values are to be hidden, and the key that hides them is not there.
    """
    spec, contract, served = revision.log, revision.contract, revision.served
    if spec.sample >= 1 and not spec.redacted:
        return None
    bundle = registry.bundle_of(workspace, registry.get(workspace, served.model, str(served.number)))
    secret = read_key(folder_of(workspace, revision.name)) if spec.redacted else b""
    return LogPolicy(spec, contract.fields, contract.key, {served.bundle[:16]: bundle.signature.inputs}, secret)


def as_logged(policy: LogPolicy | None, segment: bytes) -> bytes:
    """A segment of prediction rows as it comes into the log, b"" where nothing of it does."""
    if policy is None or not segment:
        return segment
    with tempfile.TemporaryDirectory(prefix="slipway-log-") as made:
        came, gone = Path(made) / "came", Path(made) / "gone"
        came.mkdir()
        (came / f"{PREDICTIONS}-0.seg").write_bytes(segment)
        rows, _ = read_segments(came, PREDICTIONS, PredictionRow)
        writer = SegmentWriter(gone, PREDICTIONS, roll_bytes=1 << 60, roll_age_s=float("inf"))
        for start in range(0, len(rows), _FRAME_ROWS):
            writer.append(policy.written(policy.kept(rows[start : start + _FRAME_ROWS])))
        writer.close()
        found = next(iter(gone.glob("*.seg")), None)
        return found.read_bytes() if found is not None else b""
