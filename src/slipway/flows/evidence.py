"""Collect what a gate judges: figures of the evaluation, parity, skew, the environment, and a comparison with the champion."""

from __future__ import annotations

import tempfile
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import polars as pl

from slipway.errors import NotFound, SlipwayError
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.packing import EVALUATED
from slipway.ports.workspace import Workspace
from slipway.records.gates import Evidence, GateSpec
from slipway.records.models import Bundle, ModelVersion
from slipway.stats.intervals import paired_difference

__all__ = ["bundle_of", "champion_of", "collect"]

CHAMPION = "champion"


def bundle_of(workspace: Workspace, version: ModelVersion) -> Bundle:
    """A version's bundle manifest.

    Raises:
        NotFound: The manifest is not in the store.
        Corrupt: It is damaged.
    """
    return bundles.decode_manifest(workspace.blobs.get(version.manifest))


def champion_of(workspace: Workspace, name: str) -> ModelVersion | None:
    """The version that the alias champion points at, None when nothing was ever released under the name."""
    if CHAMPION not in registry.aliases(workspace, name):
        return None
    return registry.get(workspace, name, CHAMPION)


def collect(workspace: Workspace, candidate: ModelVersion, bundle: Bundle, gate: GateSpec) -> list[Evidence]:
    """Everything that the checks of a gate read, approvals aside.

    Args:
        workspace: Where the bundles are.
        candidate: The version to be judged.
        bundle: Its manifest.
        gate: The effective gate: evidence that it does not ask for is not collected.
    """
    kinds = {check.kind for check in gate.checks}
    with tempfile.TemporaryDirectory(prefix="slipway-evidence-") as temporary:
        folder = Path(temporary) / "candidate"
        found = _loading(workspace, candidate, bundle, folder)
        if "metric" in kinds or "calibrated" in kinds:
            found += _evaluation(workspace, candidate, bundle)
        if "no_skew" in kinds:
            found.append(_evidence(workspace, candidate, "no_skew", proven=_is_proven(bundle), note=bundle.skew))
        if "environment" in kinds:
            found.append(_environment(workspace, candidate, bundle))
        champion = champion_of(workspace, candidate.name)
        if "champion" in kinds and champion is not None and champion.bundle != candidate.bundle:
            metrics = sorted({check.metric for check in gate.checks if check.kind == "champion"})
            found += _against(workspace, candidate, champion, folder, Path(temporary) / "champion", metrics)
    return found
