"""Versions of the libraries that code imports: what stands for all code outside the project."""

import json
import os
import re
import sys
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from slipway.code.wheels import about
from slipway.hashing import digest, digest_file

__all__ = ["distributions_of", "is_standard", "python_version", "version_of"]


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

    What is installed in editable form, or lies on the path without being installed, is known by its files' content,
    for its version does not change when its code does.

    Args:
        module: The name of a module outside the project and the standard library.

    Returns:
        The distribution's name and its version; where several share a namespace package, its name and all of them with
        their versions; ("name", "not installed") where nothing is found.
    """
    top = module.partition(".")[0]
    found = distributions_of(top)
    told = [about(one) for one in found]
    if len(found) == 1 and not _is_editable(found[0]):
        return told[0].name, told[0].version
    several = len(found) > 1
    installed = ", ".join(f"{one.name} {one.version}" if several else one.version for one in told)
    content = _content(top) if not found or any(map(_is_editable, found)) else ""
    name = top if several or not found else told[0].name
    parts = [part for part in (installed, f"files {content}" if content else "") if part]
    return name, " ".join(parts) or "not installed"


def distributions_of(top: str) -> list[Distribution]:
    """All distributions that put files into a top-level module, by name: a namespace package has several."""
    names = _holders(top, tuple(sys.path))
    if names:
        return [distribution(name) for name in names]
    try:
        named = distribution(top)
    except PackageNotFoundError:
        return []
    # One that lists its files does not hold this module, unless it is installed in editable form.
    return [named] if named.read_text("RECORD") is None or _is_editable(named) else []


@lru_cache(maxsize=1024)
def _holders(top: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The distributions whose own records list files of a top-level module."""
    line = re.compile(rf'^"?{re.escape(top)}(?:/[^,\n]*|\.[^,/\n]*)?\.(?:py|so|pyd)"?(?:,|$)', re.MULTILINE)
    holding = (one for one, record in _records(path) if top in record and line.search(record))
    return tuple(sorted({about(one).name for one in holding}))


@lru_cache(maxsize=1)
def _records(_path: tuple[str, ...]) -> list[tuple[Distribution, str]]:
    """All installed distributions with their records, as text: `Distribution.files` would look up every file on disk."""
    return [(one, one.read_text("RECORD") or "") for one in distributions()]


def _is_editable(found: Distribution) -> bool:
    origin = found.read_text("direct_url.json")
    return origin is not None and bool(json.loads(origin).get("dir_info", {}).get("editable"))


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
