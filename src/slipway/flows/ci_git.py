"""What git says of a project's folder: the commit that it is, or why it is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from slipway.errors import Conflict, Denied, NotFound, Unavailable

__all__ = ["commit_of", "git", "hooks_of", "is_bare", "top_of", "under_way", "way_out"]

_WITHIN_S = 60.0
_UNDER_WAY = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git keeps while it is in the middle of something, and the command that this is."""
_SHOWN = 5


def commit_of(folder: Path) -> str:
    """The commit that a folder is, whole. A detached head is fine: that is how CI systems check out.

    Raises:
        NotFound: It lies in no repository, or there is no commit yet.
        Conflict: A rebase or the like is under way, or tracked files are not as committed.
        Unavailable: git is not installed, or does not answer.
    """
    if git(folder, "rev-parse", "--is-inside-work-tree") != "true":
        _check_owner(folder)
        raise NotFound(
            f"{folder} is in no git repository.",
            why="What goes to production is a commit: the same commit is the same work.",
            fix="git init && git add . && git commit -m 'First'; or without git: slipway run, slipway promote",
        )
    if command := under_way(folder):
        raise Conflict(
            f"A {command} is under way in {folder}.", why="What lies there is no commit.", fix=way_out(command)
        )
    commit = git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if commit is None:
        raise NotFound(f"The repository of {folder} has no commit yet.", fix="git add . && git commit -m 'First'")
    changed = (git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".") or "").splitlines()
    if changed:
        names = ", ".join(line[2:].strip() for line in changed[:_SHOWN])
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise Conflict(
            f"Files in {folder} are not as committed: {names}{more}.",
            why=f"What would be trained is not the commit {commit[:12]}.",
            fix="Commit them (git commit -a), or put them aside (git stash).",
        )
    return commit


def under_way(folder: Path) -> str:
    """The command of git's in whose middle a repository is: "rebase", "merge", "cherry-pick", "revert" or "bisect"; "" for none."""
    there = (name for name in _UNDER_WAY if (folder / (git(folder, "rev-parse", "--git-path", name) or name)).exists())
    return next((_UNDER_WAY[name] for name in there), "")


def way_out(command: str) -> str:
    """What ends a command that is under way."""
    return "git bisect reset" if command == "bisect" else f"git {command} --continue, or git {command} --abort"


def is_bare(folder: Path) -> bool:
    """Whether a folder is a bare repository.

    Raises:
        NotFound: It is in no repository at all.
        Unavailable: git is not installed.
    """
    found = git(folder, "rev-parse", "--is-bare-repository")
    if found is None:
        _check_owner(folder)
        raise NotFound(
            f"{folder} is in no git repository.",
            fix="Begin one: git init; or for pushes, on the server: git init --bare project.git",
        )
    return found == "true"


def hooks_of(folder: Path) -> Path:
    """The folder of a repository's hooks, wherever its settings put it."""
    return (folder / (git(folder, "rev-parse", "--git-path", "hooks") or "hooks")).resolve()


def top_of(folder: Path) -> Path:
    """The top folder of the repository in which a folder lies.

    Raises:
        NotFound: It lies in none.
    """
    found = git(folder, "rev-parse", "--show-toplevel")
    if found is None:
        raise NotFound(f"{folder} is in no git repository.", fix="Begin one there: git init")
    return Path(found)


def git(folder: Path, *words: str) -> str | None:
    """What git prints there, None where it fails.

    Raises:
        Unavailable: It is not installed, or does not end.
    """
    done = _asked(folder, *words)
    return done.stdout.rstrip() if done.returncode == 0 else None


def _check_owner(folder: Path) -> None:
    """A repository of another account is there, and git does not read it: that is not the same as none."""
    if "dubious ownership" in _asked(folder, "rev-parse").stderr:
        raise Denied(
            f"git does not read the repository of {folder}: it belongs to another account.",
            fix=f"Run it as that account; or trust it: git config --global --add safe.directory {folder}",
        )


def _asked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # A hook's own variables would point git at another repository than the folder's. Unlike `flows/repositories.py`, which
    # reads what others wrote, this sets no settings of the owner's aside: where hooks lie is one of them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WITHIN_S,
            env=environment,
            check=False,
        )
    except FileNotFoundError as problem:
        raise Unavailable(
            "git is not installed here.", why="What goes to production is a commit.", fix="Install git."
        ) from problem
    except subprocess.TimeoutExpired as problem:
        raise Unavailable(
            f"git {words[0]} did not end within {_WITHIN_S:.0f} seconds in {folder}.", fix="See what holds it up there."
        ) from problem
