"""A bundle's files signed in the OpenSSF model-signing form, so that tools know them that know nothing of Slipway.

A Sigstore bundle holds a DSSE envelope over an in-toto statement that names every file with its SHA-256. It is signed
with a plain key; no certificate and no transparency log is asked.

Source: https://github.com/sigstore/model-transparency (predicate `https://model_signing/signature/v1.0`),
https://docs.sigstore.dev/about/bundle/, https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import msgspec

__all__ = ["PlainKey", "sigstore_bundle", "statement"]

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_IN_TOTO = "application/vnd.in-toto+json"
_CHUNK_BYTES = 1 << 20


class PlainKey(Protocol):
    """A private key whose public half can be handed out."""

    @property
    def public_pem(self) -> bytes:
        """The public key as PEM (SubjectPublicKeyInfo)."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature over bytes, DER where the kind of key has it so."""
        ...


def statement(folder: Path, name: str) -> bytes:
    """The in-toto statement over all files below a folder, which holds no links.

    Args:
        folder: The files.
        name: What they are called; nothing is verified by it.
    """
    paths = sorted(PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    digests = [(str(path), _sha256(folder / path)) for path in paths]
    root = hashlib.sha256(b"".join(digest for _, digest in digests)).hexdigest()
    said: dict[str, Any] = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [{"name": path, "algorithm": "sha256", "digest": digest.hex()} for path, digest in digests],
        },
    }
    return msgspec.json.encode(said)


def sigstore_bundle(payload: bytes, key: PlainKey) -> bytes:
    """The signature's file: a Sigstore bundle with a DSSE envelope over an in-toto statement.

    Args:
        payload: The statement.
        key: Signs it; the bundle names its public half by a digest.
    """
    signature = key.sign(b"DSSEv1 %d %b %d %b" % (len(_IN_TOTO), _IN_TOTO.encode(), len(payload), payload))
    said: dict[str, Any] = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(key.public_pem).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": _text(payload),
            "payloadType": _IN_TOTO,
            "signatures": [{"sig": _text(signature), "keyid": ""}],
        },
    }
    return msgspec.json.format(msgspec.json.encode(said), indent=1)


def _sha256(path: Path) -> bytes:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.digest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
