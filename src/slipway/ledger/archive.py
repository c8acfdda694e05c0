"""Several files as one run of bytes that depends on nothing but their names and content."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from slipway.errors import Corrupt

__all__ = ["check_inside", "pack", "read", "unpack"]

_OLD = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files by relative path, as an uncompressed zip: sorted, without times, owners or modes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _OLD)
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return sink.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """The files by relative path.

    Raises:
        Corrupt: It is no archive, or a path in it leads outside.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as problem:
        raise Corrupt(f"A stored archive cannot be read: {problem}.") from problem
    for name in files:
        check_inside(name)
    return files


def check_inside(name: str) -> None:
    """See that a relative path leads nowhere outside.

    Raises:
        Corrupt: It may.
    """
    if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
        raise Corrupt(f"A stored archive holds a file {name!r}, which would lie outside its folder.")


def unpack(data: bytes, folder: Path) -> None:
    """Write the files below a folder.

    Raises:
        Corrupt: It is no archive, or a path in it leads outside.
    """
    for name, content in read(data).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
