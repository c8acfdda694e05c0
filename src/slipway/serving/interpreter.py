"""What an endpoint's own interpreter had installed when its process started: who runs in it need no other environment."""

import os
import platform
from pathlib import Path

import msgspec
from msgspec import Struct

from slipway.code import wheels
from slipway.records.locks import Lock

__all__ = ["Base", "installed", "read_base", "write_base"]

_FILE = "interpreter.json"


class Base(Struct, frozen=True):
    """An interpreter and what it has.

    Args:
        python: Its version.
        packages: The version of each installed distribution by name.
    """

    python: str
    packages: dict[str, str]

    def lacks(self, lock: Lock, *, besides: str) -> str:
        """What keeps this interpreter from being what a lock names, in words; "" for nothing.

        Args:
            lock: What is wanted.
            besides: A package that may be another.
        """
        if self.python.split(".")[:2] != lock.python.split(".")[:2]:
            return f"Python {lock.python}, and here is {self.python}"
        for wanted in lock.packages:
            here = self.packages.get(wanted.name, "")
            if wanted.name == besides or here == wanted.version or (wanted.marker and not here):
                continue
            return f"{wanted.name} {wanted.version}, and here is {here or 'none'}"
        return ""


def installed() -> Base:
    """What this process's interpreter has now."""
    found: dict[str, str] = {}
    for distribution in wheels.installed():
        about = wheels.about(distribution)
        found.setdefault(wheels.normal(about.name), about.version)
    return Base(platform.python_version(), found)


def write_base(folder: Path) -> None:
    """Say in an endpoint's folder what the process that runs it has.

    Raises:
        OSError: The file system failed.
    """
    part = folder / f".{_FILE}.{os.getpid()}.part"
    part.write_bytes(msgspec.json.encode(installed()))
    part.rename(folder / _FILE)


def read_base(folder: Path) -> Base | None:
    """What the process that runs an endpoint has; None where none ever said."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Base)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
