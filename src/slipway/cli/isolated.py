"""A command once more, under an interpreter of its own: what it can import is what a lock says."""

from __future__ import annotations

import os
import sys

from slipway.cli.door import Way
from slipway.records.locks import MadeEnvironment

__all__ = ["again_isolated", "environment_of"]

OPTION = "--isolated"


def environment_of(way: Way) -> MadeEnvironment:
    """The environment in which a project runs isolated: of its lock file, or else of what its code imports here.

    Raises:
        MissingExtra: uv is not installed.
        NotFound: A package cannot be found from here.
        InvalidInput: The project's lock file does not fit, or the store is behind a server.
    """
    from slipway.code import project_locks
    from slipway.ledger import locks
    from slipway.pipelines import isolation

    with way.open() as door:
        workspace, folder = door.workspace, door.project.folder
        path = project_locks.find(folder)
        if path is not None:
            lock = isolation.wanted(workspace, path)
            workspace.say(f"The lock is {path.name}: {len(lock.packages)} packages, {lock.digest[:12]}.")
        else:
            door.project.module()
            lock = locks.present(workspace)
            workspace.say(
                f"There is no lock file in {folder}: the lock is what the project's code imports as it is installed "
                f"here, {len(lock.packages)} packages, {lock.digest[:12]}."
            )
        made = isolation.made(workspace, lock)
        told = "made" if made.is_new else "was there already"
        workspace.say(f"The environment {made.lock[:12]} {told}: Python {made.version}, {made.folder}.")
        return made


def again_isolated(way: Way) -> None:
    """Make the environment and become the same command in it; this process's interpreter is gone then."""
    made = environment_of(way)
    words = [word for word in sys.argv[1:] if word != OPTION]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment["VIRTUAL_ENV"] = made.folder
    environment["PATH"] = os.pathsep.join([f"{made.folder}/bin", environment.get("PATH", os.defpath)])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # nobody writes into an environment
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(made.python, [made.python, "-P", "-m", "slipway", *words], environment)
