"""A trigger: a file arrived, or has other content than before."""

from datetime import datetime
from pathlib import Path

from slipway.errors import Unavailable
from slipway.hashing import digest_file


def file_arrived(now: datetime, path: str) -> str:
    """The digest of the file's content; "" while there is no such file."""
    file = Path(path)
    if not file.parent.is_dir():
        raise Unavailable(
            f"{file.parent} is not there, so nobody can tell whether {file.name} arrived.",
            fix="Mount it, or correct the path.",
        )
    return digest_file(file)[:32] if file.is_file() else ""
