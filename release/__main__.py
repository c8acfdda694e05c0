"""The check-list of a release, as one command: `make release VERSION=0.2.0`.

    python -m release VERSION            writes the version, the change log out of its fragments, and the generated pages
    python -m release VERSION --check    writes nothing, and says of each point whether it holds

It commits, tags, pushes and uploads nothing: what is left to a person is printed at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from release import archives, licences
from release.locked import LOCK, OWN, ROOT, pins, project

FRAGMENTS = "changelog.d"
LOG = "CHANGELOG.md"
INIT = "src/slipway/__init__.py"
STAMPS = ".venv/stamps"
SUITES = ("test", "test-all", "test-long")
UNLOCKED = ("torch",)
"""Extras that no requirements file pins: gigabytes that few need."""

_NEXT = """
Left to you: read what was written (git diff), commit it, make test, make test-all, make test-long, and then
    make release VERSION={version} CHECK=1"""
_LEFT = """
Left to you; nothing of it was done here:
    git tag -a v{version} -m 'Slipway {version}'
    git push --follow-tags
    {python} -m hatchling build -d dist    # upload what is in dist/, then install it once from there"""

_VERSION = {"pyproject.toml": r'^version = "(.*)"$', INIT: r'^__version__ = "(.*)"$'}


def main(given: list[str] | None = None) -> int:
    """Do what the command line says; 0 when every point holds."""
    parser = argparse.ArgumentParser(prog="python -m release", description="Prepare or check a release.")
    parser.add_argument("version", help="the new version, as 0.2.0")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the work tree; default: this one")
    asked = parser.parse_args(given)
    if (wrong := wrong_version(asked.version, asked.root)) is not None:
        print(wrong, file=sys.stderr)
        return 2
    if not asked.check:
        for line in prepare(asked.version, asked.root, date.today()):
            print(line)
        print(_NEXT.format(version=asked.version))
        return 0
    holds = True
    for about, check in checks(asked.version):
        problems = check(asked.root)
        holds = holds and not problems
        print(f"{'no' if problems else 'ok':3} {about}")
        for problem in problems[:10]:
            print(f"      {problem}")
    print((_LEFT if holds else _NEXT).format(version=asked.version, python=Path(sys.executable).name))
    return 0 if holds else 1


def wrong_version(version: str, root: Path) -> str | None:
    """Why this cannot be the next version, as a sentence."""
    try:
        new = Version(version)
    except InvalidVersion:
        return f"{version!r} is no version. Give one as 0.2.0 or 0.2.0rc1: make release VERSION=0.2.0"
    if str(new) != version:
        return f"{version!r} is written {str(new)!r}: make release VERSION={new}"
    if new < Version(project(root)["version"]):
        return f"{version} comes before {project(root)['version']}, which is there. Give a later one."
    if f"v{version}" in _git(root, "tag", "--list", f"v{version}").split():
        return f"The tag v{version} is there already. Give a later version."
    return None


def prepare(version: str, root: Path, day: date) -> Iterator[str]:
    """Write what can be written, and tell it line by line."""
    for name, pattern in _VERSION.items():
        text = (root / name).read_text()
        put = re.sub(pattern, lambda found: found[0].replace(found[1], version), text, count=1, flags=re.M)
        if put != text:
            (root / name).write_text(put)
            yield f"wrote version {version} into {name}"
    if paths := fragments(root):
        log = (root / LOG).read_text()
        head, mark, rest = log.partition("\n## ")
        (root / LOG).write_text(f"{head.rstrip()}\n\n{section(version, root, day)}{mark and mark + rest}")
        for path in paths:
            path.unlink()
        yield f"moved {len(paths)} fragments of {FRAGMENTS}/ to {LOG}"
    _generated(root, "docs/generate.py")
    _generated(root, "-m", "release.licences")
    yield "wrote docs/reference/ and docs/licences.md"


def fragments(root: Path) -> list[Path]:
    """The fragments of the change log that no release has collected, by name."""
    return sorted((root / FRAGMENTS).glob("*.md"))


def section(version: str, root: Path, day: date) -> str:
    """The change log's section of a version, from the fragments."""
    lines = [path.read_text().strip() for path in fragments(root)]
    return f"## {version} ({day.isoformat()})\n\n" + "\n".join(lines) + "\n"


def checks(version: str) -> list[tuple[str, Callable[[Path], list[str]]]]:
    """The points of the list, each with what finds its problems."""
    return [
        ("the work tree is clean", _unclean),
        (f"the version is {version}", lambda root: _versions(root, version)),
        ("fragments are collected in the change log", lambda root: _uncollected(root, version)),
        ("`make test`, `make test-all` and `make test-long` passed on these very files", _untested),
        ("generated pages say what the code says", _stale_pages),
        ("licences are listed and permitted", _licences),
        ("requirements are locked", _unlocked),
        ("wheel and sdist are whole, and the sdist gives the same wheel", _archives),
    ]


def _unclean(root: Path) -> list[str]:
    return [f"changed: {line}" for line in _git(root, "status", "--porcelain").splitlines()]


def _versions(root: Path, version: str) -> list[str]:
    found = {name: re.search(pattern, (root / name).read_text(), re.M) for name, pattern in _VERSION.items()}
    return [f"{name} says {at[1] if at else 'nothing'}" for name, at in found.items() if not at or at[1] != version]


def _uncollected(root: Path, version: str) -> list[str]:
    waiting = [f"{path.relative_to(root)} waits" for path in fragments(root)]
    has_section = f"\n## {version} (" in (root / LOG).read_text()
    return waiting if has_section else [*waiting, f"{LOG} has no section for {version}"]


def _untested(root: Path) -> list[str]:
    tree = _git(root, "rev-parse", "HEAD^{tree}").strip()
    found = {}
    for suite in SUITES:
        stamp = root / STAMPS / f"passed-{suite}"
        found[suite] = stamp.read_text().strip() if stamp.exists() else ""
    return [f"`make {suite}` passed on {of[:12] or 'nothing'} last" for suite, of in found.items() if of != tree]


def _stale_pages(root: Path) -> list[str]:
    before = {path: path.read_bytes() for path in (root / "docs" / "reference").glob("*.md")}
    with tempfile.TemporaryDirectory() as folder:
        _generated(root, "docs/generate.py", folder)
        return [
            f"{path.relative_to(root)} is stale" for path, held in before.items() if _is_other(Path(folder), path, held)
        ]


def _is_other(folder: Path, path: Path, held: bytes) -> bool:
    made = folder / path.name
    return not made.exists() or made.read_bytes() != held


def _licences(root: Path) -> list[str]:
    try:
        fresh = licences.page(root) == (root / licences.PAGE).read_text()
    except LookupError as problem:
        return str(problem).splitlines()
    return [] if fresh else [f"{licences.PAGE} is stale: type `make licences`."]


def _unlocked(root: Path) -> list[str]:
    known = pins(root / LOCK)
    about = project(root)
    wanted = [*about["dependencies"]]
    for extra, needs in about["optional-dependencies"].items():
        wanted += needs if extra not in UNLOCKED else []
    found = []
    for need in map(Requirement, wanted):
        entry = known.get(canonicalize_name(need.name), "")
        version = re.match(r"[^=]*==([^\s;]+)", entry)
        if need.name == OWN:
            continue
        if version is None or not need.specifier.contains(version[1], prereleases=True):
            found.append(f"{LOCK} has no {need}: type `make lock`.")
        elif "--hash=" not in entry:
            found.append(f"{LOCK} has {need.name} without a hash.")
    return found


def _archives(root: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        wheel, sdist = archives.build(root, Path(folder) / "dist")
        found = archives.wrong_in_wheel(wheel, root) + archives.wrong_in_sdist(sdist, root)
        if archives.from_sdist(sdist, Path(folder)).read_bytes() != wheel.read_bytes():
            found.append("the wheel that the sdist gives has other bytes")
    return found


def _generated(root: Path, *words: str) -> None:
    told = {**os.environ, "COLUMNS": "80", "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    subprocess.run([sys.executable, *words], cwd=root, env=told, check=True)


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
