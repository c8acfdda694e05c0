"""Which of the folders on one ledger this is: what is counted and looked after for a folder is called by its name."""

import os
from functools import lru_cache
from pathlib import Path

from slipway.ids import new_id
from slipway.whole_files import write_once

__all__ = ["folder_id", "is_store"]

_FILE = "folder.id"


def is_store(folder: Path) -> bool:
    """Whether a folder is a store's: one that something was kept in."""
    return (folder / _FILE).exists() or (folder / "ledger.db").exists()


def folder_id(root: Path) -> str:
    """The name of a store's folder; it gets one when it is first asked.

    Args:
        root: The folder; made when it is missing.
    """
    path = f"{root}{os.sep}{_FILE}"
    try:
        found = os.stat(path)
    except FileNotFoundError:
        root.mkdir(parents=True, exist_ok=True)
        write_once(Path(path), new_id().encode())
        found = os.stat(path)
    return _read(path, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _read(path: str, _file: int, _changed_ns: int) -> str:
    return Path(path).read_text()
