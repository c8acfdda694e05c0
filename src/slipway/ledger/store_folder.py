"""Which of the folders on one ledger this is: what is counted and looked after for a folder is called by its name."""

from pathlib import Path

from slipway.ids import new_id
from slipway.ledger.whole_files import write_once

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
    path = root / _FILE
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        write_once(path, new_id().encode())
    return path.read_text()
