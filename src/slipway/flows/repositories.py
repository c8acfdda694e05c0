"""Branches of git repositories: where they are, and the project as it stands there. No code of a repository runs here."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from slipway.errors import InvalidInput, NotFound, Unavailable
from slipway.hashing import digest
from slipway.pipelines.beside import choose, of_all
from slipway.pipelines.snapshot import pack
from slipway.ports.source import masked
from slipway.ports.workspace import Workspace
from slipway.records.schedules import Schedule, ScheduleTrigger

__all__ = ["Place", "around", "git", "head", "is_time", "place_of", "snapshot_at"]

_WITHIN_S = 60.0
_NETWORK_EVERY_S = 60.0
_SAFE = ("-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")
_looked: dict[tuple[Path, str], float] = {}


class Place(NamedTuple):
    """A repository, and where the project lies in it ("" at its top)."""

    repository: str
    prefix: str

    @property
    def is_remote(self) -> bool:
        """Whether looking at it goes over the network."""
        return "://" in self.repository or (":" in self.repository and not Path(self.repository).exists())


def around(folder: Path) -> Place:
    """The repository in which a folder lies, and where; no repository where it lies in none."""
    try:
        top, _, prefix = (
            git("-C", str(folder), "rev-parse", "--show-toplevel", "--show-prefix").decode().partition("\n")
        )
    except Unavailable:
        return Place("", "")
    return Place(top, prefix.strip())


def place_of(trigger: ScheduleTrigger, schedule: Schedule) -> Place:
    """Where a trigger's branch is looked for."""
    return Place(trigger.repository or schedule.repository, schedule.prefix)


def is_time(workspace: Workspace, place: Place) -> bool:
    """Whether to look now: at folders always, over the network once a minute of machine time."""
    if not place.is_remote:
        return True
    key, now = (workspace.root, place.repository), time.monotonic()
    if now - _looked.get(key, -_NETWORK_EVERY_S) < _NETWORK_EVERY_S:
        return False
    _looked[key] = now
    return True


def head(place: Place, branch: str) -> str:
    """The commit at which a branch is, "" where there is no such branch.

    Raises:
        Unavailable: The repository cannot be read.
    """
    listed = git("ls-remote", "--heads", "--", place.repository, f"refs/heads/{branch}").decode()
    return listed.split()[0] if listed.split() else ""


def snapshot_at(workspace: Workspace, place: Place, branch: str, commit: str) -> str:
    """Store the project as it stands at a branch's head; returns the snapshot's digest.

    Raises:
        Unavailable: The repository cannot be read, or the branch has moved on.
        NotFound: The project's folder is not in it.
        InvalidInput: There is no Python file in it.
    """
    home = workspace.root / "repositories" / digest(place.repository.encode())[:16]
    if not (home / "HEAD").exists():
        home.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", str(home))
    git("-C", str(home), "fetch", "--quiet", "--no-tags", "--depth=1", "--", place.repository, f"refs/heads/{branch}")
    found = git("-C", str(home), "rev-parse", "FETCH_HEAD").decode().strip()
    if found != commit:
        raise Unavailable(
            f"The branch {branch!r} of {masked(place.repository)} moved on while it was read.",
            fix="Nothing needs to be done: the next look takes it as it is then.",
        )
    try:
        packed = git("-C", str(home), "archive", "--format=tar", f"{commit}:{place.prefix}")
    except Unavailable as problem:
        raise NotFound(
            f"The commit {commit[:12]} of {masked(place.repository)} has no folder {place.prefix!r}.",
            why="The project lay there when its schedules were applied.",
            fix="Apply them from where the project lies now: slipway schedules apply",
        ) from problem
    with tempfile.TemporaryDirectory(prefix="slipway-push-") as name:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(name, filter="data")
        if not (Path(name) / "slipway.toml").is_file():
            raise InvalidInput(
                f"The commit {commit[:12]} of {masked(place.repository)} has no slipway.toml in {place.prefix or 'its top folder'!r}.",
                why="What was pushed is what runs, so it must be a project.",
                fix="Commit slipway.toml, or apply the schedules from the folder in which it lies.",
            )
        chosen = choose(workspace.blobs, Path(name), of_all(Path(name)))
        return workspace.blobs.put(pack(Path(name), files=chosen.files))


def git(*words: str) -> bytes:
    """What git prints.

    Raises:
        Unavailable: It fails, does not end, or is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "LC_ALL": "C"}
    command = ["git", *_SAFE, *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN_S, env=environment, check=False
        )
    except FileNotFoundError as problem:
        raise Unavailable(
            "git is not installed here.", fix="Install it: branches and commits are read by it."
        ) from problem
    except subprocess.TimeoutExpired as problem:
        raise Unavailable(
            f"git {words[0]} did not end within {_WITHIN_S:.0f} seconds.",
            fix="See whether the repository can be reached.",
        ) from problem
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"git ended with {done.returncode}"]
        said = next((line for line in lines if line.startswith("fatal:")), lines[-1]).removeprefix("fatal: ")
        raise Unavailable(
            f"A git repository cannot be read: {masked(said)}.",
            fix="See that it is there, and that git can read it without asking for a password.",
        )
    return done.stdout
