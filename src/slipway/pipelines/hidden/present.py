"""What a hidden input holds now: a file's content, the names in a folder, a variable; and whether that was recorded."""

from __future__ import annotations

import os
import stat as modes
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.code.closures import project_of
from slipway.errors import UserError
from slipway.hashing import combine, digest_file, fingerprint
from slipway.records.runs import HiddenInput

__all__ = [
    "ALL_VARIABLES",
    "Place",
    "changes",
    "file_state",
    "folder_state",
    "holds",
    "identity",
    "link_state",
    "path_state",
    "paths_of",
    "place_of",
    "variable_state",
]

ALL_VARIABLES = "*"
"""The name under which the set of variables' names is recorded, where a step goes through all of them."""

_BOOKKEEPING = frozenset({"_", "OLDPWD", "PWD", "PYTEST_CURRENT_TEST", "SHLVL"})
_RACY_NS = 2_000_000_000  # a file that was changed so shortly ago may change again without a new time
_FILES_KEPT = 16_384

_digests: dict[str, tuple[str, str]] = {}
_bases: dict[tuple[str, str], str] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """What a step's paths are relative to.

    Args:
        base: The project's folder, "" where the code lies in none.
        cwd: The current folder.
    """

    base: str
    cwd: str


def place_of(functions: Sequence[Callable[..., Any]]) -> Place:
    """Where the first of a step's functions lies, and where the process is."""
    return Place(_base(functions[0]) if functions else "", os.getcwd())


def _base(function: Callable[..., Any]) -> str:
    names = getattr(function, "__globals__", {})
    key = str(names.get("__name__")), str(names.get("__file__"))
    if key not in _bases:
        try:
            _bases[key] = project_of([function], None).base
        except UserError:  # code that cannot be followed has no place; its key is refused elsewhere
            _bases[key] = ""
    return _bases[key]


# States


def file_state(path: str, known: HiddenInput | None = None) -> tuple[str, str]:
    """A file's digest, and its stamp: "" where that could not show a change.

    Args:
        path: Where it lies.
        known: What was recorded of it: the same stamp spares reading it.

    Returns:
        ("", "") where there is no file.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except OSError as problem:
        return f"unreadable: {problem.errno}", ""
    if not modes.S_ISREG(status.st_mode):
        return "no file", ""
    stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {status.st_dev}"
    if known is not None and known.stamp == stamp:
        return known.content, stamp
    memo = _digests.get(path)
    if memo is not None and memo[0] == stamp:
        return memo[1], stamp
    read_ns = time.time_ns()
    try:
        found = digest_file(Path(path))
    except FileNotFoundError:
        return "", ""
    except OSError as problem:
        return f"unreadable: {problem.errno}", ""
    if read_ns - status.st_ctime_ns <= _RACY_NS:
        return found, ""
    if len(_digests) >= _FILES_KEPT:
        _digests.clear()
    _digests[path] = stamp, found
    return found, stamp


def folder_state(path: str, own: Iterable[str] = ()) -> str:
    """A digest of the names in a folder and whether each is a folder; "" where there is none."""
    without = set(own)
    try:
        with os.scandir(path) as entries:
            found = sorted((one.name, one.is_dir()) for one in entries if one.name not in without)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as problem:
        return f"unreadable: {problem.errno}"
    return fingerprint([f"{name}/" if is_folder else name for name, is_folder in found])


def path_state(path: str) -> str:
    """What lies at a path: "file", "folder" or "other"; "" for nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return "folder" if modes.S_ISDIR(mode) else "file" if modes.S_ISREG(mode) else "other"


def link_state(path: str) -> str:
    """Where a link leads, "no link" for what is none, "" for nothing."""
    try:
        return f"link to {os.readlink(path)}"
    except (OSError, ValueError):
        return "no link" if os.path.lexists(path) else ""


def variable_state(name: str) -> str:
    """A digest of an environment variable's value, "" where it is not set. A value itself is stored nowhere."""
    if name == ALL_VARIABLES:
        return fingerprint(sorted(os.environ.keys() - _BOOKKEEPING))
    value = os.environ.get(name)
    return "" if value is None else combine("environment variable", name, value)


# Comparing


def holds(read: HiddenInput, place: Place) -> bool:
    """Whether what was recorded is what would be read now.

    A path that was given as an absolute one may have moved with the project, or stayed where it was, and nobody knows
    which: wherever a file lies now it must be the recorded one, and one must lie there.
    """
    if read.kind == "env":
        return variable_state(read.name) == read.content
    found = [_state(read, path) for path in paths_of(read, place)]
    if not read.content:
        return not any(found)
    there = [state for state in found if state]
    return bool(there) and all(state == read.content for state in there)


def paths_of(read: HiddenInput, place: Place) -> list[str]:
    """Where the file or folder that was read may lie now."""
    if not os.path.isabs(read.name):
        return [os.path.join(place.cwd, read.name)]
    found = [read.name]
    if read.beside and place.base:
        found.append(os.path.normpath(os.path.join(place.base, read.beside)))
    if read.below:
        found.append(os.path.join(place.cwd, read.below))
    return list(dict.fromkeys(found))


def _state(read: HiddenInput, path: str) -> str:
    if read.kind == "file":
        return file_state(path, read)[0]
    if read.kind == "link":
        return link_state(path)
    return folder_state(path, read.own) if read.kind == "folder" else path_state(path)


def identity(reads: Iterable[HiddenInput]) -> str:
    """One fingerprint of what was read: equal for two calls that read the same."""
    return fingerprint([[one.kind, one.name, one.content, one.beside, one.below, list(one.own)] for one in reads])


def changes(reads: Iterable[HiddenInput], place: Place) -> list[str]:
    """What differs now from what was recorded, in words."""
    return [_change(one, place) for one in reads if not holds(one, place)]


def _change(read: HiddenInput, place: Place) -> str:
    if read.kind == "env":
        if read.name == ALL_VARIABLES:
            return "other environment variables are set"
        if not read.content:
            return f"environment variable {read.name} is now set"
        gone = not variable_state(read.name)
        return f"environment variable {read.name} {'is no longer set' if gone else 'changed'}"
    name = read.beside if read.beside and not read.beside.startswith("..") else read.name
    is_there = any(_state(read, path) for path in paths_of(read, place))
    if read.kind in ("path", "link"):
        return f"{name} {'is something else' if read.content and is_there else 'is there' if is_there else 'is gone'}"
    if read.kind == "folder":
        return (
            f"folder {name} {'holds other files' if read.content and is_there else 'is new' if is_there else 'is gone'}"
        )
    return f"file {name} {'changed' if read.content and is_there else 'is new' if is_there else 'is gone'}"
