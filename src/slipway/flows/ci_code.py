"""A project's work tree in git: where it stands, and which of its files moved since a commit."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from slipway.errors import Conflict, NotFound, Unavailable
from slipway.flows.ci_git import under_way, way_out
from slipway.flows.repositories import git
from slipway.records.ci import CiFile

__all__ = ["Standing", "commit_meant", "moved_files", "standing"]

_SHOWN = 5
_COUNTED_BYTES = 1_000_000


class Standing(NamedTuple):
    """Where a work tree stands.

    Args:
        commit: "" before the first one.
        branch: "" for none.
        is_dirty: Whether files of the project differ from the commit.
        amid: As `under_way` says.
        unknown: Why nobody can tell, "" where it is known.
    """

    commit: str = ""
    branch: str = ""
    is_dirty: bool = False
    amid: str = ""
    unknown: str = ""


def standing(folder: Path) -> Standing:
    """Where the work tree around a project stands.

    Raises:
        Conflict: Files of the project are in conflict: nobody knows which code is meant.
    """
    try:
        git("-C", str(folder), "rev-parse", "--show-toplevel")
    except Unavailable as problem:
        if "not a git repository" in problem.what:
            return Standing(unknown=f"{folder.name} lies in no git repository. Begin one: git init")
        return Standing(unknown=f"{problem.what} {problem.fix}")
    amid = under_way(folder)
    broken = {line.partition("\t")[2] for line in _lines(folder, "ls-files", "--unmerged", "-z", "--", ".")}
    if broken:
        shown = ", ".join(sorted(broken)[:_SHOWN]) + (" and others" if len(broken) > _SHOWN else "")
        ending = way_out(amid) if amid else "git commit"
        raise Conflict(
            f"Files of the project are in conflict: {shown}.",
            why=f"The repository is in the middle of a {amid or 'merge'}, and nobody knows yet which code is meant.",
            fix=f"Resolve them and `git add` them, then: {ending}",
        )
    told = _told(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    branch = _told(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    return Standing(told, branch, bool(_lines(folder, "status", "--porcelain", "-z", "--", ".")), amid)


def commit_meant(folder: Path, name: str) -> str:
    """The commit that a name means.

    Args:
        folder: A folder in the work tree.
        name: A commit, branch or tag.

    Raises:
        NotFound: There is none in this repository.
    """
    found = _told(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found:
        return found
    raise NotFound(
        f"There is no commit {name!r} in the repository around {folder}.",
        why="A clone that was made for one commit has no other.",
        fix="Name a commit, branch or tag that `git log` knows, or fetch the rest: git fetch --unshallow",
    )


def moved_files(folder: Path, commit: str) -> tuple[CiFile, ...]:
    """The files of a project that differ from a commit, those among them that git does not know yet.

    Raises:
        Unavailable: git fails.
    """
    asked = (
        "diff",
        "--numstat",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--relative",
        "-z",
        commit,
        "--",
        ".",
    )
    found = []
    for line in _lines(folder, *asked):
        added, removed, path = line.split("\t", 2)
        found.append(CiFile(path=path, added=_number(added), removed=_number(removed)))
    for path in _lines(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", "."):
        found.append(CiFile(path=path, added=_lines_of(folder / path), removed=0, is_known=False))
    return tuple(sorted(found, key=lambda one: one.path))


def _lines(folder: Path, *words: str) -> list[str]:
    told = git("-C", str(folder), *words).decode("utf-8", "surrogateescape")
    return [one for one in told.split("\0") if one]


def _told(folder: Path, *words: str) -> str:
    """A word that git says, "" where it has none."""
    try:
        return git("-C", str(folder), *words).decode("utf-8", "surrogateescape").strip()
    except Unavailable:
        return ""


def _number(text: str) -> int:
    return int(text) if text.isdigit() else -1


def _lines_of(path: Path) -> int:
    """Lines of a file that git does not know; -1 where it is no text, or a large one."""
    try:
        if path.is_symlink() or path.stat().st_size > _COUNTED_BYTES:
            return -1
        data = path.read_bytes()
    except OSError:
        return -1
    return -1 if b"\0" in data else data.count(b"\n")
