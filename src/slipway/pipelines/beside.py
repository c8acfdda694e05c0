"""Files beside a project's code: which of them are kept by content, with the project's snapshot and with what a run read.

Kept is what git tracks, and what was read. Never kept are what git ignores, hidden files and folders, virtual
environments, stores, and what looks like a secret, by its name or by its content.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from slipway.hashing import digest
from slipway.ledger import provenance
from slipway.ledger.store_folder import is_store
from slipway.pipelines.hidden.present import Place, file_state, paths_of, place_of
from slipway.ports.blobs import Blobs
from slipway.ports.workspace import Workspace
from slipway.records.runs import HiddenInput, Run, StepRun

__all__ = [
    "ALL_BYTES",
    "FILE_BYTES",
    "PASSED_OVER",
    "SETTINGS",
    "Chosen",
    "Keeper",
    "around",
    "choose",
    "cwd_of",
    "files_of",
    "kept_in",
    "listed",
    "of_all",
    "tracked",
]

FILE_BYTES = 10_000_000
"""The largest file that is kept."""

ALL_BYTES = 100_000_000
"""How much is kept with one snapshot, and with one run."""

SETTINGS = "slipway.toml"
PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})
_LOCAL = "slipway.local.toml"
_SHOWN = 5
_GIT_WITHIN_S = 10.0
_DIGEST_LENGTH = 64
_SECRET = re.compile(
    r"(?i)(^|[._-])(secrets?|passwords?|passwd|credentials?|htpasswd|api[_-]?keys?)([._-]|$)"
    r"|\.(env|pem|key|p12|pfx|jks|keystore|kdbx)$|^id_(rsa|dsa|ecdsa|ed25519)"
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Files that were stored.

    Args:
        files: The digest of each by its path relative to the project's folder.
        left_out: Those that were not, each with the reason.
    """

    files: dict[str, str]
    left_out: tuple[str, ...]


def around(function: Callable[..., Any]) -> Path | None:
    """The folder of the project to which a function belongs: the nearest with a slipway.toml; None where there is none."""
    code = getattr(function, "__code__", None)
    places = Path(code.co_filename).resolve().parents if code is not None else ()
    return next((folder for folder in places if (folder / SETTINGS).is_file()), None)


def tracked(folder: Path) -> list[str]:
    """The files in a folder that git tracks, but code and hidden ones; [] where it lies in no work tree."""
    found = _git(folder, "ls-files", "-z", "--cached").decode("utf-8", "surrogateescape").split("\0")
    return [name for name in found if _may_belong(name)]


def of_all(folder: Path) -> list[str]:
    """All files in a folder, but code and hidden ones: of a checkout that nothing was added to."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if _may_belong(name)]


def choose(blobs: Blobs, folder: Path, names: Iterable[str]) -> Chosen:
    """Store the files of a project's folder that may be kept, as far as there is room.

    Args:
        blobs: Where.
        folder: The project's folder.
        names: Paths relative to it.
    """
    files: dict[str, str] = {}
    left: list[str] = []
    room = ALL_BYTES
    there = [name for name in sorted(set(names)) if (folder / name).is_file()]
    ignored = _ignored(folder, there)
    for name in there:
        size = (folder / name).stat().st_size
        why = _refusal(folder, name, ignored) or _too_large(size, room)
        content = "" if why else file_state(str(folder / name))[0]
        if not why and not blobs.renew(content):
            data = (folder / name).read_bytes()
            why, content = _holds_secret(data), "" if _holds_secret(data) else blobs.put(data)
        if why:
            left.append(f"{name} ({why})")
        else:
            files[name], room = content, room - size
    return Chosen(files, tuple(left))


def listed(left_out: Sequence[str]) -> str:
    """What was left out, as the end of a sentence: the first of them, and how many more there are."""
    more = len(left_out) - _SHOWN
    return ", ".join(left_out[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


@dataclass(slots=True)
class Keeper:
    """Keeps what one run reads beside its code. Safe for threads.

    Args:
        workspace: Where the run is recorded.
        is_wanted: Whether the run can be made again at all: its code is kept.
    """

    workspace: Workspace
    is_wanted: bool
    _room: int = ALL_BYTES
    _left: dict[str, str] = field(default_factory=dict)
    _kept: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def told(self) -> str:
        """What was not kept, as a sentence; "" for nothing."""
        if not self._left:
            return ""
        left = listed([f"{name} ({why})" for name, why in sorted(self._left.items())])
        return (
            f"Not kept with the run, though it read them: {left}. To have the run again they must lie there unchanged; a "
            "table or a file set is kept."
        )

    def kept(self, code: Sequence[Callable[..., Any]], reads: tuple[HiddenInput, ...]) -> tuple[HiddenInput, ...]:
        """What was read, with the files of the project that are kept from now on marked as such.

        Args:
            code: The functions that read; the project is that of the first.
            reads: What they read.
        """
        folder = around(code[0]) if self.is_wanted and code and any(map(_is_file, reads)) else None
        if folder is None:
            return reads
        place = place_of(code)
        names = {one: _names(folder, place, one) if _is_file(one) else () for one in reads}
        with self._lock:
            ignored = _ignored(folder, [name for found in names.values() for name in found])
            return tuple(self._one(folder, one, names[one], ignored) for one in reads)

    def _one(self, folder: Path, read: HiddenInput, names: Sequence[str], ignored: Set[str]) -> HiddenInput:
        for name in names:
            why = "" if (name, read.content) in self._kept else self._refused(folder, name, read.content, ignored)
            if not why:
                self._kept.add((name, read.content))
                return replace(read, kept=name)
            self._left[name] = why
        return read

    def _refused(self, folder: Path, name: str, content: str, ignored: Set[str]) -> str:
        """Store a file; returns why it is not, "" where it is."""
        blobs = self.workspace.blobs
        try:
            size = (folder / name).stat().st_size
            if why := _refusal(folder, name, ignored) or _too_large(size, self._room):
                return why
            if not blobs.renew(content):
                data = (folder / name).read_bytes()
                if digest(data) != content:
                    return "it was changed after it had been read"
                if why := _holds_secret(data):
                    return why
                blobs.put(data)
        except FileNotFoundError:
            return "it is gone"
        except OSError as problem:
            return f"it cannot be read: {problem.strerror}"
        self._room -= size
        return ""


def files_of(run: Run, steps: Iterable[StepRun]) -> dict[str, str]:
    """The files that a run read and that are kept: the digest of each by its path relative to the project's folder."""
    reads = [*run.hidden, *(one for step in steps for one in step.hidden)]
    found: dict[str, str] = {}
    for one in reads:
        if one.kept:
            found.setdefault(one.kept, one.content)
    return found


def kept_in(records: Iterable[Run | StepRun]) -> set[str]:
    """The paths of the files that some runs and steps read and that were kept, relative to the project's folder."""
    return {one.kept for record in records for one in record.hidden if one.kept}


def cwd_of(run: Run, steps: Iterable[StepRun]) -> str:
    """The folder in which the run's process was, relative to the project's, as far as what it read there tells; or ""."""
    for one in (*run.hidden, *(one for step in steps for one in step.hidden)):
        if one.kept and not os.path.isabs(one.name) and one.kept.endswith(name := one.name.replace(os.sep, "/")):
            return one.kept.removesuffix(name).rstrip("/")
    return ""


def _is_file(read: HiddenInput) -> bool:
    return read.kind == "file" and len(read.content) == _DIGEST_LENGTH and not read.kept


def _names(folder: Path, place: Place, read: HiddenInput) -> list[str]:
    """Where in a project's folder a file may lie that was read; [] for code and for what lies elsewhere."""
    found = (_within(folder, path) for path in paths_of(read, place))
    return [name for name in dict.fromkeys(found) if name and not _is_passed_over(name)]


def _within(folder: Path, path: str) -> str:
    """A path relative to a folder, with slashes; "" where it does not lie in it."""
    relative = os.path.relpath(os.path.abspath(path), folder)
    if relative.startswith(".."):
        relative = os.path.relpath(os.path.realpath(os.path.dirname(path)), folder)
        relative = os.path.join(relative, os.path.basename(path))
    return "" if relative.startswith("..") else os.path.normpath(relative).replace(os.sep, "/")


def _may_belong(name: str) -> bool:
    return bool(name) and not _is_passed_over(name) and not name.startswith(".") and "/." not in name


def _is_passed_over(name: str) -> bool:
    """Whether it is code, which is in each snapshot, or nothing of the project: hidden, made, or of an environment."""
    parts = name.split("/")
    return name.endswith(".py") or name in (SETTINGS, _LOCAL) or not PASSED_OVER.isdisjoint(parts[:-1])


def _refusal(folder: Path, name: str, ignored: Set[str]) -> str:
    """Why a file of a project's folder is never kept; "" for one that may be."""
    parts = name.split("/")
    if any(part.startswith(".") for part in parts):
        return "it is hidden"
    if _SECRET.search(parts[-1]) or any(_SECRET.search(part) for part in parts[:-1]):
        return "by its name it is a secret"
    above = [folder.joinpath(*parts[:depth]) for depth in range(1, len(parts))]
    if any(is_store(one) or (one / "pyvenv.cfg").exists() for one in above):
        return "it lies in a store or an environment"
    if not os.path.realpath(folder / name).startswith(os.path.realpath(folder) + os.sep):
        return "it is a link that leads out of the project"
    return "git ignores it" if name in ignored else ""


def _too_large(size: int, room: int) -> str:
    if size > FILE_BYTES:
        return f"it has {size / 1e6:.1f} MB, and at most {FILE_BYTES / 1e6:.0f} MB are kept of a file"
    return f"with it they would be more than {ALL_BYTES / 1e6:.0f} MB" if size > room else ""


def _holds_secret(data: bytes) -> str:
    return "it holds the value of a secret environment variable" if provenance.holds_secret(data) else ""


def _ignored(folder: Path, names: Sequence[str]) -> set[str]:
    """Those of some files that git ignores."""
    asked = "\0".join(names).encode("utf-8", "surrogateescape")
    told = _git(folder, "check-ignore", "-z", "--stdin", given=asked) if names else b""
    return set(told.decode("utf-8", "surrogateescape").split("\0"))


def _git(folder: Path, *words: str, given: bytes = b"") -> bytes:
    """What git prints; b"" where it is not there, fails or does not answer."""
    environment: Mapping[str, str] = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *words],
            cwd=folder,
            input=given,
            capture_output=True,
            timeout=_GIT_WITHIN_S,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout
