"""A lock file of a project: what its code imports, as it is installed, with the hashes that an index has."""

from __future__ import annotations

from pathlib import Path

from slipway.code import project_locks
from slipway.errors import InvalidInput
from slipway.hosts.project import Project
from slipway.ledger import locks
from slipway.pipelines import isolation
from slipway.whole_files import write_whole

__all__ = ["write_lock"]


def write_lock(project: Project, name: str) -> tuple[Path, int]:
    """Write a project's lock file; returns its path and how many packages it names.

    What came from no index, Slipway itself if need be, is left out: its wheel is kept with each run.

    Args:
        project: The project; its module is imported.
        name: The file's name, one of those that are looked for.

    Raises:
        InvalidInput: The file would not be found by that name, or another lock file would be found first.
        NotFound: The index has not all of it, or cannot be reached.
        MissingExtra: uv is not installed.
    """
    written = tuple(one for one in project_locks.FILES if one.startswith("requirements"))
    if name not in written:
        raise InvalidInput(
            f"A lock file {name!r} would not be found.", fix=f"It is called {' or '.join(written)}.", field="output"
        )
    present = project_locks.find(project.folder)
    if present is not None and project_locks.FILES.index(present.name) < project_locks.FILES.index(name):
        raise InvalidInput(
            f"The project has a lock file already, {present.name}, which counts before {name}.",
            fix=f"Write that one anew with the program that made it, or remove it: rm {present}",
        )
    project.module()
    lock = locks.present(project.workspace)
    from_index = tuple(one for one in lock.packages if not one.origin)
    text = isolation.opened(project.workspace).with_hashes(from_index, lock.python)
    path = project.folder / name
    head = (
        "# What the project's code imports. Written by `slipway env lock`; install it with `slipway run --isolated`.\n"
    )
    write_whole(path, (head + text).encode())
    return path, len(from_index)
