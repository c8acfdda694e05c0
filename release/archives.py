"""The wheel and the sdist: built offline, the same bytes each time, and held against the files that git knows."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

_FROM = {"src/slipway/": "slipway/", "docs/runbook/": "slipway/runbook/"}
_NEVER = ("__pycache__", ".slipway", ".venv", ".git", "tests", "slipway.db")
_SECRET = (".pem", ".key", ".env", ".pyc", ".sqlite", ".db")


def build(folder: Path, out: Path) -> tuple[Path, Path]:
    """Build both archives of a source folder, with the build backend that is installed here.

    Returns:
        The wheel and the sdist.

    Raises:
        subprocess.CalledProcessError: It cannot be built.
    """
    when = _git(folder, "log", "-1", "--format=%ct").strip()  # of the commit: whoever builds it gets the same bytes
    told = {**os.environ, "SOURCE_DATE_EPOCH": when}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(command, cwd=folder, env=told, check=True, capture_output=True, text=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def from_sdist(sdist: Path, folder: Path) -> Path:
    """The wheel that an sdist gives, built in an empty folder."""
    with tarfile.open(sdist) as opened:
        opened.extractall(folder / "source", filter="data")
        when = str(max(one.mtime for one in opened.getmembers()))
    (source,) = (folder / "source").iterdir()
    told = {**os.environ, "SOURCE_DATE_EPOCH": when}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "from-sdist")]
    subprocess.run(command, cwd=source, env=told, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "from-sdist").glob("*.whl")
    return wheel


def tracked(folder: Path) -> set[str]:
    """The files of a work tree that git knows, by their paths; those that were deleted and not committed are left out."""
    return {name for name in _git(folder, "ls-files", "-z").split("\0") if name and (folder / name).is_file()}


def wrong_in_wheel(wheel: Path, folder: Path) -> list[str]:
    """What a wheel lacks or has too much beside the source that git knows, in sentences; none is well."""
    with zipfile.ZipFile(wheel) as opened:
        there = {name for name in opened.namelist() if ".dist-info/" not in name}
    expected = {
        home + name.removeprefix(source)
        for name in tracked(folder)
        for source, home in _FROM.items()
        if name.startswith(source)
    }
    return _compared("the wheel", there, expected) + _secrets("the wheel", there)


def wrong_in_sdist(sdist: Path, folder: Path) -> list[str]:
    """What an sdist lacks or has too much beside the files that git knows, in sentences; none is well."""
    with tarfile.open(sdist) as opened:
        there = {str(PurePosixPath(*PurePosixPath(one.name).parts[1:])) for one in opened if one.isfile()}
    return _compared("the sdist", there - {"PKG-INFO"}, tracked(folder))


def _compared(what: str, there: set[str], expected: set[str]) -> list[str]:
    return [
        *(f"{what} lacks {name}" for name in sorted(expected - there)),
        *(f"{what} has {name}, which git does not know there" for name in sorted(there - expected)),
    ]


def _secrets(what: str, there: set[str]) -> list[str]:
    return [
        f"{what} has {name}"
        for name in sorted(there)
        if set(PurePosixPath(name).parts) & set(_NEVER) or name.endswith(_SECRET)
    ]


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout
