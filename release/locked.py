"""What the package and its extras need: names out of pyproject.toml and the libraries' own metadata, pins out of requirements/."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = "requirements/all.txt"
OWN = "slipway"


def project(root: Path = ROOT) -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return found


def extras(root: Path = ROOT) -> list[str]:
    """The extras, in the order of pyproject.toml."""
    return list(project(root)["optional-dependencies"])


def needs(extras: Iterable[str] = (), *, root: Path = ROOT) -> set[str]:
    """The distributions that an installation with these extras brings, on this machine; Slipway itself is not among them.

    A library that is not installed here is named, but what it needs in its turn is not known.
    """
    about = project(root)
    found: set[tuple[str, str]] = set()
    waiting = [(OWN, ""), *((OWN, extra) for extra in extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for need in _asked(name, extra, about):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                other = canonicalize_name(need.name)
                waiting += [(other, ""), *((other, more) for more in need.extras)]
    return {name for name, _ in found} - {OWN}


def _asked(name: str, extra: str, about: dict[str, Any]) -> list[Requirement]:
    if name == OWN:
        return [
            Requirement(line) for line in (about["optional-dependencies"][extra] if extra else about["dependencies"])
        ]
    try:
        return [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []


def pins(lock: Path) -> dict[str, str]:
    """The entries of a compiled requirements file, with their hashes, by the distribution's name."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            name = canonicalize_name(Requirement(line.partition(" \\")[0]).name)
            found[name] = found.get(name, "")  # one that has another version for another Python has a second entry
        if name and not line.lstrip().startswith("#"):
            found[name] += line + "\n"
    return found


def requirements(extras: Iterable[str] = (), *, root: Path = ROOT) -> str:
    """A requirements file with hashes that installs what these extras need, and nothing else.

    Raises:
        LookupError: A library is not in the compiled requirements, or what it needs is not known because it is not
            installed here.
    """
    known = pins(root / LOCK)
    wanted = needs(extras, root=root)
    if missing := sorted(wanted - set(known)):
        raise LookupError(f"{LOCK} has no {', '.join(missing)}: type `make lock`.")
    return "".join(known[name] for name in sorted(wanted))


def megabytes(names: Iterable[str]) -> float:
    """What installed distributions take, in MB of 2**20 bytes, without bytecode.

    Raises:
        PackageNotFoundError: One is not installed here.
    """
    taken = 0
    for name in names:
        for file in files(name) or []:
            if file.suffix != ".pyc" and (place := Path(str(file.locate()))).is_file():
                taken += place.lstat().st_size
    return taken / 2**20
