"""A distribution as it is installed: what its files are, and the same as a wheel that can be installed again.

No network is needed for either: the files lie here, and its own `RECORD` says which they are.
"""

import base64
import csv
import hashlib
import io
import json
import os
import re
import site
import sys
import zipfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from slipway.errors import InvalidInput
from slipway.hashing import digest

__all__ = [
    "About",
    "Sources",
    "about",
    "altered",
    "content_of",
    "files_of",
    "find",
    "installed",
    "normal",
    "origin_of",
    "pack",
    "sources_of",
]

Sources = dict[str, tuple[bytes, str]]
"""The files that a wheel would hold, by name: what is in each, and its hash as records write it."""

_OLD = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
# What an installer writes: it says how it was installed, not what.
_INSTALLERS = frozenset(
    {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json", "WHEEL"}
)
_PURE = b"Wheel-Version: 1.0\nGenerator: slipway\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class About(NamedTuple):
    """The head of a distribution's metadata: its own spelling of its name, its version, what it requires, as text."""

    name: str
    version: str
    requires: tuple[str, ...]


def normal(name: str) -> str:
    """A distribution's name as indexes compare it: "Foo.Bar_baz" is "foo-bar-baz"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find(name: str, path: str = "") -> Distribution | None:
    """The installed distribution of a name, the first one on the path; None where there is none.

    Args:
        name: Its name.
        path: The one folder to look in, "" for all where this process's distributions are; see `installed`.
    """
    places = (path,) if path else _places(tuple(sys.path))
    found = (_named(name, place, _changed(place)) for place in places)
    return next((one for one in found if one is not None), None)


@lru_cache(maxsize=16_384)
def _named(name: str, place: str, changed: int) -> Distribution | None:
    return next(iter(distributions(name=name, path=[place])), None)


def installed() -> list[Distribution]:
    """Every distribution that this process can import and that was installed, in the order of the path.

    What a library carries inside itself and puts on the path when it is imported, as Ray does with colorama and psutil,
    is of that library's version: whether it was imported before this is asked must not change the answer.
    """
    return [one for place in _places(tuple(sys.path)) for one in _those(place, _changed(place))]


@lru_cache(maxsize=64)  # a folder each: the one of a project changes often, that of the libraries seldom
def _those(place: str, changed: int) -> tuple[Distribution, ...]:
    return tuple(distributions(path=[place]))


def _changed(place: str) -> int:
    """When what lies in a folder was last made or removed; whoever installs something does one of the two."""
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _places(path: tuple[str, ...]) -> tuple[str, ...]:
    roots = [os.path.realpath(root) + os.sep for root in site.getsitepackages()]
    return tuple(one for one in path if not os.path.realpath(one).startswith(tuple(roots)))


@lru_cache(maxsize=4096)
def about(found: Distribution) -> About:
    """The head of its metadata. Only the head is read: a description may be long."""
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or found.read_text("") or ""
    head = text.partition("\n\n")[0]
    fields: dict[str, list[str]] = {}
    for line in head.splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line[:1].isspace():
            fields.setdefault(key.lower(), []).append(value.strip())
    name, version = (fields.get(key, [""])[0] for key in ("name", "version"))
    return About(name, version, tuple(fields.get("requires-dist", ())))


def origin_of(found: Distribution) -> str:
    """Where it came from: "" for an index; "editable", "folder", "archive" or "repository" for another place."""
    told = found.read_text("direct_url.json")
    if told is None:
        return ""
    origin = json.loads(told)
    if "dir_info" in origin:
        return "editable" if origin["dir_info"].get("editable") else "folder"
    return "repository" if "vcs_info" in origin else "archive"


def sources_of(found: Distribution, modules: tuple[str, ...] = ()) -> Sources | None:
    """The files of an editable one as they are now, None for any other: what those are, their record says.

    Args:
        found: The distribution.
        modules: Its top-level modules, beside those that its name tells.
    """
    if origin_of(found) != "editable":
        return None
    return {name: (data, _hash(data)) for name, data in _editable(found, modules)}


def content_of(found: Distribution, modules: tuple[str, ...] = (), *, sources: Sources | None = None) -> str:
    """A digest of what its files are: the same wherever and by whatever it is installed, "" where nobody knows them.

    Its own record is read, not the files; those of an editable one are.

    Args:
        found: The distribution.
        modules: See `sources_of`.
        sources: What `sources_of` gave, where they were read already.
    """
    if sources is None:
        sources = sources_of(found, modules)
    if sources is not None:
        lines = [f"{name} {known}" for name, (_, known) in sources.items() if not _is_installers(name)]
    else:
        lines = [f"{name} {known}" for name, known, _ in _recorded(found) if not _is_outside(name)]
    return digest("\n".join(sorted(lines)).encode()) if lines else ""


def files_of(found: Distribution) -> frozenset[str]:
    """All files that its record lists, relative to the folder where it is installed."""
    return frozenset(row[0] for row in _rows(found) if row)


def altered(found: Distribution, *, is_read: bool = True) -> str:
    """The first of its files that is not what its record says, "" where all are.

    Args:
        found: The distribution.
        is_read: Whether the files are read; otherwise only their sizes count.
    """
    for name, known, size in _recorded(found):
        path = Path(str(found.locate_file(name)))
        try:
            if size and path.stat().st_size != int(size):
                return name
            if is_read and known and _hash(path.read_bytes()) != known:
                return name
        except FileNotFoundError:
            return name
    return ""


def pack(found: Distribution, *, sources: Sources | None = None, compressed: bool = False) -> tuple[str, bytes]:
    """The distribution as a wheel: its file's name and its bytes. The same content gives the same bytes.

    Args:
        found: The distribution.
        sources: See `content_of`.
        compressed: Whether it shall be small rather than quick.

    Raises:
        InvalidInput: Its files are not known, or one of them was altered since it was installed.
    """
    told = about(found)
    stem = f"{re.sub(r'[-_.]+', '_', told.name)}-{told.version}"
    tag = "py3-none-any"
    if sources is None:
        sources = sources_of(found)
    if sources is None:
        sources, tag = dict(_installed(found, f"{stem}.data")), _tag(found.read_text("WHEEL") or "")
    elif binary := [name for name in sources if name.endswith((".so", ".pyd"))]:
        raise _unknown(told.name, f"it is installed in editable form and holds compiled code ({binary[0]})")
    info = next((name.partition("/")[0] for name in sources if name.endswith(".dist-info/METADATA")), None)
    if info is None:
        raise _unknown(told.name, "nobody recorded which files are its own")
    files = sorted(sources.items())
    lines = [f"{name},{known},{len(data)}" for name, (data, known) in files]
    record = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, (data, _) in sorted([*files, (f"{info}/RECORD", (record, ""))]):
            entry = zipfile.ZipInfo(name, _OLD)
            entry.create_system = _UNIX
            entry.external_attr = (0o100755 if ".data/scripts/" in name else 0o100644) << 16
            entry.compress_type = archive.compression
            archive.writestr(entry, data)
    return f"{stem}-{tag}.whl", sink.getvalue()


def _unknown(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The installed {name} cannot be made a wheel: {why}.",
        fix=f"Install it from a wheel: pip install --force-reinstall {name}",
    )


def _hash(data: bytes) -> str:
    """As records write it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _is_installers(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder.endswith(".dist-info") and file in _INSTALLERS


def _is_outside(name: str) -> bool:
    return name.startswith(("..", "/"))


def _recorded(found: Distribution) -> Iterator[tuple[str, str, str]]:
    """What its record lists, without what installers write: name, hash and size, "" where it does not say."""
    for row in _rows(found):
        if len(row) == 3 and not row[0].endswith(".pyc") and not _is_installers(row[0]):
            yield row[0], row[1], row[2]


def _rows(found: Distribution) -> Iterable[list[str]]:
    lines = (found.read_text("RECORD") or "").splitlines()
    if any('"' in line for line in lines):
        return csv.reader(lines)
    return (line.split(",") for line in lines if line)  # the same in a third of the time


def _installed(found: Distribution, data_folder: str) -> Iterator[tuple[str, tuple[bytes, str]]]:
    made = {entry.name for entry in found.entry_points if entry.group in ("console_scripts", "gui_scripts")}
    site = Path(str(found.locate_file("")))
    wheel = found.read_text("WHEEL")
    for name, known, _ in _recorded(found):
        path = Path(str(found.locate_file(name)))
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise _unknown(str(found.metadata["Name"]), f"its file {name} is gone") from problem
        if (hashed := _hash(data)) != known and known:
            raise _unknown(str(found.metadata["Name"]), f"its file {name} was altered since it was installed")
        if not _is_outside(name):
            yield name, (data, hashed)
            if wheel is not None and name.endswith(".dist-info/METADATA"):
                yield name.replace("/METADATA", "/WHEEL"), (wheel.encode(), _hash(wheel.encode()))
        elif path.parent.name in ("bin", "Scripts"):
            if path.name.removesuffix(".exe") not in made:  # those of entry points are made by the installer
                data = re.sub(rb"\A#!.*python[\d.]*", b"#!python", data)
                yield f"{data_folder}/scripts/{path.name}", (data, _hash(data))
        elif (place := os.path.relpath(path, sys.prefix)) and not place.startswith(".."):
            yield f"{data_folder}/data/{Path(place).as_posix()}", (data, hashed)
        else:
            raise _unknown(str(found.metadata["Name"]), f"its file {name} lies outside {site}")


def _editable(found: Distribution, modules: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The files that a wheel of its present sources would hold."""
    for name, _, _ in _recorded(found):
        if ".dist-info/" in name:
            yield name, Path(str(found.locate_file(name))).read_bytes()
            if name.endswith(".dist-info/METADATA"):
                yield name.replace("/METADATA", "/WHEEL"), _PURE
    told = (found.read_text("top_level.txt") or "").split()
    for top in sorted({*modules, *told, str(found.metadata["Name"]).replace("-", "_")}):
        try:
            spec = find_spec(top) if top.isidentifier() else None
        except (ImportError, ValueError):  # it is loaded without saying from where
            continue
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from _below(Path(place), top)
        if spec and spec.origin and not spec.submodule_search_locations and spec.origin.endswith(".py"):
            yield Path(spec.origin).name, Path(spec.origin).read_bytes()


def _below(folder: Path, top: str) -> Iterator[tuple[str, bytes]]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        inside = "/".join((top, *Path(place).relative_to(folder).parts))
        for name in sorted(names):
            if not name.endswith(".pyc"):
                with open(os.path.join(place, name), "rb", buffering=0) as file:
                    yield f"{inside}/{name}", file.readall()


def _tag(wheel: str) -> str:
    """A wheel's tags in one, as its file's name has them."""
    tags = [line.partition(": ")[2].strip().split("-") for line in wheel.splitlines() if line.startswith("Tag: ")]
    whole = [tag for tag in tags if len(tag) == 3]
    if not whole:
        return "py3-none-any"
    return "-".join(".".join(dict.fromkeys(tag[part] for tag in whole)) for part in range(3))
