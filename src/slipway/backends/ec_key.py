"""A P-256 key in a folder or file, for signatures that other tools verify: they take elliptic curves, and no Ed25519."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from slipway.errors import InvalidInput
from slipway.whole_files import write_once

__all__ = ["EcKey"]

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


class EcKey:
    """See `PlainKey`.

    Args:
        path: The private key as PEM, without a password. It is made, readable by its owner alone, when it is missing and
            `create` says so.
        create: Whether to make one.

    Raises:
        InvalidInput: The file holds no such key of the curves P-256, P-384 or P-521, or is not there.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create and not path.exists():
            _make(path)
        try:
            found = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as problem:
            raise InvalidInput(
                f"{path} holds no private key that can be used: {problem}.",
                fix="Make one: openssl ecparam -name prime256v1 -genkey -noout -out FILE.pem",
            ) from problem
        if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name not in _HASHES:
            raise InvalidInput(
                f"{path} holds a key that the model-signing form does not know.",
                why="It takes keys on the curves P-256, P-384 and P-521.",
                fix="Make one: openssl ecparam -name prime256v1 -genkey -noout -out FILE.pem",
            )
        self._private = found

    @property
    def public_pem(self) -> bytes:
        """See `PlainKey.public_pem`."""
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        """See `PlainKey.sign`."""
        return self._private.sign(data, ec.ECDSA(_HASHES[self._private.curve.name]()))


def _make(path: Path) -> None:
    """Write a new key whole; where another process was first, its key is the one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_once(path, data, mode=0o600)
