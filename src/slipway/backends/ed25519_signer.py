"""Ed25519 signatures in DSSE envelopes, with keys in a folder.

Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md (pre-authentication encoding).
"""

import base64
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from slipway.errors import BackendError, Corrupt
from slipway.hashing import digest
from slipway.whole_files import write_once

__all__ = ["Ed25519Signer"]


class _Signature(msgspec.Struct):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct):
    payload: str
    payloadType: str
    signatures: list[_Signature]


class Ed25519Signer:
    """Signs with `<folder>/signing.key` and trusts every `<folder>/trusted/*.pub`.

    Args:
        folder: Where the keys lie; a key pair is made when there is none and `create` says so.
        create: Whether to make a key pair; an endpoint only verifies and never makes one.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self._folder = folder
        self._private: Ed25519PrivateKey | None = None
        if create:
            self._private = _load_or_make(folder)
        elif (folder / "signing.key").exists():
            self._private = Ed25519PrivateKey.from_private_bytes((folder / "signing.key").read_bytes())
        self._key_id = "" if self._private is None else _key_id(self._private.public_key())

    @property
    def key_id(self) -> str:
        """See `Signer.key_id`."""
        return self._key_id

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """See `Signer.sign`."""
        if self._private is None:
            raise BackendError(f"There is no signing key in {self._folder}.", fix="Sign where the store's keys are.")
        signature = self._private.sign(_pae(payload_type, payload))
        return msgspec.json.encode(
            _Envelope(_text(payload), payload_type, [_Signature(self._key_id, _text(signature))])
        )

    def verify(self, envelope: bytes, payload_type: str) -> bytes:
        """See `Signer.verify`."""
        try:
            found = msgspec.json.decode(envelope, type=_Envelope)
            payload = base64.b64decode(found.payload, validate=True)
            signatures = [(s.keyid, base64.b64decode(s.sig, validate=True)) for s in found.signatures]
        except (msgspec.DecodeError, ValueError) as problem:
            raise Corrupt(
                f"A signed envelope cannot be read: {problem}.", fix="Write it again with Slipway."
            ) from problem
        if msgspec.json.encode(found) != envelope or any(
            _text(base64.b64decode(text)) != text for text in (found.payload, *(s.sig for s in found.signatures))
        ):  # base64 and JSON can say one thing in several ways; an envelope is written in one
            raise Corrupt("A signed envelope is not as it was written: a byte of it was altered.")
        if found.payloadType != payload_type:
            raise Corrupt(f"A signed envelope holds {found.payloadType!r} where {payload_type!r} is expected.")
        trusted = self._trusted()
        known = [(trusted[key_id], signature) for key_id, signature in signatures if key_id in trusted]
        if not known:
            raise Corrupt(
                "The envelope is signed by no key that is trusted here.",
                why=f"Signed by: {', '.join(key_id for key_id, _ in signatures) or 'nobody'}.",
                fix=f"Put the signer's public key into {self._folder / 'trusted'} if you trust it.",
            )
        for public, signature in known:
            try:
                public.verify(signature, _pae(payload_type, payload))
            except InvalidSignature:
                continue
            return payload
        raise Corrupt("The envelope's content does not match its signature: it was altered after signing.")

    def _trusted(self) -> dict[str, Ed25519PublicKey]:
        keys = [Ed25519PublicKey.from_public_bytes(p.read_bytes()) for p in sorted(self._folder.glob("trusted/*.pub"))]
        return {_key_id(key): key for key in keys}


def _load_or_make(folder: Path) -> Ed25519PrivateKey:
    path = folder / "signing.key"
    if not path.exists():
        (folder / "trusted").mkdir(parents=True, exist_ok=True)
        private = Ed25519PrivateKey.generate()
        write_once(path, private.private_bytes_raw(), mode=0o600)
    private = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    public = private.public_key()
    trusted = folder / "trusted" / f"{_key_id(public)}.pub"
    if not trusted.exists():
        trusted.parent.mkdir(parents=True, exist_ok=True)
        trusted.write_bytes(public.public_bytes_raw())
    return private


def _key_id(public: Ed25519PublicKey) -> str:
    return digest(public.public_bytes_raw())[:16]


def _pae(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
