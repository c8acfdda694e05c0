"""An interpreter of a run's own: its environment made from a lock, below the store's folder."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

import msgspec

from slipway import plugins
from slipway.code import imports
from slipway.ledger import locks
from slipway.ports.environments import HELD_FILE, LOCK_FILE, Environments
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock, MadeEnvironment

__all__ = ["FOLDER", "UNUSED_S", "clean", "hold", "made", "opened", "to_serve", "wanted"]

FOLDER = "environments"
"""Where a store keeps environments, each under the digest of its lock."""


UNUSED_S = 30 * 86_400.0
"""After how many seconds without use an environment is removed, when another one is made."""


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
    store = opened(workspace)
    found = store.make(lock, workspace.blobs.get, is_checked=is_checked)
    if found.is_new:
        for name in clean(store, UNUSED_S):
            workspace.say(f"The environment {name[:12]}, which nobody used for 30 days, was removed.")
    return found


def clean(store: Environments, unused_s: float) -> tuple[str, ...]:
    """Remove the environments that nobody asked for within so many seconds and no process uses; returns their locks.

    Raises:
        BackendError: The file system failed.
    """
    old = time.time() - unused_s
    return tuple(one.lock for one in store.kept() if one.used_at <= old and store.drop(one.lock, unused_s=unused_s))


def wanted(workspace: Workspace, path: Path) -> Lock:
    """The lock of a project's lock file, with Slipway: its own wheel, and what it needs that the file does not name.

    Where the file names Slipway in another version than the present one, that one is taken as the file has it.

    Args:
        workspace: Where Slipway's wheel is kept.
        path: The file; see `slipway.code.project_locks.FILES`.

    Raises:
        MissingExtra: uv is not installed.
        InvalidInput: The file cannot be read, or a line of it pins no version.
    """
    named = {one.name: one for one in opened(workspace).locked(path)}
    runtime = locks.present(workspace, imports.Own(()))
    own = next(one for one in runtime.packages if one.name == locks.RUNTIME)
    given = named.get(locks.RUNTIME)
    if given is None or given.version == own.version:
        named[locks.RUNTIME] = own
    else:
        workspace.say(f"{path.name} names Slipway {given.version}; this is {own.version}.")
    for package in runtime.packages:
        named.setdefault(package.name, package)
    packages = tuple(named[name] for name in sorted(named))
    return msgspec.structs.replace(runtime, source=path.name, packages=packages)


def to_serve(workspace: Workspace, lock: Lock) -> Lock:
    """A model's lock with the present Slipway in place of the one that trained it, and with what that needs.

    The processes of an endpoint speak with each other, so they are of one release; that the model answers as it did is
    compared when it is loaded.
    """
    runtime = locks.present(workspace, imports.Own(()))
    named = {one.name: one for one in lock.packages}
    for package in runtime.packages:
        if package.name == locks.RUNTIME:
            named[package.name] = package
        else:
            named.setdefault(package.name, package)
    return msgspec.structs.replace(lock, packages=tuple(named[name] for name in sorted(named)))


def hold() -> None:
    """Where this process runs in an environment that was made from a lock: nobody drops it as long as the process lives."""
    if (Path(sys.prefix) / LOCK_FILE).is_file():
        held = os.open(f"{sys.prefix}{HELD_FILE}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)  # held until the process ends: nobody closes it
