"""An old HTTP service as the reference of a version that was imported otherwise."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from slipway.flows.import_proof import ROWS, Before, compared
from slipway.flows.tolerance import check_rounding
from slipway.hashing import digest
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.frames import column_names, plain_rows
from slipway.operations.declare import check_allowed
from slipway.plugins import load
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion

__all__ = ["compare_service"]


def compare_service(
    workspace: Workspace,
    version: ModelVersion,
    url: str,
    sample: Any,
    *,
    path: str = "",
    score: str = "score",
    accept: str = "",
    tolerance: float = 1e-6,
) -> tuple[ModelVersion, str]:
    """Ask an old service for a thousand rows, and keep its answers with a version as what it must answer.

    Args:
        workspace: Whose version.
        version: A version with a bundle.
        url: The service's address.
        sample: Rows; a pandas frame with the version's inputs.
        path: The path of its POST; found in its OpenAPI where left out.
        score: Where the score stands in its answer.
        accept: Why rows that are answered differently are taken, or a tolerance that is wider than rounding.
        tolerance: How far apart answers may be, a finite number from 0: a service rounds.

    Returns:
        The version with the proof, and the full address that was asked.

    Raises:
        Unavailable: The service does not answer, or stopped half-way: nothing is kept.
        InvalidInput: It refuses a row, or a row is answered differently, or the tolerance is wide, and nobody accepted that.
    """
    check_allowed(workspace, "models.register", "models.write")
    check_rounding(tolerance, accept)
    inputs = [one.name for one in registry.bundle_of(workspace, version).signature.inputs]
    sample = sample[list(column_names(sample, inputs))]
    rows, names = load("sample", "draw")(sample, ROWS)
    path = path or load("service", "path")(url, inputs)
    asked = [dict(zip(inputs, row, strict=True)) for row in plain_rows(rows, inputs)]
    before = Before(
        door="fastapi",
        source=f"{url.rstrip('/')}{path}",
        asked="by HTTP, one row a request",
        sample=digest(msgspec.json.encode(load("sample", "columns")(sample))),
        rows=rows,
        names=tuple(names),
        answers=tuple(load("service", "ask")(url, path, asked, score)),
    )
    with tempfile.TemporaryDirectory(prefix="slipway-compare-") as temporary:
        folder = Path(temporary) / "bundle"
        bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
        model = bundles.load(folder, expect=version.bundle)
        proof = compared(workspace, before, model, accept=accept, tolerance=tolerance)
    return registry.add_proof(workspace, version, proof), before.source
