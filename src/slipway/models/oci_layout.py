"""Container images as an OCI layout in a folder, written without a container engine: the same content, the same digest.

Layers are plain tar archives: what a compressor makes of the same bytes differs between its versions. Entries are sorted,
without times, owners and names of the machine; files are 0644, or 0755 where they may be run.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/ (image-layout.md, manifest.md, config.md, layer.md)
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from slipway.errors import Corrupt, InvalidInput

__all__ = ["Base", "Layer", "read_base", "tar_of_layout", "write_image", "write_layer"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LISTS = (_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_LONG_AGO = "1970-01-01T00:00:00Z"
_REF = "org.opencontainers.image.ref.name"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer among the blobs.

    Args:
        media_type: What kind of archive it is.
        digest: Of its bytes, "sha256:...".
        size: Of its bytes.
        diff_id: The digest of the archive without compression.
        made_by: What its history says.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """An image that others are put on.

    Args:
        folder: Its layout.
        digest: Of its manifest.
        platform: "linux/amd64".
        layers: Lowest first.
        config: What containers of it are started with: Env, WorkingDir and so on.
        history: Its history's entries.
    """

    folder: Path
    digest: str
    platform: str
    layers: tuple[Layer, ...]
    config: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def names(self) -> Iterator[str]:
        """The paths in its layers, lowest first, without a leading slash; those that a later layer removes too.

        Raises:
            Corrupt: A layer cannot be read.
        """
        for layer in self.layers:
            path = _blob(self.folder, layer.digest)
            try:
                with tarfile.open(path, "r:*") as archive:
                    yield from (member.name.removeprefix("./").lstrip("/") for member in archive)
            except (OSError, tarfile.TarError, EOFError) as problem:
                raise Corrupt(f"The layer {path} cannot be read: {problem}.") from problem


def read_base(folder: Path, platform: str) -> Base:
    """Read an image out of a layout: the one image in it, or the one for a platform.

    Args:
        folder: The layout, such as `skopeo copy docker://IMAGE oci:FOLDER` writes it.
        platform: "linux/amd64".

    Raises:
        InvalidInput: There is no layout, no image for the platform, or several.
        Corrupt: A blob is missing or altered.
    """
    if not (folder / "index.json").is_file():
        raise InvalidInput(
            f"{folder} is no OCI layout: it has no index.json.",
            fix="Write one: skopeo copy docker://python:3.11-slim oci:FOLDER:latest",
            field="base",
        )
    found = list(_images(folder, _json((folder / "index.json").read_bytes(), folder / "index.json")))
    fitting = [one for one in found if _platform(one[2]) == platform]
    if len(fitting) != 1:
        there = ", ".join(sorted(_platform(config) for _, _, config in found)) or "nothing"
        raise InvalidInput(
            f"{folder} has {len(fitting) or 'no'} images for {platform}.",
            why=f"It holds: {there}.",
            fix=f"Copy one for it: skopeo --override-arch {platform.rpartition('/')[2]} copy docker://IMAGE oci:FOLDER:latest",
            field="base",
        )
    digest, manifest, config = fitting[0]
    layers = tuple(
        Layer(one["mediaType"], one["digest"], one["size"], diff_id)
        for one, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    )
    return Base(folder, digest, platform, layers, config.get("config") or {}, tuple(config.get("history") or ()))


def write_layer(layout: Path, files: Mapping[str, Path | bytes], *, made_by: str) -> Layer:
    """Write a layer of files into a layout's blobs.

    Args:
        layout: The layout's folder.
        files: By their absolute path in the image, without a leading slash; folders come about by themselves.
        made_by: What the history says of it.
    """
    folder = layout / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".layer.part"
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents} - {"."}
    with part.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted({*folders, *files}):
            entry = tarfile.TarInfo(name)
            if name not in files:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
                continue
            source = files[name]
            if isinstance(source, bytes):
                entry.mode, entry.size = 0o644, len(source)
                archive.addfile(entry, io.BytesIO(source))
                continue
            about = source.stat()
            entry.mode, entry.size = 0o755 if about.st_mode & 0o100 else 0o644, about.st_size
            with source.open("rb") as content:
                archive.addfile(entry, content)
    digest, size = _digest(part), part.stat().st_size
    part.rename(_blob(layout, digest))
    return Layer(_LAYER, digest, size, digest, made_by)


def write_image(
    layout: Path, layers: Iterable[Layer], *, platform: str, config: Mapping[str, Any], tag: str, base: Base | None = None,
    labels: Mapping[str, str],
) -> str:  # fmt: skip
    """Write configuration, manifest and index over layers that lie in a layout; returns the manifest's digest.

    Args:
        layout: The layout's folder.
        layers: The image's own layers, lowest first.
        platform: "linux/amd64".
        config: What containers are started with; what it does not say is the base's.
        tag: The image's name in the layout.
        base: What it is put on: its layers are copied.
        labels: What is said of it.

    Raises:
        Corrupt: A layer of the base is missing or altered.
    """
    own, below = tuple(layers), base.layers if base else ()
    for layer in below:
        assert base is not None
        _copy(base.folder, layout, layer.digest)
    system, _, architecture = platform.partition("/")
    started = {**(base.config if base else {}), **config}
    environment = [*(base.config.get("Env") or () if base else ()), *config.get("Env", ())]
    started["Env"] = list({one.partition("=")[0]: one for one in environment}.values())
    started["Labels"] = {**((base.config.get("Labels") or {}) if base else {}), **labels}
    told = {
        "created": _LONG_AGO,
        "architecture": architecture,
        "os": system,
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in (*below, *own)]},
        "history": [
            *(base.history if base else ()),
            *({"created": _LONG_AGO, "created_by": one.made_by} for one in own),
        ],
    }
    notes = dict(labels) | ({"org.opencontainers.image.base.digest": base.digest} if base else {})
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _put(layout, told, _CONFIG),
        "layers": [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in (*below, *own)],
        "annotations": notes,
    }
    described = _put(layout, manifest, _MANIFEST)
    (layout / "oci-layout").write_bytes(_encoded({"imageLayoutVersion": "1.0.0"}))
    entry = {**described, "annotations": {_REF: tag}, "platform": {"architecture": architecture, "os": system}}
    (layout / "index.json").write_bytes(_encoded({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}))
    return str(described["digest"])


def tar_of_layout(layout: Path, path: Path) -> None:
    """Write a layout as one archive, as `skopeo` and `podman load` take it under the name oci-archive."""
    files = sorted(one for one in layout.rglob("*") if one.is_file())
    with path.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in files:
            entry = tarfile.TarInfo(one.relative_to(layout).as_posix())
            entry.mode, entry.size = 0o644, one.stat().st_size
            with one.open("rb") as content:
                archive.addfile(entry, content)


def _images(folder: Path, index: Any) -> Iterator[tuple[str, Any, Any]]:
    """The images of an index, and of those that it names: digest, manifest, configuration."""
    for one in index.get("manifests", ()):
        found = _json(_read(folder, one["digest"]), folder)
        if one.get("mediaType") in _LISTS:
            yield from _images(folder, found)
        elif "layers" in found and not (one.get("annotations") or {}).get("vnd.docker.reference.type"):
            yield one["digest"], found, _json(_read(folder, found["config"]["digest"]), folder)


def _platform(config: Any) -> str:
    return f"{config.get('os', '?')}/{config.get('architecture', '?')}"


def _blob(layout: Path, digest: str) -> Path:
    kind, _, hexadecimal = digest.partition(":")
    if kind != "sha256" or len(hexadecimal) != 64 or not hexadecimal.isalnum():
        raise Corrupt(f"{layout} names a blob {digest!r}, which is no SHA-256 digest.")
    return layout / "blobs" / "sha256" / hexadecimal


def _read(layout: Path, digest: str) -> bytes:
    try:
        data = _blob(layout, digest).read_bytes()
    except OSError as problem:
        raise Corrupt(f"{layout} names a blob that cannot be read: {problem}.") from problem
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise Corrupt(f"The blob {digest[:19]} in {layout} is altered.")
    return data


def _copy(source: Path, layout: Path, digest: str) -> None:
    target = _blob(layout, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(_blob(source, digest), target)
    except OSError as problem:
        raise Corrupt(f"A layer of the base image cannot be read: {problem}.") from problem
    if _digest(target) != digest:
        raise Corrupt(f"The layer {digest[:19]} of the base image {source} is altered.")


def _put(layout: Path, value: Any, media_type: str) -> dict[str, Any]:
    data = _encoded(value)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = _blob(layout, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _json(data: bytes, where: Path) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, OSError) as problem:
        raise Corrupt(f"{where} holds what cannot be read: {problem}.") from problem


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"
