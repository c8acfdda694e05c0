"""Which of the folders on one ledger this is: what is counted and looked after for a folder is called by its name."""

import os
from pathlib import Path

from slipway.ids import new_id

__all__ = ["folder_id"]

_FILE = "folder.id"


def folder_id(root: Path) -> str:
    """The name of a store's folder; it gets one when it is first asked.

    Args:
        root: The folder; made when it is missing.
    """
    path = root / _FILE
    if not path.exists():
        made = new_id()
        root.mkdir(parents=True, exist_ok=True)
        part = root / f".{made}.part"
        with part.open("x") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # whoever is first: it appears whole, and nobody's is replaced
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text()
