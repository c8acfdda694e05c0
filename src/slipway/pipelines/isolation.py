"""An interpreter of a run's own: its environment made from a lock, below the store's folder."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from slipway import plugins
from slipway.ports.environments import HELD_FILE, LOCK_FILE, Environments
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock, MadeEnvironment

__all__ = ["FOLDER", "hold", "made", "opened"]

FOLDER = "environments"
"""Where a store keeps environments, each under the digest of its lock."""


def opened(workspace: Workspace) -> Environments:
    """What makes and keeps the environments of a workspace's store.

    Raises:
        MissingExtra: uv is not installed.
    """
    found: Environments = plugins.load("environments", "uv")(workspace.root / FOLDER, workspace.say)
    return found


def made(workspace: Workspace, lock: Lock, *, is_checked: bool = False) -> MadeEnvironment:
    """The environment of a lock, with the wheels that are kept in the workspace's blobs; see `Environments.make`.

    Raises:
        MissingExtra: uv is not installed.
        NotFound: A package, a kept wheel or the Python version cannot be found from here.
        InvalidInput: The lock was made for another kind of machine.
        Corrupt: What was found is not what the lock says.
        BackendError: The file system or uv failed.
    """
    return opened(workspace).make(lock, workspace.blobs.get, is_checked=is_checked)


def hold() -> None:
    """Where this process runs in an environment that was made from a lock: nobody drops it as long as the process lives."""
    if (Path(sys.prefix) / LOCK_FILE).is_file():
        held = os.open(f"{sys.prefix}{HELD_FILE}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)  # held until the process ends: nobody closes it
