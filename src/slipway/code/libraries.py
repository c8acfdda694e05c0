"""Versions of the libraries that code imports: what stands for all code outside the project."""

import json
import os
import re
import sys
from functools import lru_cache
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path

from slipway.code.wheels import about, content_of, find, installed, normal, origin_of
from slipway.hashing import digest, digest_file

__all__ = ["LOCK_FILE", "distributions_of", "is_standard", "python_version", "source_of", "version_of"]

LOCK_FILE = "slipway-lock.json"
"""The file in an environment that holds the lock it was made from; it is written last."""


def python_version() -> str:
    """The minor version of Python, as "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def is_standard(module: str) -> bool:
    """Whether a module belongs to Python itself, so that the minor version stands for it."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in sys.builtin_module_names


@lru_cache(maxsize=1024)
def version_of(module: str) -> tuple[str, str]:
    """The distribution that a module comes from and its version, looked up once a process.

    What came from no index, or lies on the path without being installed, is known by its files' content too, for its
    version does not change when its code does. The content is the same however it is installed, so that an editable
    copy here and its wheel in an environment made from a lock are the same library.

    Args:
        module: The name of a module outside the project and the standard library.

    Returns:
        The distribution's name and its version; where several share a namespace package, its name and all of them with
        their versions; ("name", "not installed") where nothing is found.
    """
    top = module.partition(".")[0]
    found = distributions_of(top)
    if not found:
        content = _content(top)
        return top, f"files {content}" if content else "not installed"
    if len(found) == 1:
        return about(found[0]).name, _version(found[0], top)
    return top, ", ".join(f"{about(one).name} {_version(one, top)}" for one in found)


def source_of(found: Distribution) -> str:
    """Where a distribution came from at first: as `origin_of`, but in an environment made from a lock as the lock says.

    There all that was near is installed from a file, what an index has among it.
    """
    known = _origins(sys.prefix).get(normal(about(found).name))
    return origin_of(found) if known is None else known


def _version(found: Distribution, top: str) -> str:
    """Its version, with a short digest of its content where it came from no index."""
    version = about(found).version
    return version if not source_of(found) else f"{version} files {content_of(found, (top,))[:16] or _content(top)}"


@lru_cache(maxsize=1)
def _origins(prefix: str) -> dict[str, str]:
    """Of each package of the lock that an environment was made from, where it came from; {} for any other environment."""
    try:
        told = json.loads(Path(prefix, LOCK_FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return {one["name"]: one.get("origin", "") for one in told["packages"]}


def distributions_of(top: str) -> list[Distribution]:
    """All distributions that put files into a top-level module, by name: a namespace package has several."""
    names = _holders(top, tuple(sys.path))
    if names:
        return [one for one in map(find, names) if one is not None]
    named = find(top)
    if named is None:
        return []
    # One that lists its files does not hold this module, unless it is installed in editable form.
    return [named] if named.read_text("RECORD") is None or origin_of(named) == "editable" else []


@lru_cache(maxsize=1024)
def _holders(top: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The distributions whose own records list files of a top-level module."""
    line = re.compile(rf'^"?{re.escape(top)}(?:/[^,\n]*|\.[^,/\n]*)?\.(?:py|so|pyd)"?(?:,|$)', re.MULTILINE)
    holding = (one for one, record in _records(path) if top in record and line.search(record))
    return tuple(sorted({about(one).name for one in holding}))


@lru_cache(maxsize=1)
def _records(_path: tuple[str, ...]) -> list[tuple[Distribution, str]]:
    """All installed distributions with their records, as text: `Distribution.files` would look up every file on disk."""
    return [(one, one.read_text("RECORD") or "") for one in installed()]


def _content(top: str) -> str:
    """A short digest of all Python files of a top-level module."""
    module = sys.modules.get(top)
    spec = getattr(module, "__spec__", None) or (find_spec(top) if module is None else None)
    file = getattr(module, "__file__", None) or getattr(spec, "origin", None)
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    paths = [file] if file and os.path.isfile(file) and not folders else []
    for start in folders:
        for folder, inner, names in os.walk(start):
            inner[:] = sorted(name for name in inner if name != "__pycache__")
            paths += [os.path.join(folder, name) for name in sorted(names) if name.endswith((".py", ".so", ".pyd"))]
    if not paths:
        return ""
    lines = [f"{os.path.basename(path)} {digest_file(Path(path))}" for path in paths]
    return digest("\n".join(lines).encode())[:16]
