"""Where a bundle comes from: SLSA provenance over its files, as an in-toto statement in a signed envelope.

Sources: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from slipway import plugins
from slipway.errors import NotFound
from slipway.flows.documents_bom import sha256_of
from slipway.flows.take_out import STORE_KEY
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.models.bundle import MANIFEST
from slipway.models.model_signing import sigstore_bundle
from slipway.operations.documents import Attested, OfVersion
from slipway.ports.workspace import Workspace
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Run

__all__ = ["attest", "statement_of"]

_PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD = "urn:slipway:pipeline:v1"


def attest(workspace: Workspace, request: OfVersion) -> Attested:
    """The statement, signed with the store's own plain key, which is made the first time.

    Raises:
        NotFound: There is no such model or version, or a file of it is gone.
        InvalidInput: The version has no bundle.
    """
    version = registry.get(workspace, request.name, request.version)
    statement = statement_of(workspace, version, registry.bundle_of(workspace, version))
    key = plugins.load("plain_key", "ec")(workspace.root / "keys" / STORE_KEY, create=True)
    signed = sigstore_bundle(statement, key)
    with workspace.ledger.write() as tx:
        told = {"name": version.name, "number": version.number, "bundle": version.bundle}
        events.record(tx, workspace, "documents.attest", f"model:{version.id}", **told)
    return Attested(
        name=version.name,
        version=version.number,
        statement=statement.decode(),
        signed=signed.decode(),
        public_key=key.public_pem.decode(),
    )


def statement_of(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> bytes:
    """The statement: each file with its SHA-256, and what it was made by and of. The same bundle gives the same bytes.

    Raises:
        NotFound: A file of it is gone.
    """
    manifest = hashlib.sha256(workspace.blobs.get(version.manifest)).hexdigest()
    subjects = [{"name": MANIFEST, "digest": {"sha256": manifest}}]
    for file in bundle.files:
        try:
            subjects.append({"name": file.path, "digest": {"sha256": sha256_of(workspace, file)}})
        except NotFound:  # a sample that was erased with a person's rows is no part of what can be had
            continue
    with workspace.ledger.read() as tx:
        known = version.run_id and entries.etag(tx, Run, version.run_id)
        run = entries.get(tx, Run, version.run_id) if known else None
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": _PREDICATE,
        "predicate": {"buildDefinition": _definition(bundle, run), "runDetails": _details(workspace, version, run)},
    }
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def _definition(bundle: Bundle, run: Run | None) -> dict[str, Any]:
    code = bundle.code
    made_of: list[dict[str, Any]] = []
    if code.commit:
        made_of.append({"name": "code", "digest": {"gitCommit": code.commit}})
    if code.snapshot:
        made_of.append({"name": "project snapshot", "digest": {"blake3": code.snapshot}})
    for node in bundle.data:
        name, _, digest = node.partition(":")[2].rpartition("@")
        made_of.append({"name": f"table:{name}" if name else node, "digest": {"blake3": digest}})
    locked = bundle.environment.lock if bundle.environment else ()
    made_of += [{"uri": f"pkg:pypi/{one.replace('==', '@')}"} for one in locked]
    return {
        "buildType": _BUILD,
        "externalParameters": {
            "pipeline": run.pipeline if run else "",
            "parameters": {key: str(value) for key, value in sorted(run.params.items())} if run else {},
        },
        "internalParameters": {"training_set": bundle.training_set, "closure": code.closure, "dirty": code.dirty},
        "resolvedDependencies": made_of,
    }


def _details(workspace: Workspace, version: ModelVersion, run: Run | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"invocationId": version.run_id} if version.run_id else {}
    if run is not None:
        metadata["startedOn"] = f"{run.started_at:%Y-%m-%dT%H:%M:%SZ}"
        if run.ended_at is not None:
            metadata["finishedOn"] = f"{run.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    return {"builder": {"id": f"urn:slipway:store:{workspace.signer.key_id}"}, "metadata": metadata}
