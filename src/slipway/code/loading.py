"""Importing extracted code, so that several versions of the same modules live in one process.

The modules do not stay in `sys.modules`. They are there while they are imported, under a lock, and again while a
function of theirs runs an import statement of its own.
"""

import builtins
import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import resolve_name, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from slipway.errors import Corrupt

__all__ = ["imported_from", "load_extracted"]

_lock = threading.RLock()


def load_extracted(folder: Path, modules: tuple[str, ...]) -> dict[str, ModuleType]:
    """Import reduced modules from a folder, apart from all others of the same name.

    Bytecode is neither read nor written in the folder.

    Args:
        folder: The folder that holds the paths which `extract` gave.
        modules: Names of the modules wanted: "flight_delays.rows". What they import is loaded with them.

    Returns:
        The modules by name. They keep each other alive; dropping them frees them.

    Raises:
        Corrupt: A module that is wanted is not in the folder.
    """
    version = _Version(folder.resolve())
    with version.present():
        for name in modules:
            if not version.has(name):
                raise Corrupt(
                    f"The module {name} is not in {folder}.",
                    why="The folder does not hold the extracted code that it should.",
                    fix="Load the bundle again from its store.",
                )
            importlib.import_module(name)
    return {name: version.modules[name] for name in modules}


@contextmanager
def imported_from(folder: Path) -> Iterator[None]:
    """Let imports of the modules that a folder holds come from there while this lasts; see `load_extracted`.

    What is built of them meanwhile, by a library that imports by name, keeps them alive.
    """
    with _Version(folder.resolve()).present():
        yield


class _Version:
    """The modules of one folder.

    Attributes:
        folder: Where they lie.
        modules: Those imported so far, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: dict[str, ModuleType] = {}
        self.tops = frozenset(path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py")
        self.names: Mapping[str, Any] = {**vars(builtins), "__import__": self._import}
        self._depth = 0

    def has(self, name: str) -> bool:
        """Whether the folder holds a module."""
        path = self.folder.joinpath(*name.split("."))
        return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()

    @contextmanager
    def present(self) -> Iterator[None]:
        """Let the modules of this folder, and no others of their names, be in `sys.modules`."""
        with _lock:
            if self._depth:
                yield
                return
            self._depth += 1
            before = self._taken()
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                self.modules = self._taken()
                sys.modules.update(before)
                self._depth -= 1

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of this folder (the protocol of `sys.meta_path`)."""
        if name.partition(".")[0] not in self.tops:
            return None
        found = PathFinder.find_spec(name, list(path) if path is not None else [str(self.folder)], target)
        if found is None or not isinstance(found.loader, SourceFileLoader) or found.origin is None:
            return found
        loader = _Loader(name, found.origin, self)
        inner = found.submodule_search_locations
        return spec_from_file_location(name, found.origin, loader=loader, submodule_search_locations=inner)

    def _taken(self) -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in self.tops]
        return {name: sys.modules.pop(name) for name in names}

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The import statement as these modules run it."""
        if level == 0 and name.partition(".")[0] not in self.tops:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        package = (globals or {}).get("__package__")
        known = self.modules.get(resolve_name("." * level + name, package) if level else name)
        if known is not None and not fromlist and level == 0:
            return self.modules[name.partition(".")[0]]
        if known is not None and fromlist and all(hasattr(known, part) for part in fromlist):
            return known
        with self.present():
            return builtins.__import__(name, globals, locals, fromlist or (), level)


class _Loader(SourceFileLoader):
    """Runs a module with the import statement of its version, always from its source."""

    def __init__(self, name: str, path: str, version: _Version) -> None:
        super().__init__(name, path)
        self.version = version

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's statements in its namespace."""
        vars(module)["__builtins__"] = self.version.names
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source; cached bytecode is not signed with it."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code
