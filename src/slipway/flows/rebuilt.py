"""The environment in which a run is repeated: what is installed where that is what its lock names, else one built from it."""

from __future__ import annotations

from slipway.code import wheels
from slipway.ledger import locks, provenance
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock
from slipway.records.runs import Run

__all__ = ["not_here", "python_for"]

_SHOWN = 5


def python_for(workspace: Workspace, run: Run) -> str:
    """The interpreter that has what a run's lock names; "" for the present one, also where the run names no lock.

    Raises:
        NotFound: The lock is gone, or something that it names cannot be found from here; the sentence names it.
        InvalidInput: It was made for another kind of machine.
        Corrupt: The lock, or what was found for it, is not what it should be.
        MissingExtra: What builds environments is not installed.
        BackendError: The file system or the installer failed.
    """
    lock = locks.lock_of(workspace.blobs, run.environment)
    missing = [] if lock is None else not_here(lock)
    if lock is None or not missing:
        return ""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    workspace.say(f"Installed here is not what the run had: {', '.join(missing[:_SHOWN])}{more}.")
    made = isolation.made(workspace, lock)
    workspace.say(f"It is repeated in the environment {made.lock[:12]}, {'built now' if made.is_new else 'kept'}.")
    return made.python


def not_here(lock: Lock) -> list[str]:
    """What of a lock is not installed in this interpreter, in words: "numpy 2.0.0 -> 2.1.0"."""
    here = provenance.environment()
    found = [] if lock.python == here.python else [f"Python {lock.python} -> {here.python}"]
    for package in lock.packages:
        one = wheels.find(package.name)
        version = "(absent)" if one is None else wheels.about(one).version
        if one is None or version != package.version:
            found.append(f"{package.name} {package.version} -> {version}")
        elif package.content and wheels.content_of(one) not in ("", package.content):
            found.append(f"{package.name} {package.version}, whose files are others")
    return found
