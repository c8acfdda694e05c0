"""The lock files of a project that people commit: `pylock.toml`, `uv.lock`, compiled requirements. Read, never written."""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from slipway.code.wheels import normal
from slipway.errors import InvalidInput

__all__ = ["FILES", "Pin", "find", "hashes", "pins", "pins_in"]

FILES = ("pylock.toml", "uv.lock", "requirements.lock", "requirements.txt")
"""In the order in which they are looked for, beside slipway.toml."""

_SETTINGS = "slipway.toml"
_LINE = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*==\s*([^\s;,*]+)\s*(?:;\s*(.*?))?\s*$")
_HASH = re.compile(r"--hash[= ](sha\d+:[0-9a-f]+)")


class Pin(NamedTuple):
    """One package of a lock file: its name, its one version, where it counts, and the hashes of its files."""

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()


def find(folder: Path) -> Path | None:
    """The lock file of a project's folder, None where there is none: requirements that leave a version open are none."""
    for name in FILES:
        path = folder / name
        if path.is_file() and (name.endswith((".toml", "uv.lock")) or _is_lock(path)):
            return path
    return None


def pins(path: Path) -> tuple[Pin, ...]:
    """What a lock file names, sorted. Of a `uv.lock` these are all packages of all its groups.

    Raises:
        InvalidInput: The file cannot be read, or a line of it pins no version.
    """
    stat = path.stat()
    return _pins(path, stat.st_mtime_ns, stat.st_size)


def pins_in(path: Path, text: str) -> tuple[Pin, ...]:
    """What compiled requirements name, sorted.

    Args:
        path: Where they come from, for sentences.
        text: The requirements.

    Raises:
        InvalidInput: A line pins no version.
    """
    return tuple(sorted(_of_lines(path, text)))


def hashes(files: Iterable[str]) -> Callable[[str, str], tuple[str, ...]]:
    """Gives the hashes that the project's lock file has for a package's name and version; () where it has none.

    Args:
        files: The project's own files: the lock file lies beside the slipway.toml above the first one that has it.
    """
    known: dict[tuple[str, str], tuple[str, ...]] = {}
    for home in {home for file in files if (home := _home(os.path.dirname(file)))}:
        path = find(Path(home))
        try:
            known |= {(one.name, one.version): one.hashes for one in (pins(path) if path else ())}
        except InvalidInput:  # who wants to install it is told; a run goes on without
            continue
    return lambda name, version: known.get((name, version), ())


@lru_cache(maxsize=1024)
def _home(folder: str) -> str:
    here = Path(folder)
    return next((str(each) for each in (here, *here.parents) if (each / _SETTINGS).is_file()), "")


def _is_lock(path: Path) -> bool:
    try:
        return bool(pins(path))
    except InvalidInput:
        return False


@lru_cache(maxsize=16)
def _pins(path: Path, _changed_ns: int, _size: int) -> tuple[Pin, ...]:
    try:
        text = path.read_text("utf-8")
        found = _of_toml(tomllib.loads(text)) if path.name in ("pylock.toml", "uv.lock") else _of_lines(path, text)
        return tuple(sorted(set(found)))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidInput(
            f"The lock file {path} cannot be read: {type(problem).__name__}: {problem}.",
            fix="Make it anew with the program that wrote it.",
        ) from problem


def _of_toml(told: dict[str, Any]) -> Iterator[Pin]:
    """The packages of a `pylock.toml` or `uv.lock`; one that lies in a folder, as the project itself, is none."""
    for one in told.get("packages") or told.get("package") or ():
        if (
            "version" not in one
            or "directory" in one
            or {"editable", "virtual", "directory"} & {*one.get("source", {})}
        ):
            continue
        files = [*one.get("wheels", ()), *([one["sdist"]] if one.get("sdist") else [])]
        digests = [file["hash"] if "hash" in file else _strongest(file["hashes"]) for file in files]
        yield Pin(normal(one["name"]), one["version"], one.get("marker", ""), tuple(sorted(digests)))


def _strongest(found: dict[str, str]) -> str:
    kind = "sha256" if "sha256" in found else max(found)
    return f"{kind}:{found[kind]}"


def _of_lines(path: Path, text: str) -> Iterator[Pin]:
    """The packages of compiled requirements: each line pins one version."""
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*", "", line).strip()
        if not bare or bare.startswith(("--index-url", "-i ", "--extra-index-url", "--find-links", "--only-binary")):
            continue
        match = _LINE.match(_HASH.sub("", bare).strip())
        if match is None:
            raise InvalidInput(
                f"The line {bare[:80]!r} of {path} pins no version.",
                why="A lock names one version of each package, with ==.",
                fix=f"Compile it: uv pip compile --generate-hashes {path.name} -o requirements.lock",
            )
        yield Pin(normal(match[1]), match[2], (match[3] or "").strip(), tuple(sorted(_HASH.findall(bare))))
