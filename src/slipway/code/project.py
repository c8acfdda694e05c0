"""What belongs to a project, and its modules as the walk sees them: a namespace and the source it came from."""

import os
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from slipway.code.sources import Source, parsed_file

__all__ = ["Module", "Project", "is_installed", "is_slipway", "module_name", "module_of", "unwrap"]

NOTEBOOK = "notebook"
_SLIPWAY = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
_STANDARD = tuple(
    {os.path.realpath(sysconfig.get_paths()[name]) + os.sep for name in ("stdlib", "platstdlib")},
)
_INSTALLED = ("site-packages", "dist-packages")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "build", "dist", "site-packages", "dist-packages"})


@dataclass(frozen=True)
class Project:
    """The folders whose code is followed; all other code is known by its library's version.

    Attributes:
        roots: Real paths of folders.
        base: The project's place on disk: paths near it count relative to it, so that a moved project is the same.
    """

    roots: tuple[str, ...]
    base: str

    @classmethod
    def around(cls, roots: tuple[Path, ...] | None, namespaces: list[Mapping[str, Any]]) -> "Project":
        """The given roots, else those of the modules: the top of a module's package, or its own folder."""
        if roots is not None:
            found = [os.path.realpath(root) for root in roots]
            return cls(tuple(dict.fromkeys(found)), found[0] if found else "")
        found = [_place(namespace) for namespace in namespaces if isinstance(namespace.get("__file__"), str)]
        base = "" if not found else os.path.dirname(found[0]) if _is_packaged(namespaces[0]) else found[0]
        return cls(tuple(dict.fromkeys(found)), base)

    def holds(self, file: str | None) -> bool:
        """Whether a file belongs to the project."""
        return bool(file) and _holds(self.roots, str(file))

    def holds_module(self, module: ModuleType) -> bool:
        """Whether a module belongs to the project; a package without `__init__.py` does so by its folder."""
        file = getattr(module, "__file__", None)
        if file is not None:
            return self.holds(file)
        return any(self.holds(os.path.join(folder, "__init__.py")) for folder in getattr(module, "__path__", ()))

    def files(self) -> list[tuple[str, str]]:
        """Every Python file under the roots: its path relative to its root, and its path."""
        found = []
        for root in self.roots:
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(f for f in folders if not _is_skipped(os.path.join(folder, f)))
                for name in sorted(names):
                    if name.endswith(".py"):
                        path = os.path.join(folder, name)
                        found.append((os.path.relpath(path, root).replace(os.sep, "/"), path))
        return found

    def import_path(self, file: str) -> str:
        """A file's path relative to the folder from which it is imported, with slashes."""
        top = os.path.dirname(file)
        while os.path.isfile(os.path.join(top, "__init__.py")):
            top = os.path.dirname(top)
        if self.base and self.base not in self.roots:
            top = self.base
        return os.path.relpath(file, top).replace(os.sep, "/")


@dataclass(frozen=True, eq=False)
class Module:
    """A module of the project.

    Attributes:
        name: Its name; a script run as `__main__` is called after its file.
        namespace: What its names stand for now; empty where it could not be imported.
        source: Its parsed file, or None for a notebook, a prompt and a package without `__init__.py`.
        is_package: Whether it is a package.
    """

    name: str
    namespace: Mapping[str, Any]
    source: Source | None
    is_package: bool

    def absolute(self, module: str, level: int) -> str:
        """The absolute name of an import written in this module."""
        if level == 0:
            return module
        parts = self.name.split(".")
        kept = parts[: len(parts) - level + (1 if self.is_package else 0)]
        return ".".join([*kept, module] if module else kept)


def module_of(namespace: Mapping[str, Any]) -> Module:
    """The module whose global names these are."""
    file = namespace.get("__file__")
    source = parsed_file(file) if isinstance(file, str) and file.endswith(".py") else None
    return Module(module_name(namespace), namespace, source, "__path__" in namespace)


def module_name(namespace: Mapping[str, Any]) -> str:
    """A module's name; that of a script run as `__main__` is what it would be if imported; a notebook is "notebook"."""
    name = str(namespace.get("__name__", "__main__"))
    if name != "__main__":
        return name
    spec = namespace.get("__spec__")
    if spec is not None and spec.name != "__main__":
        return str(spec.name)
    file = namespace.get("__file__")
    return os.path.splitext(os.path.basename(file))[0] if isinstance(file, str) else NOTEBOOK


def unwrap(value: Any) -> Any:
    """The function or class inside decorators: through `__wrapped__`, and `function` on Slipway's own objects."""
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, FunctionType):
            value = value.__dict__.get("__wrapped__", value)
        elif isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif not isinstance(value, type | ModuleType | MethodType):
            value = _inner(value)
    return value


def is_slipway(name: str) -> bool:
    """Whether a module is Slipway's own."""
    return name.partition(".")[0] == "slipway"


def is_installed(module: ModuleType) -> bool:
    """Whether a module was installed, so that its distribution's version stands for its code."""
    file = getattr(module, "__file__", None)
    return file is not None and any(part in _INSTALLED for part in os.path.realpath(file).split(os.sep))


def _inner(value: Any) -> Any:
    kind = type(value)
    held = getattr(value, "__dict__", None)
    slots = any("__wrapped__" in vars(base) for base in kind.__mro__)
    if (isinstance(held, dict) and "__wrapped__" in held) or slots:
        return value.__wrapped__
    if is_slipway(kind.__module__) and callable(function := getattr(value, "function", None)):
        return function
    return value


@lru_cache(maxsize=4096)
def _holds(roots: tuple[str, ...], file: str) -> bool:
    real = os.path.realpath(file)
    if real.startswith((_SLIPWAY, *_STANDARD)) or any(part in _INSTALLED for part in real.split(os.sep)):
        return False
    return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _is_packaged(namespace: Mapping[str, Any]) -> bool:
    return "." in module_name(namespace) or "__path__" in namespace


def _place(namespace: Mapping[str, Any]) -> str:
    """The top folder of a module's package, or the folder of a plain module."""
    folder = os.path.dirname(os.path.realpath(str(namespace["__file__"])))
    depth = module_name(namespace).count(".") - (0 if "__path__" in namespace else 1)
    for _ in range(depth):
        folder = os.path.dirname(folder)
    return folder


def _is_skipped(folder: str) -> bool:
    name = os.path.basename(folder)
    return name.startswith(".") or name in _SKIPPED_FOLDERS or os.path.isfile(os.path.join(folder, "pyvenv.cfg"))
