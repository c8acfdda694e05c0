"""Files that a record names: paths inside it, and what lies in a folder of them.

The bytes are blobs under their digest. A path is only a name in the record, never a place on the server's disk.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from slipway.errors import InvalidInput
from slipway.records.runs import Artifact

__all__ = ["check_path", "in_the_way", "listed", "replaced", "without"]

_LENGTH = 4000


def check_path(path: str) -> str:
    """Check the path of a file inside a record.

    Raises:
        InvalidInput: It is empty, absolute, leads elsewhere or holds what is no part of a name.
    """
    parts = path.split("/")
    bad = any(part in ("", ".", "..") for part in parts) or any(ord(each) < 32 or each == "\x7f" for each in path)
    if bad or "\\" in path or len(path) > _LENGTH:
        raise InvalidInput(
            f"{path[:80]!r} cannot be the path of an artifact.",
            why="It is a relative path with forward slashes that leads nowhere else.",
            fix="For example 'plots/roc.png'.",
            field="path",
        )
    return path


def replaced(files: Iterable[Artifact], stored: Artifact) -> tuple[Artifact, ...]:
    """The files with one more; one of the same path gives way.

    Raises:
        InvalidInput: A file stands where the path needs a folder, or the other way round.
    """
    others = tuple(file for file in files if file.name != stored.name)
    above = {str(parent) for parent in PurePosixPath(stored.name).parents}
    for file in others:
        if file.name in above or file.name.startswith(f"{stored.name}/"):
            raise in_the_way(stored.name, file.name)
    return (*others, stored)


def in_the_way(path: str, other: str) -> InvalidInput:
    """What to say of a path that needs a folder where a file stands, or the other way round."""
    return InvalidInput(
        f"{path!r} cannot be stored beside {other!r}.",
        why="One of them would be a file and a folder at once.",
        fix="Choose another name.",
        field="path",
    )


def without(files: Iterable[Artifact], path: str) -> tuple[Artifact, ...]:
    """The files but one, or but all in a folder; all of them go for ""."""
    if not path:
        return ()
    return tuple(file for file in files if file.name != path and not file.name.startswith(f"{path}/"))


def listed(files: Iterable[Artifact], folder: str) -> list[tuple[str, int | None]]:
    """What lies in a folder, by path: each with its size, None for a folder. A file lists itself."""
    found: dict[str, int | None] = {}
    begin = f"{folder}/" if folder else ""
    for file in files:
        if file.name == folder:
            return [(file.name, file.size_bytes)]
        if file.name.startswith(begin):
            head, slash, _ = file.name[len(begin) :].partition("/")
            found[begin + head] = None if slash else file.size_bytes
    return sorted(found.items())
