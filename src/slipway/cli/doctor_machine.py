"""What `slipway doctor` looks at that belongs to the machine: file system, SQLite, clock, port, /proc, which installation."""

import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

__all__ = ["PORT", "Diagnosis", "installation", "machine", "place"]

PORT = 8300
_LEAST_SQLITE = (3, 35)
"""The first that answers an INSERT with what it wrote."""
_LOW_BYTES = 1 << 30
_FEW_FILES = 1024
_SKEW_S = 5.0


class Diagnosis(Struct, frozen=True):
    """What was looked at, whether it is well, what was found, and what to do where it is not.

    An optional part that is missing is well, too: `found` says so.
    """

    about: str
    is_well: bool
    found: str
    remedy: str = ""


def machine(port: int = PORT) -> Iterator[Diagnosis]:
    """Look at what has nothing to do with any project: the port of `slipway up`, /proc, open files, temporary files."""
    yield _port(port)
    yield _proc(Path("/proc"))
    yield _files()
    yield _temporary()


def place(folder: Path) -> Iterator[Diagnosis]:
    """Look at where a store lies, or would be made: may one write there, is there room, does SQLite's log work, which time is it.

    Args:
        folder: The store's folder; the nearest one above it that exists is looked at, and left as it was.
    """
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    yield _space(there)
    try:
        with tempfile.TemporaryDirectory(prefix=".slipway-doctor-", dir=there) as found:
            yield Diagnosis("writing", True, f"{there} can be written")
            yield _sqlite(Path(found))
            yield _clock(Path(found))
    except OSError as problem:
        remedy = f"Let your user write there (ls -ld {there}), or set `store` in slipway.toml to another folder."
        yield Diagnosis("writing", False, f"{there} cannot be written: {problem.strerror}", remedy)


def installation(prefix: str = sys.prefix) -> Diagnosis:
    """Whether the `slipway` that a terminal finds is the one that answers here."""
    found = shutil.which("slipway")
    own = Path(prefix) / "bin" / "slipway"
    if found is None:
        remedy = f"Add it to your PATH: export PATH={own.parent}:$PATH"
        return Diagnosis("command", True, "no `slipway` is on the PATH, this one was started by its path", remedy)
    if Path(found).resolve() != own.resolve() and own.exists():
        remedy = f"Activate the environment you mean: source {own.parent}/activate"
        return Diagnosis("command", True, f"`slipway` is {found}, and this is that of {prefix}", remedy)
    return Diagnosis("command", True, f"`slipway` is {found}")


def _port(port: int) -> Diagnosis:
    about = f"port {port}"
    with closing(socket.socket()) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as problem:
            remedy = "If that is not your own `slipway up`, give it another: slipway up --port 0"
            return Diagnosis(about, True, f"it is taken ({problem.strerror}), perhaps by a server of Slipway's", remedy)
    return Diagnosis(about, True, "free for `slipway up`")


def _proc(proc: Path) -> Diagnosis:
    try:
        (proc / str(os.getpid()) / "stat").read_text()
        (proc / "meminfo").read_text()
    except OSError as problem:
        if sys.platform != "linux":
            found = "there is none on this system, so memory and dead processes are told less exactly"
            return Diagnosis("/proc", True, found)
        remedy = "Mount it: mount -t proc proc /proc; in a container leave it readable for its user."
        return Diagnosis("/proc", False, f"it cannot be read: {problem.strerror}", remedy)
    return Diagnosis("/proc", True, "it can be read")


def _files() -> Diagnosis:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FEW_FILES:
        remedy = f"Raise it where endpoints are started: ulimit -n {_FEW_FILES}"
        return Diagnosis("open files", False, f"{soft} at once, and each caller takes one", remedy)
    return Diagnosis("open files", True, "any number at once" if soft < 0 else f"{soft:,} at once")


def _temporary() -> Diagnosis:
    try:
        with tempfile.TemporaryFile():
            return Diagnosis("temporary files", True, f"{tempfile.gettempdir()} can be written")
    except OSError as problem:
        remedy = "Name a folder that can be written: export TMPDIR=..."
        return Diagnosis("temporary files", False, f"none can be made: {problem.strerror}", remedy)


def _space(there: Path) -> Diagnosis:
    free = shutil.disk_usage(there).free
    is_well = free >= _LOW_BYTES
    remedy = "" if is_well else "Free some space: tables, bundles and logs are kept in the store."
    return Diagnosis("disk", is_well, f"{free / 1e9:,.1f} GB free at {there}", remedy)


def _sqlite(folder: Path, version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Diagnosis:
    words = ".".join(map(str, version))
    if version < _LEAST_SQLITE:
        remedy = f"Use a Python whose SQLite is {'.'.join(map(str, _LEAST_SQLITE))} or newer."
        return Diagnosis("SQLite", False, f"{words} is too old", remedy)
    path = folder / "tried.db"
    try:
        with closing(sqlite3.connect(path)) as writer, closing(sqlite3.connect(path)) as reader:
            (mode,) = writer.execute("PRAGMA journal_mode=WAL").fetchone()
            with writer:
                writer.execute("CREATE TABLE tried (number)")
            reader.execute("SELECT count(*) FROM tried").fetchone()
            found = "" if mode == "wal" else f"it writes no log ahead there, but {mode}"
    except sqlite3.Error as problem:
        found = str(problem)
    if found:
        remedy = "Put the store on a local disk, for network file systems cannot share memory; or set `ledger` to PostgreSQL: docs/production.md"
        return Diagnosis("SQLite", False, f"{words} does not work on this file system: {found}", remedy)
    return Diagnosis("SQLite", True, f"{words}, with its log written ahead on this file system")


def _clock(folder: Path, now: float | None = None) -> Diagnosis:
    path = folder / "now"
    path.write_bytes(b"")
    now = time.time() if now is None else now
    apart = path.stat().st_mtime - now
    if abs(apart) > _SKEW_S:
        ahead = "ahead of" if apart > 0 else "behind"
        remedy = "Set the time of both by NTP (timedatectl): schedules, labels and leases go by it."
        return Diagnosis("clock", False, f"the file system is {abs(apart):,.0f} s {ahead} this machine", remedy)
    return Diagnosis("clock", True, f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC, as the file system's")
