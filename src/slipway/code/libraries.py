"""Versions of the libraries that code imports: what stands for all code outside the project."""

import json
import os
import sys
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from slipway.hashing import digest, digest_file

__all__ = ["is_standard", "python_version", "version_of"]


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
        The distribution's name and its version; ("name", "not installed") where nothing is found.
    """
    top = module.partition(".")[0]
    found = _distribution(top)
    if found is not None and not _is_editable(found):
        return str(found.metadata["Name"]), found.version
    content = _content(top)
    name = str(found.metadata["Name"]) if found is not None else top
    version = f"{found.version} " if found is not None else ""
    return name, f"{version}files {content}" if content else version.strip() or "not installed"


def _distribution(top: str) -> Distribution | None:
    try:
        return distribution(top)
    except PackageNotFoundError:
        names = _by_module().get(top, [])
        return distribution(names[0]) if names else None


@lru_cache(maxsize=1)
def _by_module() -> dict[str, list[str]]:
    return {module: sorted(set(names)) for module, names in packages_distributions().items()}


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
