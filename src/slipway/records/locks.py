"""What must be installed to run something again: names, versions, and how to know that it is the same."""

from functools import cached_property

import msgspec
from msgspec import Struct

from slipway.hashing import digest

__all__ = ["INSTALLED", "KeptEnvironment", "Lock", "LockedPackage", "MadeEnvironment"]

INSTALLED = "installed"
"""The source of a lock that was read off what was installed."""


class LockedPackage(Struct, frozen=True, kw_only=True):
    """One distribution of a lock.

    Args:
        name: As indexes compare it: lower case, with hyphens.
        version: Exactly this one.
        marker: Where it counts, as requirements say it: "sys_platform == 'win32'"; "" for everywhere.
        hashes: Of the files that an index has, "sha256:..."; () where nobody knew.
        content: A digest of its installed files, whoever installs it; "" where nobody knew. What is installed from the
            lock is compared with it.
        wheel: The blob digest of the wheel that is kept with the lock, "" where an index has it.
        file: That wheel's file name.
        origin: Where it came from: "" for an index, else "editable", "folder", "archive" or "repository".
    """

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()
    content: str = ""
    wheel: str = ""
    file: str = ""
    origin: str = ""


class Lock(Struct, frozen=True, kw_only=True, dict=True):
    """What must be installed, by name.

    Args:
        python: "3.11.7".
        platform: As `sysconfig.get_platform()` says: "linux-x86_64".
        source: "installed", or the name of the project's file that it was taken from.
        packages: Sorted by name.
    """

    python: str
    platform: str
    source: str = INSTALLED
    packages: tuple[LockedPackage, ...] = ()

    @cached_property
    def encoded(self) -> bytes:
        """The lock as it is stored."""
        return msgspec.json.encode(self)

    @cached_property
    def digest(self) -> str:
        """Of the stored bytes: the same lock has the same one anywhere."""
        return digest(self.encoded)

    @property
    def names(self) -> tuple[str, ...]:
        """The packages as "name==version"."""
        return tuple(f"{one.name}=={one.version}" for one in self.packages)


class MadeEnvironment(Struct, frozen=True, kw_only=True):
    """An interpreter with what a lock names, and nothing else.

    Args:
        lock: The lock's digest.
        folder: Where it lies.
        python: The path of its interpreter.
        version: The interpreter's version: its minor one is the lock's.
        is_new: Whether it was made just now.
    """

    lock: str
    folder: str
    python: str
    version: str
    is_new: bool = False


class KeptEnvironment(Struct, frozen=True, kw_only=True):
    """An environment that lies in the store.

    Args:
        lock: The lock's digest.
        version: The interpreter's version.
        packages: How many distributions it has.
        size_bytes: What it takes on the disk.
        used_at: Seconds since the epoch, machine time: when it was last asked for.
    """

    lock: str
    version: str
    packages: int
    size_bytes: int
    used_at: float
