"""What a bundle consists of, as a CycloneDX 1.6 bill of materials with a model card.

The same bundle gives the same bytes: nothing in it is of the moment at which somebody asks. Source:
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from slipway.errors import NotFound
from slipway.models import registry
from slipway.models.card import figure
from slipway.operations.documents import Bom, OfVersion
from slipway.ports.workspace import Workspace
from slipway.records.models import Bundle, BundleFile, MetricValue, ModelVersion

__all__ = ["bom", "sha256_of"]

_SEPARATORS = re.compile(r"[-_.]+")
_APPROACH = "supervised"


def bom(workspace: Workspace, request: OfVersion) -> Bom:
    """The bill of a version.

    Raises:
        NotFound: There is no such model or version, or a file of it is gone.
        InvalidInput: The version has no bundle.
    """
    version = registry.get(workspace, request.name, request.version)
    bundle = registry.bundle_of(workspace, version)
    model = _model(workspace, version, bundle)
    libraries = [_library(one) for one in (bundle.environment.lock if bundle.environment else ())]
    data = [_data(node) for node in bundle.data]
    files = [_file(workspace, one) for one in bundle.files]
    parts = sorted({one["bom-ref"]: one for one in (*libraries, *data, *files)}.items())
    found = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'slipway-bundle:{version.bundle}')}",
        "version": 1,
        "metadata": {
            "timestamp": f"{version.created_at:%Y-%m-%dT%H:%M:%SZ}",
            "tools": {"components": [{"type": "application", "name": "slipway"}]},
            "component": model,
        },
        "components": [one for _, one in parts],
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [ref for ref, _ in parts]},
            *({"ref": ref} for ref, _ in parts),
        ],
    }
    return Bom(name=version.name, version=version.number, text=json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def sha256_of(workspace: Workspace, file: BundleFile) -> str:
    """The SHA-256 of a bundle's file, which other tools know; the store names it by BLAKE3.

    Raises:
        NotFound: It is gone.
    """
    return hashlib.sha256(workspace.blobs.get(file.digest)).hexdigest()


def _model(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> dict[str, Any]:
    sha256 = hashlib.sha256(workspace.blobs.get(version.manifest)).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle:{version.bundle}",
        "name": version.name,
        "version": str(version.number),
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "modelCard": {
            "bom-ref": f"card:{version.bundle}",
            "modelParameters": {
                "approach": {"type": _APPROACH},
                "task": bundle.task,
                "modelArchitecture": bundle.format,
                "datasets": [{"ref": node} for node in sorted(set(bundle.data))],
                "inputs": [{"format": f"{one.name}: {one.type}"} for one in bundle.signature.inputs],
                "outputs": [{"format": f"{one.name}: {one.type}"} for one in bundle.signature.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in bundle.metrics]},
            "considerations": {"technicalLimitations": _limits(bundle)},
        },
        "properties": [
            {"name": "slipway:manifest", "value": version.manifest},
            {"name": "slipway:run", "value": version.run_id},
            {"name": "slipway:code", "value": bundle.code.commit or bundle.code.snapshot},
            *({"name": "slipway:simulated", "value": table} for table in bundle.simulated),
        ],
    }


def _metric(one: MetricValue) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": one.metric,
        "value": figure(one.value) if math.isnan(one.value) else f"{one.value:.6g}",
    }
    if one.slice:
        said["slice"] = one.slice
    if not math.isnan(one.low):
        said["confidenceInterval"] = {"lowerBound": f"{one.low:.6g}", "upperBound": f"{one.high:.6g}"}
    return said


def _limits(bundle: Bundle) -> list[str]:
    refused = [one.name for one in bundle.signature.inputs if not one.nullable]
    untold = sorted({one.slice for one in bundle.metrics if one.slice and math.isnan(one.value)})
    return [
        *([f"Rows in which these are missing are refused: {', '.join(refused)}."] if refused else []),
        *([f"Its quality cannot be told on: {', '.join(untold)}."] if untold else []),
        *([f"It learned from made-up rows of {', '.join(bundle.simulated)}."] if bundle.simulated else []),
    ]


def _library(pinned: str) -> dict[str, Any]:
    name, _, number = pinned.partition("==")
    plain = _SEPARATORS.sub("-", name).lower()
    purl = f"pkg:pypi/{quote(plain)}" + (f"@{quote(number, safe='')}" if number else "")
    said = {"type": "library", "bom-ref": purl, "name": name, "purl": purl}
    return said | ({"version": number} if number else {})


def _data(node: str) -> dict[str, Any]:
    name, _, digest = node.partition(":")[2].rpartition("@")
    return {
        "type": "data",
        "bom-ref": node,
        "name": name or node,
        "version": digest,
        "data": [{"type": "dataset", "name": name or node}],
        "properties": [{"name": "slipway:blake3", "value": digest}],
    }


def _file(workspace: Workspace, file: BundleFile) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": "file",
        "bom-ref": f"file:{file.path}",
        "name": file.path,
        "properties": [
            {"name": "slipway:blake3", "value": file.digest},
            {"name": "slipway:bytes", "value": str(file.size_bytes)},
        ],
    }
    hashes: Sequence[dict[str, str]]
    try:
        hashes = [{"alg": "SHA-256", "content": sha256_of(workspace, file)}]
    except NotFound:  # the sample goes with a person's rows; the bill still names it
        hashes = []
    return said | ({"hashes": hashes} if hashes else {})
