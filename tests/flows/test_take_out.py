"""A version's files, taken out of the store and signed for tools that know nothing of Slipway."""

import dataclasses
import hashlib
import json
import stat
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from small_desk import BETTER, FIRST, Desk

import slipway as sw
from slipway.data.ingest import ingest
from slipway.errors import Conflict, Denied, InvalidInput
from slipway.flows.take_out import export_signed as written_signed
from slipway.models.bundle import MANIFEST, SAMPLE, load
from slipway.records.people import Actor

TOOL = Path(__file__).parents[2] / ".venv" / "signing" / "bin" / "model_signing"


class Written(NamedTuple):
    folder: Path
    signature: Path
    public_key: Path
    has_sample: bool


def export_signed(*given: Any, **more: Any) -> Written:
    found = written_signed(*given, **more)
    return Written(Path(found.folder), Path(found.signature), Path(found.public_key), found.has_sample)


@pytest.fixture
def signed(desk: Desk, tmp_path: Path) -> Written:
    return export_signed(desk.workspace, desk.version(FIRST), tmp_path / "out")


def test_the_files_are_the_bundle_and_the_statement_names_each(desk: Desk, signed: Written) -> None:
    assert load(signed.folder, expect=desk.version(FIRST).bundle, signer=desk.workspace.signer).check_sample().rows > 60
    envelope = json.loads(signed.signature.read_bytes())["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    listed = {one["name"]: one["digest"] for one in json.loads(payload)["predicate"]["resources"]}
    found = {path.relative_to(signed.folder).as_posix(): path for path in signed.folder.rglob("*") if path.is_file()}
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    public = serialization.load_pem_public_key(signed.public_key.read_bytes())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature, kind = b64decode(envelope["signatures"][0]["sig"]), envelope["payloadType"].encode()
    said = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public.verify(signature, said, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(signature, said.replace(b"model.txt", b"model.txu"), ec.ECDSA(hashes.SHA256()))
    event = desk.events()[-1]
    assert (event.verb, event.body["as"]) == ("models.export", "signed files")


def test_the_store_keeps_one_key_that_only_its_account_reads(desk: Desk, signed: Written, tmp_path: Path) -> None:
    second = export_signed(desk.workspace, desk.version(BETTER), tmp_path / "out")
    assert second.public_key.read_bytes() == signed.public_key.read_bytes()
    key = desk.workspace.root / "keys" / "model-signing.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="is there already"):
        export_signed(desk.workspace, desk.version(FIRST), tmp_path / "out")


def test_a_key_that_other_tools_do_not_know_and_one_who_may_not_are_refused(desk: Desk, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    for data in (b"no key", ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )):  # fmt: skip
        key.write_bytes(data)
        with pytest.raises(InvalidInput, match=r"key\.pem holds"):
            export_signed(desk.workspace, desk.version(FIRST), tmp_path / "out", key=key)
    reader = dataclasses.replace(desk.workspace, actor=Actor("ada", roles=("data scientist",)))
    with pytest.raises(Denied):
        export_signed(reader, desk.version(FIRST), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_of_training_stay_where_columns_are_personal(desk: Desk, tmp_path: Path) -> None:
    @sw.table(key="id", personal=["name"])
    def people() -> pl.DataFrame:
        return pl.DataFrame({"id": [1], "name": ["Ada"]})

    ingest(desk.workspace, people)
    found = export_signed(desk.workspace, desk.version(FIRST), tmp_path / "out")
    assert not found.has_sample
    assert not (found.folder / SAMPLE).exists()
    assert load(found.folder, expect=desk.version(FIRST).bundle).check_sample().is_erased


def _verified(found: Written, *more: str) -> subprocess.CompletedProcess[str]:
    if not TOOL.exists():
        pytest.skip("the verifier is not installed: make .venv/stamps/signing")
    words = ("verify", "key", str(found.folder), "--signature", str(found.signature), "--public_key", *more)
    return subprocess.run([str(TOOL), *words], capture_output=True, text=True, check=False)


@pytest.mark.full
def test_the_upstream_tool_verifies_it_and_finds_an_altered_byte_and_another_key(
    desk: Desk, signed: Written, tmp_path: Path
) -> None:
    done = _verified(signed, str(signed.public_key))
    assert (done.returncode, "Verification succeeded" in done.stdout) == (0, True), done.stdout + done.stderr
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    by_another = export_signed(desk.workspace, desk.version(FIRST), tmp_path / "by-another", key=other)
    assert _verified(by_another, str(by_another.public_key)).returncode == 0
    assert _verified(signed, str(by_another.public_key)).returncode != 0
    for name in (MANIFEST, "model/model.txt"):
        path = signed.folder / name
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        refused = _verified(signed, str(signed.public_key))
        assert (refused.returncode != 0, name in refused.stdout + refused.stderr) == (True, True), refused
        data[100] ^= 1
        path.write_bytes(data)
    (signed.folder / "added.txt").write_text("x")
    assert _verified(signed, str(signed.public_key)).returncode != 0
