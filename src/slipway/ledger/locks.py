"""The lock of what a process imports: read off what is installed, stored once, and found again by its digest.

A run's record names the lock's digest; the lock is a blob, and so are the wheels that are kept with it: of Slipway, and
of what came from no index and so could not be had again.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path

import msgspec

from slipway.code import imports, project_locks, wheels
from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.ports.blobs import Blobs
from slipway.ports.environments import LOCK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock, LockedPackage
from slipway.records.runs import Environment
from slipway.whole_files import write_whole

__all__ = ["RUNTIME", "decoded", "differences", "environment", "lock_of", "names_of", "present"]

RUNTIME = "slipway"
_PUT_AGAIN_S = 600.0
_WHEEL_BYTES = 100_000_000
_KEPT_FILE = "kept-wheels.json"
_guard = threading.Lock()
_known: dict[tuple[str, imports.Own], tuple[Environment, float]] = {}
_here: dict[imports.Own, tuple[LockedPackage, ...]] = {}
_packed_here: dict[tuple[str, str], tuple[str, bytes]] = {}


def environment(workspace: Workspace) -> Environment:
    """Where the process runs, with the lock of what it imports; the lock is stored the first time.

    Where a server keeps the runs, nothing is stored, and the record itself names the packages.
    """
    code = imports.own()
    if workspace.run_server is not None:
        return _environment(names=tuple(f"{one.name}=={one.version}" for one in _packages(code)))
    key = (str(workspace.root), code)
    found, put_at = _known.get(key, (None, 0.0))
    if found is not None and time.monotonic() - put_at < _PUT_AGAIN_S:
        return found
    lock = present(workspace, code)
    made = _environment(imports=workspace.blobs.put(lock.encoded))
    _known[key] = (made, time.monotonic())
    return made


def present(workspace: Workspace, code: imports.Own | None = None) -> Lock:
    """The lock of what the process's own code imports, as it is installed; wheels that must be kept are stored.

    In an environment that was made from a lock it is that lock.

    Args:
        workspace: Where wheels are kept.
        code: The process's own code; what is loaded now when None.
    """
    made_from = Path(sys.prefix) / LOCK_FILE
    if made_from.is_file():
        return decoded(made_from.read_bytes())
    read: dict[str, wheels.Sources | None] = {}
    packages = _packages(code or imports.own(), read)
    return Lock(
        python=platform.python_version(),
        platform=sysconfig.get_platform(),
        packages=tuple(_with_wheel(workspace, one, read.get(one.name)) for one in packages),
    )


def lock_of(blobs: Blobs, told: Environment | None) -> Lock | None:
    """The lock that a record names, None where it names none: it is from before there were any, or from a server's client.

    Raises:
        NotFound: It is gone.
        Corrupt: It is damaged.
    """
    return decoded(blobs.get(told.imports)) if told is not None and told.imports else None


def names_of(blobs: Blobs, told: Environment | None) -> tuple[str, ...]:
    """What a record says was installed, as "name==version": of its lock where it has one."""
    try:
        lock = lock_of(blobs, told)
    except NotFound:
        lock = None
    return lock.names if lock is not None else () if told is None else told.lock


def differences(blobs: Blobs, before: Environment, after: Environment, *, are_whole: bool = False) -> list[str]:
    """In words, which packages of two records are others: by version, and by their files where both know these.

    What only one of them names is a difference where both say what was installed; a lock says what code imports, and so
    it counts there only where the two locks themselves are compared (`are_whole`).
    """
    old, new = (_by_name(blobs, one) for one in (before, after))
    are_whole = are_whole or (not before.imports and not after.imports)
    absent = ("(absent)", "")
    found = []
    for name in sorted(old.keys() | new.keys() if are_whole else old.keys() & new.keys()):
        (version, content), (now, is_now) = old.get(name, absent), new.get(name, absent)
        if version != now:
            found.append(f"{name} {version} -> {now}")
        elif content and is_now and content != is_now:
            found.append(f"{name} {version}, whose files are others")
    return found


def _by_name(blobs: Blobs, told: Environment) -> dict[str, tuple[str, str]]:
    try:
        lock = lock_of(blobs, told)
    except NotFound:
        lock = None
    if lock is not None:
        return {one.name: (one.version, one.content) for one in lock.packages}
    pinned = (line.partition("==") for line in told.lock)
    return {name: (version, "") for name, _, version in pinned}


def decoded(data: bytes) -> Lock:
    """A lock out of its bytes.

    Raises:
        Corrupt: They are none.
    """
    try:
        return msgspec.json.decode(data, type=Lock)
    except msgspec.DecodeError as problem:
        raise Corrupt(f"A stored lock cannot be read: {problem}.") from problem


def _environment(*, imports: str = "", names: tuple[str, ...] = ()) -> Environment:
    return Environment(python=platform.python_version(), platform=platform.platform(), lock=names, imports=imports)


def _packages(code: imports.Own, read: dict[str, wheels.Sources | None] | None = None) -> tuple[LockedPackage, ...]:
    """What some code needs, as it was when the process first asked; `read` takes the files that were read for it now."""
    with _guard:
        if code not in _here:
            hashes = project_locks.hashes(code.files)
            found = imports.needed(code)
            taken = {} if read is None else read
            taken |= {name: wheels.sources_of(one) for name, one in found.items()}
            _here[code] = tuple(_package(name, one, hashes, taken[name]) for name, one in found.items())
        return _here[code]


def _package(
    name: str,
    found: Distribution,
    hashes: Callable[[str, str], tuple[str, ...]],
    sources: wheels.Sources | None,
) -> LockedPackage:
    version = wheels.about(found).version
    return LockedPackage(
        name=name,
        version=version,
        hashes=hashes(name, version),
        content=wheels.content_of(found, sources=sources),
        origin=wheels.origin_of(found),
    )


def _with_wheel(workspace: Workspace, package: LockedPackage, sources: wheels.Sources | None) -> LockedPackage:
    """The package with its wheel, where it must be kept: no index need have it later."""
    if not package.origin and package.name != RUNTIME:
        return package
    kept = _Kept(workspace)
    known = kept.find(package)
    if known is None:
        file, data = _packed(package, sources)
        if not data or len(data) > _WHEEL_BYTES:
            return package
        known = (workspace.blobs.put(data), file)
        kept.note(package, known)
    return msgspec.structs.replace(package, wheel=known[0], file=known[1])


def _packed(package: LockedPackage, sources: wheels.Sources | None) -> tuple[str, bytes]:
    """The wheel of an installed distribution; none where it is told by its content alone.

    That is so where it is compiled in place, or is no longer what it was when its content was read.
    """
    key = (package.name, package.content)
    if key in _packed_here:
        return _packed_here[key]
    found = wheels.find(package.name)
    if found is not None and sources is None:
        sources = wheels.sources_of(found)
        if wheels.content_of(found, sources=sources) != package.content:
            found = None
    if found is None:
        return "", b""
    try:
        # The first run of a store waits for Slipway's own, which is a few megabytes: compressing takes ten times as long.
        _packed_here[key] = wheels.pack(found, sources=sources, compressed=package.name != RUNTIME)
    except InvalidInput:
        return "", b""
    return _packed_here[key]


class _Kept:
    """Which blob is the wheel of which content: making a wheel again takes longer than all the rest."""

    def __init__(self, workspace: Workspace) -> None:
        self._blobs = workspace.blobs
        self._path = workspace.root / "environments" / _KEPT_FILE

    def find(self, package: LockedPackage) -> tuple[str, str] | None:
        known = self._all().get(f"{package.name} {package.content}")
        return known if known is not None and self._blobs.renew(known[0]) else None

    def note(self, package: LockedPackage, known: tuple[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, msgspec.json.encode(self._all() | {f"{package.name} {package.content}": known}))

    def _all(self) -> dict[str, tuple[str, str]]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, tuple[str, str]])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
