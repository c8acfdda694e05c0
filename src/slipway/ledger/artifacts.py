"""Values in and out of the blobs, each in the format of its type.

Plain values are typed JSON, Polars frames Parquet, NumPy arrays .npy, pandas frames Parquet; an object with
`slipway_save(folder)` and a class method `slipway_load(folder)` saves itself; pickle is the last resort. A value with
such parts inside (a tuple of frames) is JSON that refers to them, each part an artifact of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from slipway import plugins
from slipway.errors import Corrupt, InvalidInput, MissingExtra
from slipway.hashing import digest
from slipway.ledger import archive
from slipway.ledger.plain_values import class_named, class_path, dump, restore
from slipway.ports.blobs import Blobs
from slipway.records.runs import Artifact

__all__ = ["Encoded", "decode", "encode", "load", "store"]

_FAMILIES = {"polars": "parquet", "numpy": "npy", "pandas": "pandas"}
_DEFAULT_VARIANTS = {("parquet", "DataFrame"), ("npy", "ndarray"), ("pandas", "DataFrame")}
_CLASS_FILE = ".class"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as artifacts and their bytes.

    Args:
        parts: The value's own artifact first, then the parts that it refers to.
        pickled: The types that only pickle could take, () for none.
    """

    parts: tuple[tuple[Artifact, bytes], ...]
    pickled: tuple[str, ...] = ()

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts without their bytes."""
        return tuple(artifact for artifact, _ in self.parts)


def encode(name: str, value: Any, fingerprint_of: Callable[[object], str]) -> Encoded:
    """Write a value as bytes.

    Args:
        name: What the artifact is called; parts are called `name/0`, `name/1`, ...
        value: Any value.
        fingerprint_of: The logical fingerprint of a value. What it refuses gets the digest of its bytes.

    Raises:
        InvalidInput: Not even pickle takes it.
    """
    leaves: list[tuple[str, str, bytes, Any]] = []

    def leaf(part: Any) -> list[object]:
        leaves.append((*_leaf(part), part))
        return [len(leaves) - 1, leaves[-1][1]]

    try:
        plain = msgspec.json.encode(dump(value, leaf))
    except (UnicodeEncodeError, RecursionError):  # text that UTF-8 cannot say; a value inside itself
        leaves = [("pickle", "", plugins.load("artifact", "pickle").encode(value), value)]
        plain = b""
    alone = len(leaves) == 1 and leaves[0][3] is value
    if alone and ((kept := leaves[0])[:2] in _DEFAULT_VARIANTS or kept[0] not in _FAMILIES.values()):
        parts = [_part(name, kept[0], kept[2], value, fingerprint_of)]
    else:
        parts = [_part(name, "json", plain, value, fingerprint_of)]
        for position, (form, _, data, part) in enumerate(leaves):
            parts.append(_part(f"{name}/{position}", form, data, part, fingerprint_of))
    pickled = tuple(type(part).__name__ for form, _, _, part in leaves if form == "pickle")
    return Encoded(tuple(parts), pickled)


def _leaf(value: Any) -> tuple[str, str, bytes]:
    """Format, variant and bytes of a part without a plain form."""
    if hasattr(value, "slipway_save") and hasattr(type(value), "slipway_load"):
        return str(getattr(value, "slipway_format", "object")), "", _saved(value)
    family = _FAMILIES.get(type(value).__module__.partition(".")[0])
    if family is not None:
        try:
            form = plugins.load("artifact", family)
            return family, form.variant(value), form.encode(value)
        except InvalidInput:  # a rare kind of frame or array: pickle takes it, and is flagged
            pass
    form = plugins.load("artifact", "pickle")
    return "pickle", form.variant(value), form.encode(value)


def _part(
    name: str, form: str, data: bytes, value: Any, fingerprint_of: Callable[[object], str]
) -> tuple[Artifact, bytes]:
    stored = digest(data)
    try:
        logical = fingerprint_of(value)
    except InvalidInput:
        logical = stored
    return Artifact(name=name, digest=stored, fingerprint=logical, format=form, size_bytes=len(data)), data


def _saved(value: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        value.slipway_save(Path(folder))
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
        }
    return archive.pack(files | {_CLASS_FILE: class_path(type(value)).encode()})


def _loaded(data: bytes) -> Any:
    files = archive.read(data)
    if _CLASS_FILE not in files:
        raise Corrupt("A stored object does not say what it is.")
    cls = class_named(files[_CLASS_FILE].decode())
    if not hasattr(cls, "slipway_load"):
        raise Corrupt(f"A stored object names {cls!r}, which cannot load itself any more.")
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        archive.unpack(data, Path(folder))
        Path(folder, _CLASS_FILE).unlink()
        return cls.slipway_load(Path(folder))


def decode(artifacts: Sequence[Artifact], read: Callable[[Artifact], bytes]) -> Any:
    """The value that `encode` wrote.

    Args:
        artifacts: In `encode`'s order.
        read: The bytes of an artifact.

    Raises:
        Corrupt: Bytes are damaged, or a class or library that they need is gone.
        NotFound: Bytes are missing.
    """
    first = artifacts[0]
    if first.format != "json":
        variant = next((kind for form, kind in _DEFAULT_VARIANTS if form == first.format), "")
        return _decode_part(first.format, variant, read(first))
    try:
        written = msgspec.json.decode(read(first))
    except msgspec.DecodeError as problem:
        raise Corrupt(f"The stored value {first.name!r} cannot be read: {problem}.") from problem

    def leaf(place: Any) -> Any:
        number, variant = place
        return _decode_part(artifacts[1 + number].format, variant, read(artifacts[1 + number]))

    return restore(written, leaf)


def _decode_part(form: str, variant: str, data: bytes) -> Any:
    if form not in plugins.names("artifact"):
        return _loaded(data)
    try:
        return plugins.load("artifact", form).decode(data, variant)
    except MissingExtra as problem:
        raise Corrupt(f"A stored value is kept as {form}, which this environment cannot read: {problem}") from problem


def store(blobs: Blobs, encoded: Encoded) -> tuple[Artifact, ...]:
    """Put an encoded value's bytes into the blobs; returns its artifacts."""
    for _, data in encoded.parts:
        blobs.put(data)
    return encoded.artifacts


def load(blobs: Blobs, artifacts: Sequence[Artifact]) -> Any:
    """The value behind artifacts, every byte verified.

    Raises:
        Corrupt: Bytes are damaged, or a class or library that they need is gone.
        NotFound: Bytes are missing.
    """
    return decode(artifacts, lambda artifact: blobs.get(artifact.digest))
