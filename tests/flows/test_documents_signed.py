"""A bundle's bill of materials and its provenance, as the tools of others read them."""

import hashlib
import json
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.errors import NotFound
from slipway.flows.documents_bom import bom
from slipway.flows.documents_provenance import attest
from slipway.operations.documents import OfVersion

PYTHON = Path(__file__).parents[2] / ".venv" / "signing" / "bin" / "python"
VERIFY = """
import json
import sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

with open(sys.argv[1]) as signed, open(sys.argv[2], "rb") as key:
    said = json.load(signed)["dsseEnvelope"]
    trusted = SSlibKey.from_crypto(load_pem_public_key(key.read()))
for one in said["signatures"]:
    one["keyid"] = trusted.keyid  # a hint, which nobody signs; this library wants one
envelope = Envelope.from_dict(said)
envelope.verify([trusted], 1)
sys.stdout.buffer.write(envelope.payload)
"""


def test_the_bill_fits_its_schema_and_is_the_same_each_time(desk: Desk) -> None:
    from cyclonedx.schema import SchemaVersion  # two seconds of grammars, which other tests need not wait for
    from cyclonedx.validation.json import JsonStrictValidator

    found = bom(desk.workspace, OfVersion(name=NAME, version=str(FIRST)))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(found.text) is None
    assert bom(desk.workspace, OfVersion(name=NAME, version=str(FIRST))) == found
    assert bom(desk.workspace, OfVersion(name=NAME, version=str(BETTER))).text != found.text
    said: dict[str, Any] = json.loads(found.text)
    model = said["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert {one["type"] for one in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]} >= {"auc"}
    kinds = {one["type"] for one in said["components"]}
    assert kinds == {"library", "data", "file"}
    assert any(one.get("purl", "").startswith("pkg:pypi/lightgbm@") for one in said["components"])
    refs = {one["bom-ref"] for one in said["components"]}
    assert {one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]} <= refs
    files = [one for one in said["components"] if one["type"] == "file"]
    assert all(len(one["hashes"][0]["content"]) == 64 for one in files)
    with pytest.raises(NotFound):
        bom(desk.workspace, OfVersion(name="nothing"))


def test_provenance_names_each_file_and_what_it_was_made_of_and_is_signed(desk: Desk) -> None:
    workspace, version = desk.workspace, desk.version(FIRST)
    found = attest(workspace, OfVersion(name=NAME, version=str(FIRST)))
    said = json.loads(found.statement)
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    digests = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    assert digests["manifest.json"] == hashlib.sha256(workspace.blobs.get(version.manifest)).hexdigest()
    assert {"card.md", "profile.bin", "layout.json"} <= set(digests)
    made = said["predicate"]["buildDefinition"]
    assert made["externalParameters"]["pipeline"] == "release"
    assert any(one.get("name", "").startswith("table:") for one in made["resolvedDependencies"])
    assert said["predicate"]["runDetails"]["metadata"]["invocationId"] == version.run_id
    envelope = json.loads(found.signed)["dsseEnvelope"]
    assert b64decode(envelope["payload"]).decode() == found.statement
    public = serialization.load_pem_public_key(found.public_key.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    kind, payload = envelope["payloadType"].encode(), found.statement.encode()
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public.verify(b64decode(envelope["signatures"][0]["sig"]), pae, ec.ECDSA(hashes.SHA256()))
    again = attest(workspace, OfVersion(name=NAME, version=str(FIRST)))
    assert (again.statement, again.public_key) == (found.statement, found.public_key)
    assert desk.events()[-1].verb == "documents.attest"


@pytest.mark.full
def test_in_totos_own_library_verifies_the_provenance_and_finds_an_altered_byte(desk: Desk, tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("the verifier is not installed: make .venv/stamps/signing")
    found = attest(desk.workspace, OfVersion(name=NAME, version=str(FIRST)))
    signed, key = tmp_path / "signed.json", tmp_path / "key.pub"
    key.write_text(found.public_key)

    def verified(text: str) -> subprocess.CompletedProcess[str]:
        signed.write_text(text)
        words = [str(PYTHON), "-c", VERIFY, str(signed), str(key)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = verified(found.signed)
    assert (done.returncode, done.stdout) == (0, found.statement), done.stderr
    envelope = json.loads(found.signed)
    payload = b64decode(envelope["dsseEnvelope"]["payload"]).replace(b"release", b"rel3ase")
    envelope["dsseEnvelope"]["payload"] = b64encode(payload).decode()
    assert verified(json.dumps(envelope)).returncode != 0
