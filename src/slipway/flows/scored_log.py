"""What of a scoring is logged where its endpoint does not log all: a share of the rows, no personal values."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from slipway.flows.endpoints import folder_of
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.serving.log_policy import LogPolicy, read_key
from slipway.tables.prediction_log import PREDICTIONS, SHADOWS
from slipway.tables.segments import SegmentWriter, read_segments

__all__ = ["as_logged", "policy_of"]

T = TypeVar("T")
_FRAME_ROWS = 1000


def policy_of(workspace: Workspace, revision: Revision) -> LogPolicy | None:
    """What chooses and rewrites a revision's log rows, None where all are logged as they are.

    Raises:
        Corrupt: Personal values are to be hidden, and the key that hides them is not there.
    """
    spec, contract = revision.log, revision.contract
    if spec.sample >= 1 and not spec.redacted:
        return None
    inputs = {
        one.bundle[:16]: registry.bundle_of(
            workspace, registry.get(workspace, one.model, str(one.number))
        ).signature.inputs
        for one in revision.versions
    }
    secret = read_key(folder_of(workspace, revision.name)) if spec.redacted else b""
    return LogPolicy(spec, contract.fields, contract.key, inputs, secret)


def as_logged(policy: LogPolicy | None, predictions: bytes, shadows: bytes) -> tuple[bytes, bytes]:
    """Segments of a part as they come into the log, b"" where nothing of one does.

    Args:
        policy: What is logged, None for all.
        predictions: The answered rows.
        shadows: What a model that did not answer made of some of them: it is kept of those that are.
    """
    if policy is None or not predictions:
        return predictions, shadows
    with tempfile.TemporaryDirectory(prefix="slipway-log-") as made:
        folder = Path(made)
        kept = policy.kept(_rows_of(folder, PREDICTIONS, PredictionRow, predictions))
        ids = {row.id for row in kept}
        beside = [row for row in _rows_of(folder, SHADOWS, ShadowRow, shadows) if row.prediction in ids]
        return (
            _segment_of(folder, PREDICTIONS, policy.written(kept)),
            _segment_of(folder, SHADOWS, beside),
        )


def _rows_of(folder: Path, kind: str, row_type: type[T], segment: bytes) -> list[T]:
    if not segment:
        return []
    came = folder / f"{kind}-came"
    came.mkdir()
    (came / f"{kind}-0.seg").write_bytes(segment)
    return read_segments(came, kind, row_type)[0]


def _segment_of(folder: Path, kind: str, rows: Sequence[object]) -> bytes:
    gone = folder / f"{kind}-gone"
    writer = SegmentWriter(gone, kind, roll_bytes=1 << 60, roll_age_s=float("inf"))
    for start in range(0, len(rows), _FRAME_ROWS):
        writer.append(rows[start : start + _FRAME_ROWS])
    writer.close()
    found = next(iter(gone.glob("*.seg")), None)
    return found.read_bytes() if found is not None else b""
