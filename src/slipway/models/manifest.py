"""A bundle's manifest as bytes. Who only reads what a version is needs nothing else of it, and no arrays."""

from typing import Any

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import digest
from slipway.records.models import Bundle

__all__ = ["bundle_digest", "decode_manifest", "encode_manifest"]


def bundle_digest(bundle: Bundle) -> str:
    """The digest of a bundle that is being made: that of its manifest's bytes."""
    return digest(encode_manifest(bundle))


def encode_manifest(bundle: Bundle) -> bytes:
    """The manifest as JSON. Figures that are not finite are written as the texts "nan", "inf" and "-inf"."""
    plain = _finite(msgspec.to_builtins(bundle, order="deterministic"))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1)


def decode_manifest(data: bytes) -> Bundle:
    """The manifest that `encode_manifest` wrote.

    Raises:
        Corrupt: It is none.
    """
    try:
        return msgspec.json.decode(data, type=Bundle, strict=False)
    except msgspec.DecodeError as problem:
        raise Corrupt(f"The bundle's manifest cannot be read: {problem}.") from problem


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
